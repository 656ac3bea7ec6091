/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's educational device, passed to 00:10.0, for guests without an operating system. */
#ifndef GUESTS_EDU_H
#define GUESTS_EDU_H

#include <stdint.h>

enum {
	EDU_CONFIG = 0x80008000, /* 00:10.0 */
	EDU_COMMAND = 0x04,
	EDU_BAR0 = 0x10,
	EDU_WINDOW = 0xe8000000,
};

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline volatile uint32_t *at(uint32_t address)
{
	return (volatile uint32_t *)address;
}

static inline void config_write(uint32_t reg, uint32_t value)
{
	outl(0xcf8, EDU_CONFIG | reg);
	outl(0xcfc, value);
}

/* Its registers lie at EDU_WINDOW then; command: of the PCI command register. */
static inline void edu_begin(uint32_t command)
{
	config_write(EDU_BAR0, EDU_WINDOW);
	config_write(EDU_COMMAND, command);
}

#endif
