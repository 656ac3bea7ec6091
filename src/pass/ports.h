/* SPDX-License-Identifier: Apache-2.0 */
/* The host's ports, where it has some. */
#ifndef PASS_PORTS_H
#define PASS_PORTS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

/* This thread and those that it starts may use these ports. -EPERM: no right (CAP_SYS_RAWIO).
 * -ENODEV: this architecture has no ports. */
int ports_open(unsigned first, unsigned num) MUST_CHECK;
/* len: 1, 2 or 4 bytes. */
uint32_t port_read(uint16_t port, unsigned len);
void port_write(uint16_t port, unsigned len, uint32_t value);

#endif
