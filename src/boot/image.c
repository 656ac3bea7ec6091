/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/image.h"

#include <errno.h>

#define PAGE_LEN 4096u
/* Modules stay above a PC's low memory, where boot data and firmware's tables lie. */
#define MODULE_MIN 0x100000u

static int image_fail(int error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

bool boot_image_overlaps(const struct boot_image *image, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < image->num_segments; i++)
		if (range_overlaps(image->segments[i].gpa, image->segments[i].mem_len, gpa, len))
			return true;
	return false;
}

int boot_image_check(const struct boot_image *image, uint64_t file_size, const char **ret_why)
{
	for (unsigned i = 0; i < image->num_segments; i++) {
		const struct boot_segment *s = &image->segments[i];

		if (!s->mem_len || s->mem_len > UINT64_MAX - s->gpa)
			return image_fail(-ENOEXEC, "a segment of it wraps around", ret_why);
		if (s->file_len > s->mem_len)
			return image_fail(-ENOEXEC,
					  "a segment of it is longer in the file than in memory",
					  ret_why);
		if (!range_inside(s->offset, s->file_len, 0, file_size))
			return image_fail(
				-ENOEXEC,
				"it is truncated: a segment of it ends behind the file's end",
				ret_why);
		for (unsigned j = 0; j < i; j++) {
			const struct boot_segment *o = &image->segments[j];

			if (range_overlaps(s->gpa, s->mem_len, o->gpa, o->mem_len))
				return image_fail(-ENOEXEC, "two segments of it overlap", ret_why);
		}
	}
	if (!image->num_segments)
		return image_fail(-ENOEXEC, "it has nothing to load", ret_why);
	if (!boot_image_overlaps(image, image->entry, 1) ||
	    (image->has_pvh && !boot_image_overlaps(image, image->pvh_entry, 1)))
		return image_fail(-ENOEXEC, "its entry lies outside of what it loads", ret_why);
	return 0;
}

int boot_image_load(int fd, const struct boot_image *image, const struct boot_memory *mem,
		    const char **ret_why)
{
	if (boot_memory_check(mem) < 0)
		return image_fail(-EINVAL, "the memory ranges overlap or are not sorted", ret_why);
	for (unsigned i = 0; i < image->num_segments; i++) {
		const struct boot_segment *s = &image->segments[i];
		void *dst = boot_memory_map(mem, s->gpa, s->mem_len);

		if (!dst)
			return image_fail(-EFBIG,
					  "the VM has no free RAM where a segment of it goes",
					  ret_why);
		int r = boot_file_read(fd, s->offset, dst, s->file_len);

		if (r < 0)
			return image_fail(r, "the file cannot be read to its end", ret_why);
	}
	return 0;
}

static bool module_free(const struct boot_image *image, const struct boot_module *others,
			size_t num_others, uint64_t gpa, uint64_t len, uint64_t *ret_below)
{
	for (unsigned i = 0; i < image->num_segments; i++)
		if (range_overlaps(image->segments[i].gpa, image->segments[i].mem_len, gpa, len)) {
			*ret_below = image->segments[i].gpa;
			return false;
		}
	for (size_t i = 0; i < num_others; i++)
		if (others[i].len && range_overlaps(others[i].gpa, others[i].len, gpa, len)) {
			*ret_below = others[i].gpa;
			return false;
		}
	return true;
}

int boot_module_load(int fd, const struct boot_memory *mem, uint64_t at, uint64_t end,
		     const struct boot_image *image, const struct boot_module *others,
		     size_t num_others, struct boot_module *ret, const char **ret_why)
{
	uint64_t size, gpa = at;
	int r = boot_file_size(fd, &size);
	void *dst;

	if (r < 0)
		return image_fail(r, "it is not a regular file", ret_why);
	if (!size) {
		*ret = (struct boot_module){ 0 };
		return 0;
	}
	/* Each turn leaves one taken range behind, so there are at most as many as there are
	 * ranges. */
	for (bool placed = at != BOOT_ANYWHERE; !placed;) {
		if (boot_memory_find_high(mem, size, PAGE_LEN, MODULE_MIN, end, &gpa) < 0)
			return image_fail(-EFBIG,
					  "the VM has too little RAM for it beside the guest",
					  ret_why);
		placed = module_free(image, others, num_others, gpa, size, &end);
	}
	if (size > UINT64_MAX - gpa)
		return image_fail(-EFBIG, "the VM has no RAM for all of it at its address",
				  ret_why);
	if (!module_free(image, others, num_others, gpa, size, &end))
		return image_fail(-EEXIST, "it would lie over the guest or another initrd",
				  ret_why);
	dst = boot_memory_map(mem, gpa, size);
	if (!dst)
		return image_fail(-EFBIG, "the VM has no RAM for all of it at its address",
				  ret_why);
	r = boot_file_read(fd, 0, dst, size);
	if (r < 0)
		return image_fail(r, "the file cannot be read to its end", ret_why);
	*ret = (struct boot_module){ .gpa = gpa, .len = size };
	return 0;
}
