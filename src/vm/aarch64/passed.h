/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest is told of registers that are passed to it: the nodes that the host's own device
 * tree has for them, with the guest's places, interrupts and clocks. Start-up stage, one thread.
 */
#ifndef VM_AARCH64_PASSED_H
#define VM_AARCH64_PASSED_H

#include "boot/devtree.h"
#include "vm/vm.h"

/*
 * A node for each entry that has all registers of a device of the host's, in the order in which the
 * device has them. Nothing if the user brings a tree or an overlay: then that tells of them. Errors
 * of devtree_device.
 */
int passed_nodes(struct vm *vm, struct devtree *tree) MUST_CHECK;

#endif
