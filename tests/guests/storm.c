/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's educational device, passed to 00:10.0, asks for an interrupt for ever: each is ended at
 * the local APIC and never acknowledged at the device. On COM1 a '.' for every 1000 of them.
 */
#include "edu.h"

enum {
	RAISE = 0x60,

	IOAPIC = 0xfec00000,
	IOAPIC_DATA = IOAPIC + 0x10,
	FIRST_PIN = 16, /* the four lines of PCI */
	NUM_PINS = 4,
	LEVEL_LOW = 0xa000,

	LAPIC = 0xfee00000,
	LAPIC_EOI = LAPIC + 0xb0,
	LAPIC_SPURIOUS = LAPIC + 0xf0,

	VECTOR = 0x40,
	CODE = 8,
	INTERRUPT_GATE = 0x8e00,
};

struct frame;

static void ioapic_write(uint32_t reg, uint32_t value)
{
	*at(IOAPIC) = reg;
	*at(IOAPIC_DATA) = value;
}

__attribute__((interrupt)) static void came(struct frame *frame)
{
	static uint32_t count;

	(void)frame;
	if (++count % 1000 == 0)
		outb(0x3f8, '.');
	*at(LAPIC_EOI) = 0;
}

void main(void)
{
	static uint64_t gates[256];
	const struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) idt = { sizeof(gates) - 1, (uint32_t)gates };
	const uint32_t entry = (uint32_t)came;

	gates[VECTOR] = (uint64_t)(entry >> 16) << 48 | (uint64_t)INTERRUPT_GATE << 32 |
			(uint64_t)CODE << 16 | (entry & 0xffff);
	__asm__ volatile("lidt %0" : : "m"(idt));
	*at(LAPIC_SPURIOUS) = 0x1ff;
	for (uint32_t pin = FIRST_PIN; pin < FIRST_PIN + NUM_PINS; pin++) {
		ioapic_write(0x11 + 2 * pin, 0);
		ioapic_write(0x10 + 2 * pin, LEVEL_LOW | VECTOR);
	}
	edu_begin(2);
	*at(EDU_WINDOW + RAISE) = 1;
	for (;;)
		__asm__ volatile("sti; hlt");
}
