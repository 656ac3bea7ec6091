/* SPDX-License-Identifier: Apache-2.0 */
#include "pass/ports.h"

#include <errno.h>
#include <sys/io.h>

int ports_open(unsigned first, unsigned num)
{
	return ioperm(first, num, 1) ? -errno : 0;
}

uint32_t port_read(uint16_t port, unsigned len)
{
	return len == 1 ? inb(port) : len == 2 ? inw(port) : inl(port);
}

void port_write(uint16_t port, unsigned len, uint32_t value)
{
	if (len == 1)
		outb((uint8_t)value, port);
	else if (len == 2)
		outw((uint16_t)value, port);
	else
		outl(value, port);
}
