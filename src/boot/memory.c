/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/memory.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

int boot_memory_check(const struct boot_memory *mem)
{
	uint64_t end = 0;

	for (size_t i = 0; i < mem->num_ranges; i++) {
		const struct boot_range *r = &mem->ranges[i];

		if (r->addr < end || !r->len || r->len > UINT64_MAX - r->addr)
			return -EINVAL;
		end = r->addr + r->len;
	}
	return 0;
}

/* Bounds of the RAM that starts with entry *i, adjacent entries taken as one; *i ends after them.
 */
static bool next_ram_run(const struct boot_memory *mem, size_t *i, uint64_t *ret_start,
			 uint64_t *ret_end)
{
	uint64_t start, end;

	while (*i < mem->num_ranges && mem->ranges[*i].type != BOOT_RANGE_RAM)
		++*i;
	if (*i == mem->num_ranges)
		return false;
	start = mem->ranges[*i].addr;
	end = start;
	while (*i < mem->num_ranges && mem->ranges[*i].type == BOOT_RANGE_RAM &&
	       mem->ranges[*i].addr == end) {
		end += mem->ranges[*i].len;
		++*i;
	}
	*ret_start = start;
	*ret_end = end;
	return true;
}

void *boot_memory_map(const struct boot_memory *mem, uint64_t gpa, uint64_t len)
{
	uint64_t start, end;
	size_t i = 0;

	while (next_ram_run(mem, &i, &start, &end)) {
		if (range_inside(gpa, len, start, end - start))
			return mem->map(mem->ctx, gpa, len);
	}
	return NULL;
}

int boot_memory_find_low(const struct boot_memory *mem, uint64_t len, uint64_t align, uint64_t min,
			 uint64_t end, uint64_t *ret_gpa)
{
	uint64_t run_start, run_end;
	size_t i = 0;

	while (next_ram_run(mem, &i, &run_start, &run_end)) {
		uint64_t low = MAX(run_start, min);
		uint64_t high = MIN(run_end, end);

		if (low > UINT64_MAX - (align - 1))
			continue;
		low = align_up(low, align);
		if (low <= high && len <= high - low) {
			*ret_gpa = low;
			return 0;
		}
	}
	return -ENOSPC;
}

int boot_memory_find_high(const struct boot_memory *mem, uint64_t len, uint64_t align, uint64_t min,
			  uint64_t end, uint64_t *ret_gpa)
{
	uint64_t run_start, run_end, found = 0;
	bool any = false;
	size_t i = 0;

	while (next_ram_run(mem, &i, &run_start, &run_end)) {
		uint64_t low = MAX(run_start, min);
		uint64_t high = MIN(run_end, end);
		uint64_t gpa;

		if (high < len)
			continue;
		gpa = align_down(high - len, align);
		if (gpa >= low) {
			found = gpa;
			any = true;
		}
	}
	if (!any)
		return -ENOSPC;
	*ret_gpa = found;
	return 0;
}

int boot_file_size(int fd, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int boot_file_read(int fd, uint64_t offset, void *dst, uint64_t len)
{
	uint8_t *p = dst;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -ENODATA;
	while (len) {
		/* Linux moves at most about 2 GiB a call, and says so by a short count. */
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}
