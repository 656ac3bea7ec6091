/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/raw.h"

#include <errno.h>

#define PAGE_LEN 4096u

static int raw_fail(int error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

int raw_load(int fd, const struct boot_memory *mem, uint64_t gpa, struct raw_entry *ret,
	     const char **ret_why)
{
	uint64_t size;
	void *dst;
	int r;

	if (boot_memory_check(mem) < 0)
		return raw_fail(-EINVAL, "the memory ranges overlap or are not sorted", ret_why);
	r = boot_file_size(fd, &size);
	if (r < 0)
		return raw_fail(r, "it is not a regular file", ret_why);
	if (!size)
		return raw_fail(-ENOEXEC, "the file is empty", ret_why);
	if (gpa == RAW_ANYWHERE &&
	    boot_memory_find_low(mem, size, PAGE_LEN, RAW_FIRST_FREE, UINT64_MAX, &gpa) < 0)
		return raw_fail(-EFBIG, "no free range of the VM's RAM is large enough for it",
				ret_why);
	dst = boot_memory_map(mem, gpa, size);
	if (!dst)
		return raw_fail(-EFBIG, "the VM has no RAM for all of it at its address", ret_why);
	r = boot_file_read(fd, 0, dst, size);
	if (r < 0)
		return raw_fail(r, "the file cannot be read to its end", ret_why);
	*ret = (struct raw_entry){ .gpa = gpa, .len = size };
	return 0;
}
