/* SPDX-License-Identifier: Apache-2.0 */
/* At 0x80000000, with memory as it is behind an MMU: devices below 1 GiB, memory from 2 GiB on. Then main. */
.include "mmu.inc"
.equ MAIR, 0x04ff
.equ TCR, 0x200803519
.equ PSCI_OFF, 0x84000008

	.section .start, "ax"
	mmu_on
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
