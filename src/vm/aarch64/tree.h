/* SPDX-License-Identifier: Apache-2.0 */
/* The device tree of a VM; part of vm_load. */
#ifndef VM_AARCH64_TREE_H
#define VM_AARCH64_TREE_H

#include "boot/devtree.h"
#include "vm/loader.h"

/* Make the tree, write it where `set fdt-dump-file` says, and put it into RAM, clear of the kernel
 * and the initrd (len 0: none). */
int tree_load(struct loader *ld, const struct devtree_range *kernel,
	      const struct devtree_range *initrd, uint64_t *ret_gpa);

#endif
