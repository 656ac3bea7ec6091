/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads made-up ELF and multiboot files into a small guest, and starts them. The input is the file.
 * Whatever it says, nothing outside RAM is written, and the entries lie in what was loaded.
 */
#include "boot/elf_file.h"
#include "base/fuzz.h"
#include "boot/test_guest.h"
#include "boot/x86_64/multiboot.h"

#include <stdlib.h>
#include <string.h>

#define RAM_LEN	     (4u << 20)
#define MAX_FILE_LEN (1u << 20)

static void start(const struct guest *g, const struct boot_image *image)
{
	struct boot_module module = { 0 };
	struct protected_boot in = { .memory = g->memory,
				     .image = image,
				     .modules = &module,
				     .num_modules = 1,
				     .cmdline = "console=ttyS0",
				     .rsdp_gpa = 0xe0000 };
	struct linux_boot plain = { .memory = g->memory, .cmdline = in.cmdline };
	struct protected_entry e;
	struct linux_entry le;
	const char *why = NULL;
	int fd = guest_file("initrd", 6, 4096);

	fuzz_require(fd >= 0);
	if (boot_module_load(fd, &g->memory, BOOT_ANYWHERE, RAM_LEN, image, NULL, 0, &module,
			     &why) == 0)
		fuzz_require(!boot_image_overlaps(image, module.gpa, module.len));
	close(fd);
	if (image->has_pvh && pvh_start(&in, &e, &why) == 0)
		fuzz_require(boot_image_overlaps(image, e.rip, 1));
	if (multiboot_start(&in, &e, &why) == 0)
		fuzz_require(boot_image_overlaps(image, e.rip, 1));
	if (linux_start(&plain, image, &module, &le, &why) == 0)
		fuzz_require(boot_image_overlaps(image, le.rip, 1));
}

static void check(int fd, int rc, const struct boot_image *image, const char *why)
{
	const char *load_why = NULL;
	struct guest g;

	fuzz_require(rc <= 0 && (rc < 0) == (why != NULL));
	if (rc)
		return;
	fuzz_require(image->num_segments > 0 && image->num_segments <= BOOT_MAX_SEGMENTS);
	fuzz_require(boot_image_overlaps(image, image->entry, 1));
	fuzz_require(guest_init(&g, RAM_LEN) == 0);
	if (boot_image_load(fd, image, &g.memory, &load_why) == 0) {
		for (unsigned i = 0; i < image->num_segments; i++)
			fuzz_require(image->segments[i].gpa + image->segments[i].mem_len <=
					     RAM_LEN &&
				     image->segments[i].file_len <= image->segments[i].mem_len);
		start(&g, image);
	}
	guest_free(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct boot_image image;
	const char *why = NULL;

	if (size > MAX_FILE_LEN)
		return 0;
	int fd = guest_file(data, size, size);

	fuzz_require(fd >= 0);
	int rc = elf_read(fd, &image, &why);

	check(fd, rc, &image, why);
	why = NULL;
	rc = multiboot_read(fd, &image, &why);
	if (rc == 0)
		fuzz_require(multiboot_probe(data, size));
	check(fd, rc, &image, why);
	close(fd);
	return 0;
}
