/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address plan of x86-64 guests: what lies at a fixed place whatever the configuration says.
 * docs/design/address-plan.md explains it. RAM, ROM and vdevs that reach one of these places are
 * refused, both owners named.
 */
#ifndef MACHINE_ADDRESS_H
#define MACHINE_ADDRESS_H

/* Guest-physical addresses, lengths in bytes. */
#define ADDRESS_ECAM	     0xe0000000ull
#define ADDRESS_ECAM_BUSES   1u
#define ADDRESS_ECAM_BUS_LEN 0x100000ull
#define ADDRESS_PCI_MEM32    0xe8000000ull
#define ADDRESS_PCI_MEM32_LEN \
	0x10000000ull /* up to 0xf7ffffff: stock files put their ioapic at 0xf8000000 */
#define ADDRESS_PCI_PORTS     0ull /* ports are the processor's */
#define ADDRESS_PCI_IO	      0xc000ull
#define ADDRESS_PCI_IO_LEN    0x1000ull
#define ADDRESS_IOAPIC	      0xfec00000ull
#define ADDRESS_LAPIC	      0xfee00000ull
#define ADDRESS_LAPIC_LEN     0x100000ull /* its page, and where messages are sent */
#define ADDRESS_KVM_PAGES     0xfeffc000ull
#define ADDRESS_KVM_PAGES_LEN 0x4000ull

#define PCI_HAS_CONFIG_PORTS  true

/* Ports. */
#define PORT_PCI_CONFIG	       0xcf8u
#define PORT_PCI_CONFIG_LEN    8u
#define PORT_PLATFORM	       0x600u /* sleep control, sleep status, event, reset */
#define PORT_PLATFORM_LEN      4u
#define PORT_FIXED_EVENT       0x604u /* fixed ACPI registers, if the VM has them */
#define PORT_FIXED_CONTROL     0x608u
#define PORT_FIXED_LEN	       8u
#define PORT_DELAY	       0x80u /* writes there are a delay on a PC */

#define PLATFORM_SLEEP_CONTROL 0u
#define PLATFORM_SLEEP_STATUS  1u
#define PLATFORM_EVENT	       2u
#define PLATFORM_RESET	       3u
#define PLATFORM_RESET_VALUE   0x01u

/* Where tables go if there is memory: where a PC's firmware has them, so that every guest finds the
 * RSDP. */
#define ADDRESS_TABLES	   0xe0000ull
#define ADDRESS_TABLES_LEN 0x20000ull
/* From here to 1 MiB no RAM is told to the guest, even if there is some: VGA and firmware on a PC.
 */
#define ADDRESS_LOW_RAM_END 0x9fc00ull
#define ADDRESS_HIGH_RAM    0x100000ull

#define MAX_CPUS	    16u

/* Lines that interrupt pins of PCI functions may get: behind the classic interrupts. */
#define INTX_FIRST_GSI 16u
#define INTX_LAST_GSI  23u

#endif
