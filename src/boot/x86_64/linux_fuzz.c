/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads made-up kernel files into a small guest. The input is struct fuzz_head and then the start
 * of the kernel file. Whatever the file says, nothing outside RAM is written, and what is said to
 * be loaded lies in RAM and apart.
 */
#include "base/fuzz.h"
#include "boot/test_guest.h"
#include "boot/x86_64/linux.h"

#include <stdlib.h>
#include <string.h>

#define MIB	     0x100000u
#define MAX_RAM_MIB  64u
#define MAX_FILE_LEN (4 * MIB)

struct fuzz_head {
	uint32_t kernel_size; /* the file is filled up with zeros to this size */
	uint32_t initrd_size; /* 0: none */
	uint8_t ram_mib;
	uint8_t use_gib_pages;
};

static void check_entry(const struct guest *g, const struct linux_entry *e, uint64_t initrd_size)
{
	uint64_t high_len = g->len - GUEST_HIGH;

	fuzz_require(range_inside(e->kernel_gpa, e->kernel_len, GUEST_HIGH, high_len));
	fuzz_require(e->kernel_len > 0x200);
	fuzz_require(e->rip == e->kernel_gpa + 0x200);
	fuzz_require(e->initrd_len == initrd_size);
	if (e->initrd_len) {
		fuzz_require(range_inside(e->initrd_gpa, e->initrd_len, GUEST_HIGH, high_len));
		fuzz_require(!range_overlaps(e->initrd_gpa, e->initrd_len, e->kernel_gpa,
					     e->kernel_len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct linux_boot in = { .initrd_fd = -1, .cmdline = "console=ttyS0", .rsdp_gpa = 0xe0000 };
	const char *why = NULL, *probe_why = NULL;
	struct linux_entry entry;
	struct fuzz_head head;
	struct guest g;
	size_t len;
	int r;

	if (size < sizeof(head) || size - sizeof(head) > MAX_FILE_LEN)
		return 0;
	memcpy(&head, data, sizeof(head));
	data += sizeof(head);
	len = size - sizeof(head);
	head.kernel_size = (uint32_t)MAX(len, head.kernel_size % (MAX_FILE_LEN + 1));
	head.initrd_size %= MAX_FILE_LEN + 1;

	fuzz_require(guest_init(&g, (head.ram_mib % MAX_RAM_MIB + 2) * (size_t)MIB) == 0);
	in.memory = g.memory;
	in.use_gib_pages = head.use_gib_pages & 1;
	in.kernel_fd = guest_file(data, len, head.kernel_size);
	fuzz_require(in.kernel_fd >= 0);
	if (head.initrd_size) {
		in.initrd_fd = guest_file("", 1, head.initrd_size);
		fuzz_require(in.initrd_fd >= 0);
	}

	r = linux_load(&in, &entry, &why);
	fuzz_require(r <= 0 && (r < 0) == (why != NULL));
	if (r == 0) {
		check_entry(&g, &entry, head.initrd_size);
		if (len >= LINUX_HEAD_LEN)
			fuzz_require(linux_probe(data, len, &probe_why) == 0);
	}

	if (in.initrd_fd >= 0)
		close(in.initrd_fd);
	close(in.kernel_fd);
	guest_free(&g);
	return 0;
}
