/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of qtest. The input is what a peer sends, on a bench with a VirtIO device, a PCI function
 * and interrupt controllers. Each line gets one answer that is OK, FAIL or ERR.
 */
#include <string.h>

#include "base/fuzz.h"
#include "base/log.h"
#include "base/util.h"
#include "vdevtest/internal.h"
#include "vdevtest/qtest.h"

enum { MAX_LINES = 200 };

static unsigned answers;

static void say(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	fuzz_require(!memchr(line, '\n', len));
	answers += strncmp(line, "OK", 2) == 0 || strncmp(line, "FAIL", 4) == 0 ||
		   strncmp(line, "ERR", 3) == 0;
}

/* In real time. */
static bool waits(const char *line, size_t len)
{
	while (len && strchr(" \t\r", *line))
		line++, len--;
	return len >= 6 && memcmp(line, "x-wait", 6) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct log_sink nowhere = { .dest = LOG_TO_NONE };

	(void)!log_set_sinks(&nowhere, 1);
	struct vdevtest *t = vdevtest_start_stepped(
		"ram 4m vdev ioapic name ioapic vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0 "
		"vdev virtio-entropy vdev wdt-ib700",
		1);

	fuzz_require(t);
	struct qtest *q = qtest_create(t, say, NULL);
	const char *at = (const char *)data, *end = at + size;

	for (unsigned i = 0; at < end && i < MAX_LINES; i++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline ? newline : end) - at);

		answers = 0;
		if (!waits(at, len)) {
			(void)qtest_line(q, at, len);
			fuzz_require(answers == 1);
		}
		at += len + 1;
	}
	qtest_free(q);
	vdevtest_end(t);
	return 0;
}
