/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives QEMU's educational device, passed to 00:10.0, for ever: DMA from memory to the device and
 * back to another place, compared. On COM1 a '.' for each time it is right; a line ends if it is
 * not.
 */
#include <stdint.h>

enum {
	CONFIG = 0x80008000, /* 00:10.0 */
	COMMAND = 0x04,
	BAR0 = 0x10,
	WINDOW = 0xe8000000,
	SOURCE = 0x80,
	DESTINATION = 0x88,
	COUNT = 0x90,
	START = 0x98,
	DEVICE_MEMORY = 0x40000,
	FROM = 0x200000,
	TO = 0x300000,
	LENGTH = 1024,
};

static void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static void config_write(uint32_t reg, uint32_t value)
{
	outl(0xcf8, CONFIG | reg);
	outl(0xcfc, value);
}

static volatile uint32_t *at(uint32_t address)
{
	return (volatile uint32_t *)address;
}

static void dma(uint32_t source, uint32_t destination, uint32_t command)
{
	*at(WINDOW + SOURCE) = source;
	*at(WINDOW + DESTINATION) = destination;
	*at(WINDOW + COUNT) = LENGTH;
	*at(WINDOW + START) = command;
	while (*at(WINDOW + START) & 1)
		;
}

void main(void)
{
	config_write(BAR0, WINDOW);
	config_write(COMMAND, 6);
	for (uint32_t turn = 1;; turn++) {
		for (uint32_t i = 0; i < LENGTH; i += 4)
			*at(FROM + i) = turn * 0x9e3779b1 + i;
		dma(FROM, DEVICE_MEMORY, 1);
		dma(DEVICE_MEMORY, TO, 3);
		for (uint32_t i = 0; i < LENGTH; i += 4)
			if (*at(TO + i) != *at(FROM + i))
				return;
		outb(0x3f8, '.');
	}
}
