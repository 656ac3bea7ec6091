/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tap interface behind virtio-net: nothing but the host's system calls. Errors are errno
 * numbers.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>

/* Every packet has a virtio_net_hdr of this size before it, both ways, little-endian. */
#define TAP_HEADER 12

/* What the reader of the tap can take besides whole, checksummed packets: TUN_F_* of
 * <linux/if_tun.h>. */
int tap_set_offloads(int fd, unsigned offloads);

/* Can `name` be a tap, as far as one can tell without opening it? NULL, or why not. */
const char *tap_check(const char *name);

/* The MTU of the interface `name`, 0: there is none. */
unsigned tap_mtu(const char *name);

/*
 * Attach to the tap `name`, which is made for as long as the VM runs if it is not there. Not
 * blocking. On failure *ret_why says what to do about it.
 */
int tap_open(const char *name, int *ret_fd, const char **ret_why);

/* Throw away what waits to be read. */
void tap_drain(int fd);

#endif
