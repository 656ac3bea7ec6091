/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads made-up AArch64 kernels, plain or compressed, into a small guest. The input is the file.
 * Whatever it says, nothing outside RAM is written, and what is said to be loaded lies in RAM.
 */
#include "boot/aarch64/linux.h"

#include "base/fuzz.h"
#include "boot/test_guest.h"

enum { RAM_LEN = 32 << 20, MAX_FILE_LEN = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arm_linux at;
	const char *why = NULL;
	struct guest g;

	if (size > MAX_FILE_LEN)
		return 0;
	int fd = guest_file(data, size, size);

	fuzz_require(fd >= 0 && guest_init(&g, RAM_LEN) == 0);
	int rc = arm_linux_load(fd, &g.memory, &at, &why);

	fuzz_require(rc <= 0 && (rc < 0) == (why != NULL));
	if (rc == 0) {
		fuzz_require(arm_linux_probe(data, size) || arm_linux_is_compressed(data, size));
		fuzz_require(at.len && range_inside(at.gpa, at.len, 0, RAM_LEN));
		fuzz_require(at.file_len <= at.len);
	}
	guest_free(&g);
	close(fd);
	return 0;
}
