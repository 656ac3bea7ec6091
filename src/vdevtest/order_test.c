/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which the vdevs of a VM come to life and end, written down by the vdevs themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <qvm/x/test.h>

static char path[] = "/tmp/order_test-XXXXXX";

/* Run a VM with three recorders; what they wrote. */
static const char *lives(const char *last_words)
{
	static char text[1024];
	char conf[512];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	snprintf(conf, sizeof(conf),
		 "ram 1m vdev recorder note a file %s vdev recorder note b file %s "
		 "vdev recorder note c file %s%s",
		 path, path, path, last_words);
	struct vdevtest *t = vdevtest_start(conf);

	if (t)
		vdevtest_end(t);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	unlink(path);
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	return text;
}

static void in_order_and_back(void **state)
{
	(void)state;
	assert_string_equal(lives(""), "a options\nb options\nc options\n"
				       "a configured\nb configured\nc configured\n"
				       "c terminate\nb terminate\na terminate\n");
}

/* A start that fails at the last vdev ends those before it, and they end the same way. */
static void after_a_failed_start(void **state)
{
	(void)state;
	const char *text = lives(" vdev virtio-blk hostdev /nonexistent");

	assert_non_null(strstr(text, "c terminate\nb terminate\na terminate\n"));
	assert_null(strstr(text, "configured"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_and_back),
		cmocka_unit_test(after_a_failed_start),
	};

	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
