/* SPDX-License-Identifier: Apache-2.0 */
/* mmio.c on x86-64, in 32-bit mode: pins 16 to 20 of the ioapic. */

enum {
	IOAPIC = 0xfec00000,
	LAPIC = 0xfee00000,
	LAPIC_EOI = 0xb0,
	LAPIC_SPURIOUS = 0xf0,
	FIRST_VECTOR = 0x40,
	FIRST_PIN = 16,
	LEVEL = 1 << 15,
};

static struct {
	uint16_t low, selector, flags, high;
} idt[FIRST_VECTOR + NUM_DEVICES];

#define HANDLER(n)                                                     \
	__attribute__((interrupt)) static void handler##n(void *frame) \
	{                                                              \
		(void)frame;                                           \
		serve_interrupt(n);                                    \
		put(LAPIC + LAPIC_EOI, 0);                             \
	}
HANDLER(0)
HANDLER(1)
HANDLER(2)
HANDLER(3)
HANDLER(4)

static void arch_interrupts_on(void)
{
	static void (*const handlers[])(void *) = { handler0, handler1, handler2, handler3,
						    handler4 };
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (uint32_t)idt };

	for (unsigned i = 0; i < NUM_DEVICES; i++) {
		uint32_t at = (uint32_t)handlers[i], pin = FIRST_PIN + i;

		idt[FIRST_VECTOR + i].low = (uint16_t)at;
		idt[FIRST_VECTOR + i].high = (uint16_t)(at >> 16);
		idt[FIRST_VECTOR + i].selector = 8;
		idt[FIRST_VECTOR + i].flags = 0x8e00;
		put(IOAPIC, 0x11 + 2 * pin);
		put(IOAPIC + 0x10, 0);
		put(IOAPIC, 0x10 + 2 * pin);
		put(IOAPIC + 0x10, LEVEL | (FIRST_VECTOR + i));
	}
	put(LAPIC + LAPIC_SPURIOUS, 0x1ff);
	__asm__ volatile("lidt %0" : : "m"(idtr));
}

/* Until an interrupt was served; they are off outside of this. */
static void arch_wait(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}
