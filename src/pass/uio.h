/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the host that are not on PCI: what sysfs and /proc say of addresses, ports and
 * interrupts, and UIO devices, by which user space gets them. Nothing is opened. Any thread.
 */
#ifndef PASS_UIO_H
#define PASS_UIO_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

enum { UIO_NAME_LEN = 64, UIO_MAX_MAPS = 5 };

/* A part of a UIO device that can be mapped. */
struct uio_map {
	unsigned uio;		     /* /dev/uioN */
	unsigned number;	     /* of the map: it lies at number pages of the file */
	uint64_t addr, size, offset; /* host-physical; offset: of its start in its first page */
};

/* Map `number` of a UIO device. False: there is none. */
bool uio_map_read(unsigned uio, unsigned number, struct uio_map *ret);
/* Call `each` with the number and name of every UIO device. */
void uio_each(void (*each)(void *ctx, unsigned uio, const char *name), void *ctx);
/* The UIO device that has all of [addr, addr + len). False: there is none. */
bool uio_find_memory(uint64_t addr, uint64_t len, struct uio_map *ret);
/* A UIO device has all of these ports. */
bool uio_has_ports(uint64_t port, uint64_t len);
/* The UIO device that has the host's interrupt: its number at the interrupt controller. Returns how
 * many may be it: the host says no more than a name, which several may have. */
unsigned uio_find_interrupt(uint32_t number, unsigned *ret_uio);

enum host_use {
	HOST_USE_NOTHING, /* nobody has said what is there */
	HOST_USE_NAMED,	  /* *ret_name: the innermost that has part of it */
	HOST_USE_RAM	  /* memory of the host, which its programs and other VMs have */
};

/* What the host has at these physical addresses. */
enum host_use host_use_memory(uint64_t addr, uint64_t len, char ret_name[UIO_NAME_LEN]);
/* The innermost that has this address, and its last one. False: none. */
bool host_memory_at(uint64_t addr, char ret_name[UIO_NAME_LEN], uint64_t *ret_last);
/* Or ports; HOST_USE_NAMED: a driver has them. */
enum host_use host_use_ports(uint64_t port, uint64_t len, char ret_name[UIO_NAME_LEN]);

#endif
