/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives QEMU's educational device, passed to 00:10.0, for ever: DMA from memory to the device and
 * back to another place, compared. On COM1 a '.' for each time it is right; a line ends if it is
 * not.
 */
#include "edu.h"

enum {
	SOURCE = 0x80,
	DESTINATION = 0x88,
	COUNT = 0x90,
	START = 0x98,
	DEVICE_MEMORY = 0x40000,
	FROM = 0x200000,
	TO = 0x300000,
	LENGTH = 1024,
};

static void dma(uint32_t source, uint32_t destination, uint32_t command)
{
	*at(EDU_WINDOW + SOURCE) = source;
	*at(EDU_WINDOW + DESTINATION) = destination;
	*at(EDU_WINDOW + COUNT) = LENGTH;
	*at(EDU_WINDOW + START) = command;
	while (*at(EDU_WINDOW + START) & 1)
		;
}

void main(void)
{
	edu_begin(6);
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
