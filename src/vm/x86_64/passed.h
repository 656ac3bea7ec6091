/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest is told of ports and registers that are passed to it: a device with the ids under
 * which the host's firmware tells the host of them. Start-up stage, one thread.
 */
#ifndef VM_X86_64_PASSED_H
#define VM_X86_64_PASSED_H

#include "boot/acpi.h"
#include "vm/vm.h"

/* As in "PNP0501"; cid "": it has one id. */
struct passed_ids {
	char hid[16], cid[16];
};

/* The device of the host whose ports and registers are all of that entry. False: there is none, or
 * it needs more than that, or the guest is told by tables of the user's. */
bool passed_find(const struct vm *vm, const struct conf_pass *pass, struct passed_ids *ret);
/* Its places and interrupts in the guest: at most num_locs + num_intrs. */
size_t passed_resources(const struct vm *vm, const struct conf_pass *pass,
			struct acpi_resource *ret);

#endif
