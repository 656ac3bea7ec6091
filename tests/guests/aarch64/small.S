/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest without an operating system, entered at its first byte with the MMU off: says what it finds
 * on the serial port at 0x1c090000 and switches itself off. MODE: 0 no more than that; 1 resets; 2
 * accesses the port in a way that tells the hypervisor nothing (a store with writeback); 3 reads where
 * nothing is; 4 starts the other processors, which say their numbers; 5 starts the watchdog at 0x1c0f0000 and sleeps.
 */
.equ UART, 0x1c090000
.equ HOLE, 0x10000000
.equ WATCHDOG, 0x1c0f0000
.equ PSCI_OFF, 0x84000008
.equ PSCI_RESET, 0x84000009
.equ PSCI_CPU_ON, 0xc4000003
.equ FDT_MAGIC, 0xedfe0dd0

.macro say char
	mov w9, #\char
	str w9, [x20]
.endm

start:
	ldr x20, =UART
	adr x1, vectors
	msr vbar_el1, x1
	isb
	ldr w1, [x0]
	ldr w2, =FDT_MAGIC
	cmp w1, w2
	b.ne no_tree
	say 'T' /* a device tree */
no_tree:
	mrs x1, currentel
	lsr x1, x1, #2
	add w9, w1, #'0'
	str w9, [x20]
.if MODE == 2
	mov x3, x20
	mov w9, #'N'
	str w9, [x3], #4
	say 'n'
.elseif MODE == 3
	ldr x3, =HOLE
	ldr w4, [x3]
	cmn w4, #1
	b.ne 1f
	say 'O' /* all ones */
1:
.elseif MODE == 5
	ldr x3, =WATCHDOG
	mov w4, #500
	str w4, [x3]
	mov w4, #3
	str w4, [x3, #8]
asleep:
	wfi
	b asleep
.elseif MODE == 4
	mov x21, #1
	mov x22, #8
next:
	ldr x0, =PSCI_CPU_ON
	mov x1, x21
	adr x2, other
	mov x3, x21
	hvc #0
	cbnz x0, started
	add x21, x21, #1
	cmp x21, x22
	b.ne next
started:
	/* Each counts itself when it has spoken. */
	adr x1, count
2:	ldar w2, [x1]
	add w2, w2, #1
	cmp w2, w21
	b.ne 2b
.endif
off:
	say '\n'
.if MODE == 1
	ldr x0, =PSCI_RESET
.else
	ldr x0, =PSCI_OFF
.endif
	hvc #0
	b .

other: /* one at a time, in the order of their numbers */
	ldr x20, =UART
	adr x1, count
3:	ldar w2, [x1]
	add w2, w2, #1
	cmp w2, w0
	b.ne 3b
	add w9, w0, #'a'
	str w9, [x20]
	stlr w0, [x1]
	b .

aborted:
	say 'A'
	b off

.align 4
count:
	.word 0

.align 11
vectors:
.rept 16
	b aborted
	.align 7
.endr
