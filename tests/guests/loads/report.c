/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest finds when it starts, in lines NAME=VALUE on COM1. */
#include <stdbool.h>
#include <stdint.h>

#define COM1		0x3f8
#define MULTIBOOT_MAGIC 0x2badb002u
#define PVH_MAGIC	0x336ec578u
#define ZERO_PAGE_MAGIC 0x53726448u
#define RAM		1u

struct map {
	const uint8_t *first;
	uint32_t num, step, addr, len, type; /* offsets in an entry */
};

static volatile uint32_t untouched[1024]; /* is zero if the loader has left it so */

static void put(char c)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(c), "d"(COM1));
}

static void text(const char *s)
{
	while (*s)
		put(*s++);
}

static void number(const char *name, uint64_t value)
{
	text(name);
	for (int shift = 60; shift >= 0; shift -= 4)
		put("0123456789abcdef"[value >> shift & 15]);
	put('\n');
}

static void line(const char *name, uint64_t address)
{
	text(name);
	text((const char *)(uintptr_t)address);
	put('\n');
}

static uint64_t read64(const void *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t read32(const void *p)
{
	return (uint32_t)read64(p);
}

/* A module's bytes are text. */
static void module(uint64_t address, uint64_t len)
{
	text("module=");
	for (uint64_t i = 0; i < len; i++)
		put(((const char *)(uintptr_t)address)[i]);
	put('\n');
}

static void memory(const struct map *m)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < m->num; i++) {
		const uint8_t *e = m->first + i * m->step;

		if (read32(e + m->type) == RAM)
			sum += read64(e + m->len);
	}
	number("ram=", sum);
	number("first=", read64(m->first + m->addr));
}

static void multiboot(const uint8_t *info)
{
	const uint8_t *modules = (const uint8_t *)(uintptr_t)read32(info + 24);
	struct map m = {
		(const uint8_t *)(uintptr_t)read32(info + 48), read32(info + 44) / 24, 24, 4, 12, 20
	};

	text("way=multiboot\n");
	line("cmdline=", read32(info + 16));
	for (uint32_t i = 0; i < read32(info + 20); i++)
		module(read32(modules + 16 * i),
		       read32(modules + 16 * i + 4) - read32(modules + 16 * i));
	memory(&m);
}

static void pvh(const uint8_t *info)
{
	const uint8_t *modules = (const uint8_t *)(uintptr_t)read64(info + 16);
	struct map m = {
		(const uint8_t *)(uintptr_t)read64(info + 40), read32(info + 48), 24, 0, 8, 16
	};

	text("way=pvh\n");
	line("cmdline=", read64(info + 24));
	for (uint32_t i = 0; i < read32(info + 12); i++)
		module(read64(modules + 32 * i), read64(modules + 32 * i + 8));
	memory(&m);
	text("rsdp=");
	for (int i = 0; i < 8; i++)
		put(((const char *)(uintptr_t)read64(info + 32))[i]);
	put('\n');
}

static void zero_page(const uint8_t *page)
{
	struct map m = { page + 0x2d0, page[0x1e8], 20, 0, 8, 16 };

	text("way=linux\n");
	line("cmdline=", read32(page + 0x228));
	if (read32(page + 0x21c))
		module(read32(page + 0x218), read32(page + 0x21c));
	memory(&m);
}

void report(uint32_t eax, uint32_t ebx, uintptr_t esi)
{
	uint32_t sum = 0;

	number("bits=", sizeof(void *) * 8);
	for (unsigned i = 0; i < sizeof(untouched) / 4; i++)
		sum |= untouched[i];
	number("bss=", sum);
	if (eax == MULTIBOOT_MAGIC)
		multiboot((const uint8_t *)(uintptr_t)ebx);
	else if (ebx && read32((const uint8_t *)(uintptr_t)ebx) == PVH_MAGIC)
		pvh((const uint8_t *)(uintptr_t)ebx);
	else if (read32((const uint8_t *)esi + 0x202) == ZERO_PAGE_MAGIC)
		zero_page((const uint8_t *)esi);
	else
		text("way=?\n");
}
