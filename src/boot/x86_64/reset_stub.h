/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands where a PC's firmware begins, in a VM without firmware. Linux on hardware-reduced
 * ACPI does not restart by the FADT's reset register but, finding no EFI, through the BIOS: it goes
 * to real mode and jumps to f000:fff0. This is the code that waits there and writes the reset
 * register.
 *
 * Pure. Called by whoever assembles the VM, which copies the bytes to the guest unless a ROM covers
 * that place; guest memory at that address has to exist, and is best reported as reserved.
 */
#ifndef BOOT_X86_64_RESET_STUB_H
#define BOOT_X86_64_RESET_STUB_H

#include <stdint.h>

#define RESET_STUB_GPA 0xffff0u
#define RESET_STUB_LEN 16u

/* Real-mode code that writes value, 8 bits, to the I/O port, and halts if the VM goes on.
 */
void reset_stub_write(uint16_t port, uint8_t value, uint8_t ret_code[RESET_STUB_LEN]);

#endif
