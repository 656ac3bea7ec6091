/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define PORT 0x84

static struct vdevtest *start(const char *words, const char *path, const char *more)
{
	char text[256];
	struct vdevtest *t;

	snprintf(text, sizeof(text), "ram 1m vdev progress %s%s%s", words, path, more);
	t = vdevtest_start_stepped(text, 1);
	if (!t)
		fail_msg("%s", vdevtest_errors());
	vdevtest_run(t);
	return t;
}

static void set(struct vdevtest *t, unsigned value)
{
	vdevtest_write(t, VDEVTEST_IO, PORT, 1, value);
}

static void assert_file(const char *path, const char *want)
{
	char text[256] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(text, want);
}

static void a_file_holds_the_last_value(void **state)
{
	struct test_dir dir;

	(void)state;
	test_dir_make(&dir);
	struct vdevtest *t = start("hostdev >", dir.file, " step \"10=kernel here\"");

	assert_file(dir.file, "0\n");
	set(t, 10);
	assert_int_equal(vdevtest_read(t, VDEVTEST_IO, PORT, 1), 10);
	vdevtest_run(t);
	assert_file(dir.file, "10 kernel here\n");
	set(t, 255);
	vdevtest_run(t);
	assert_file(dir.file, "255\n");
	set(t, 1);
	set(t, 2);
	vdevtest_run(t);
	assert_file(dir.file, "2\n");
	vdevtest_end(t);
	assert_file(dir.file, "2\n"); /* stays for whoever asks why */
	test_dir_remove(&dir);
}

static void a_pipe_gets_lines(void **state)
{
	struct test_dir dir;
	char text[64] = "";

	(void)state;
	test_dir_make(&dir);
	int fd = open(dir.out, O_RDONLY | O_NONBLOCK);
	struct vdevtest *t = start("hostdev ", dir.out, "");

	set(t, 7);
	vdevtest_run(t);
	set(t, 7); /* as it was */
	vdevtest_run(t);
	set(t, 8);
	vdevtest_run(t);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 6);
	assert_string_equal(text, "0\n7\n8\n");
	close(fd);
	set(t, 9); /* nobody reads any more */
	vdevtest_run(t);
	assert_int_equal(vdevtest_read(t, VDEVTEST_IO, PORT, 1), 9);
	vdevtest_end(t);
	test_dir_remove(&dir);
}

static void in_memory_and_one_byte_wide(void **state)
{
	struct vdevtest *t = start("loc mem:0xfa000000 vdev progress", "", "");

	(void)state;
	vdevtest_write(t, VDEVTEST_MEM, 0xfa000000, 1, 3);
	vdevtest_write(t, VDEVTEST_MEM, 0xfa000000, 2, 4);
	set(t, 5);
	vdevtest_run(t);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0xfa000000, 1), 3);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, 0xfa000000, 2), 0xffff);
	assert_int_equal(vdevtest_read(t, VDEVTEST_IO, PORT, 1), 5);
	vdevtest_end(t);
}

static void refusals(void **state)
{
	static const char *const steps[] = {
		"x=a", "256=a", "-1=a", "1", "=a", "1=", "00000000000000001=a"
	};
	char text[256];

	(void)state;
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		snprintf(text, sizeof(text), "ram 1m vdev progress step \"%s\"", steps[i]);
		test_refused(text, steps[i]);
	}
	snprintf(text, sizeof(text), "ram 1m vdev progress step 1=%070d", 0);
	test_refused(text, "a name has 1 to 63 bytes");
	test_refused("ram 1m vdev progress hostdev </tmp", "it writes only");
	test_refused("ram 1m vdev progress hostdev /nowhere/x", "cannot be opened");
	test_refused("ram 1m vdev progress intr pic:3", "pic");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_holds_the_last_value),
		cmocka_unit_test(a_pipe_gets_lines),
		cmocka_unit_test(in_memory_and_one_byte_wide),
		cmocka_unit_test(refusals),
	};

	signal(SIGPIPE, SIG_IGN); /* qvm has all signals blocked */
	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
