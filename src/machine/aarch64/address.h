/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address plan of AArch64 guests: what lies at a fixed place whatever the configuration says.
 * docs/design/address-plan.md explains it. RAM, ROM and vdevs that reach one of these places are
 * refused, both owners named. Stock files have RAM from 0x80000000 on and devices between
 * 0x1c000000 and 0x30000000; what is made for QEMU has RAM from 0x40000000 on.
 */
#ifndef MACHINE_ADDRESS_H
#define MACHINE_ADDRESS_H

/* Guest-physical addresses, lengths in bytes. */
#define ADDRESS_ECAM	      0x3f000000ull
#define ADDRESS_ECAM_BUSES    1u
#define ADDRESS_ECAM_BUS_LEN  0x100000ull
#define ADDRESS_PCI_MEM32     0x32000000ull
#define ADDRESS_PCI_MEM32_LEN 0x0c000000ull
#define ADDRESS_PCI_PORTS     0x3f200000ull /* where the bus's port 0 lies in memory */
#define ADDRESS_PCI_IO	      0x1000ull
#define ADDRESS_PCI_IO_LEN    0xf000ull
#define PCI_HAS_CONFIG_PORTS  false

/* The interrupt controller, if the file does not say; the rest of it lies behind its distributor.
 */
#define ADDRESS_GIC	   0x2f000000ull
#define GIC_DIST_LEN	   0x10000ull
#define GIC_ITS_OFFSET	   0x20000ull
#define GIC_ITS_LEN	   0x20000ull
#define GIC_REDIST_OFFSET  0x100000ull
#define GIC_REDIST_CPU_LEN 0x20000ull
#define GIC2_DIST_LEN	   0x1000ull
#define GIC2_CPU_OFFSET	   0x10000ull
#define GIC2_CPU_LEN	   0x2000ull
#define GIC_FRAME_LEN	   0x1000ull
#define GIC_FIRST_SPI	   32u
#define GIC_NUM_IRQS	   512u /* interrupt numbers, those of a processor included */

#define MAX_CPUS	   8u

/* Interrupt numbers that interrupt pins of PCI functions may get. */
#define INTX_FIRST_GSI 480u
#define INTX_LAST_GSI  511u

/* Of each processor, as the architecture recommends: the timers' interrupt numbers. */
#define TIMER_SECURE	 29u
#define TIMER_PHYSICAL	 30u
#define TIMER_VIRTUAL	 27u
#define TIMER_HYPERVISOR 26u

#endif
