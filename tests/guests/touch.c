/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Touches every port, every slot of the PCI configuration space and every hole of guest-physical
 * space, with every width, and says on COM1 where something answered. Ends by the ACPI platform.
 * What ends a VM by design is left out: the sleep and reset registers' magic values and the
 * keyboard controller's reset command are not written.
 */
#include <stdint.h>

static void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint16_t inw(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void put(const char *text)
{
	while (*text)
		outb(0x3f8, (uint8_t)*text++);
}

static void put_hex(uint32_t v, int digits)
{
	while (digits-- > 0)
		outb(0x3f8, (uint8_t) "0123456789abcdef"[(v >> (4 * digits)) & 15]);
}

/* Runs of ports that answer a byte read with something else than all ones. */
static void ports(void)
{
	int32_t first = -1;

	for (int32_t port = 0; port <= 0x10000; port++) {
		int there = port < 0x10000 && inb((uint16_t)port) != 0xff;

		if (there && first < 0)
			first = port;
		if (!there && first >= 0) {
			put("port ");
			put_hex((uint32_t)first, 4);
			put("-");
			put_hex((uint32_t)port - 1, 4);
			put("\n");
			first = -1;
		}
	}
	/* Wider reads at every eighth port, and writes of 0, which mean nothing anywhere. */
	for (uint32_t port = 0; port < 0x10000; port += 8) {
		(void)inw((uint16_t)(port + 1));
		(void)inl((uint16_t)(port + 3));
		if (port < 0x3f8 || port > 0x3ff)
			outl((uint16_t)port, 0);
	}
	/* String accesses over the end of a region. */
	static uint8_t buffer[64];
	uint16_t port = 0x3fe;
	uint8_t *p = buffer;
	uint32_t count = 16;

	__asm__ volatile("rep insb" : "+D"(p), "+c"(count) : "d"(port) : "memory");
}

static void pci(void)
{
	for (uint32_t devfn = 0; devfn < 256; devfn++) {
		volatile uint32_t *config = (volatile uint32_t *)(0xe0000000u + (devfn << 12));
		uint32_t id = config[0];

		outl(0xcf8, 0x80000000u | devfn << 8);
		if (inl(0xcfc) != id)
			put("ports and memory differ\n");
		if (id == 0xffffffffu)
			continue;
		put("pci ");
		put_hex(devfn >> 3, 2);
		put(".");
		put_hex(devfn & 7, 1);
		put(" ");
		put_hex(id & 0xffff, 4);
		put(":");
		put_hex(id >> 16, 4);
		put(" class ");
		put_hex(config[2] >> 16, 4);
		put("\n");
		/* Every register at every width, unaligned too; what is read-only stays. */
		for (uint32_t reg = 0; reg < 4096; reg += 3)
			(void)*(volatile uint16_t *)((uintptr_t)config + reg);
		for (uint32_t reg = 8; reg < 256; reg++)
			*(volatile uint8_t *)((uintptr_t)config + reg) = 0xff;
		for (uint32_t reg = 4; reg < 256; reg += 4)
			config[reg / 4] = 0;
	}
	for (uint32_t bus = 1; bus < 256; bus++) {
		outl(0xcf8, 0x80000000u | bus << 16);
		if (inl(0xcfc) != 0xffffffffu)
			put("another bus\n");
	}
}

/* One read and one write in every 2 MiB from the end of RAM (the caller's 16 MiB) to 4 GiB, at odd
 * places too. */
static void holes(void)
{
	uint32_t first = 0;

	for (uint32_t addr = 0x01000000u; addr >= 0x01000000u; addr += 0x200000u) {
		volatile uint32_t *p = (volatile uint32_t *)addr;
		int there = *p != 0xffffffffu;

		if (addr < 0xe0000000u || addr > 0xe00fffffu) {
			*p = 0;
			(void)*(volatile uint32_t *)(addr + 0x1ffffdu); /* crosses a page */
		}
		if (there && !first)
			first = addr;
		if (!there && first) {
			put("memory ");
			put_hex(first, 8);
			put("-");
			put_hex(addr - 1, 8);
			put("\n");
			first = 0;
		}
	}
}

void main(void);
void main(void)
{
	put("start\n");
	ports();
	pci();
	holes();
	put("end\n");
}
