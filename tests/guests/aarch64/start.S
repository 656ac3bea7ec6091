/* SPDX-License-Identifier: Apache-2.0 */
/* At 0x80000000, with memory as it is behind an MMU: devices below 1 GiB, memory from 2 GiB on. Then main. */
.equ MAIR, 0x04ff
.equ TCR, 0x200803519
.equ PSCI_OFF, 0x84000008

	.section .start, "ax"
	ldr x1, =MAIR
	msr mair_el1, x1
	ldr x1, =TCR
	msr tcr_el1, x1
	adr x1, table
	msr ttbr0_el1, x1
	isb
	mrs x1, sctlr_el1
	mov x2, #5 /* MMU and data cache */
	orr x1, x1, x2
	msr sctlr_el1, x1
	isb
	ldr x1, =stack_top
	mov sp, x1
	bl main
	ldr x0, =PSCI_OFF
	hvc #0
	b .

	.section .data
	.align 12
table: /* of 1 GiB each */
	.quad 0x405, 0, 0x80000701
	.fill 509, 8, 0
	.fill 4096, 1, 0
stack_top:
