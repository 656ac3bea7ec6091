/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest without an operating system, entered at its first byte with the MMU off: says what it finds
 * on the serial port at 0x1c090000 and switches itself off. MODE: 0 no more than that; 1 resets; 2
 * accesses the port in a way that tells the hypervisor nothing (a store with writeback); 3 reads where
 * nothing is; 4 starts the other processors, which say their numbers; 5 starts the watchdog at 0x1c0f0000 and sleeps;
 * 6 calls functions of tests/vdevs/calls.c, one of them with the MMU on, and says what came back; 7 waits for the power
 * button of the PL061 at 0x1c1d0000.
 */
.include "mmu.inc"
.equ UART, 0x1c090000
.equ HOLE, 0x10000000
.equ WATCHDOG, 0x1c0f0000
.equ GPIO, 0x1c1d0000
.equ CALL_ADD, 0xc3000001
.equ CALL_STATE, 0xc3000002
.equ CALL_PASS, 0xc3000003
.equ CALL_NOBODY, 0xc3000004
.equ PATTERN, 0x11223344
.equ ANSWER, 0x55667788
.equ ALIAS, 0xc0000000
.equ MAIR, 0x04ff
.equ TCR, 0x200803519
.equ PSCI_OFF, 0x84000008
.equ PSCI_RESET, 0x84000009
.equ PSCI_CPU_ON, 0xc4000003
.equ FDT_MAGIC, 0xedfe0dd0

.macro say char
	mov w9, #\char
	str w9, [x20]
.endm

/* Say one character if the registers are the same, else the other. */
.macro say_if_same a, b, then, else
	cmp \a, \b
	mov w9, #\then
	mov w10, #\else
	csel w9, w9, w10, eq
	str w9, [x20]
.endm

.macro call what, function
	ldr x0, =\function
	mov x1, #40
	mov x2, #2
	\what #0
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
.elseif MODE == 6
	mov x3, #42
	mov x4, #43
	mov x5, #-1
	call hvc, CALL_ADD
	say_if_same x0, x3, 'H', '-'
	call smc, CALL_ADD
	say_if_same x0, x4, 'S', '-'
	call hvc, CALL_PASS
	say_if_same x0, x5, 'C', '-'
	call hvc, CALL_NOBODY
	say_if_same x0, x5, 'N', 'A'
	call smc, CALL_NOBODY
	say_if_same x0, x5, 'N', 'A'
	/* Floating point, and the first two GiB as they are, the second one at ALIAS more once again. */
	mov x1, #3 << 20
	msr cpacr_el1, x1
	mmu_on
	ldr w6, =PATTERN
	ldr w7, =ANSWER
	fmov s5, w6
	msr elr_el1, x6
	adr x1, word
	ldr x2, =ALIAS
	add x1, x1, x2
	mrs x2, vbar_el1
	ldr x0, =CALL_STATE
	hvc #0
	add w9, w0, #'0'
	str w9, [x20]
	fmov w1, s6
	say_if_same w1, w7, 'F', '-'
	mrs x1, tpidr_el0
	say_if_same x1, x7, 'T', '-'
	adr x2, word
	ldr w1, [x2]
	say_if_same w1, w7, 'V', '-'
.elseif MODE == 7
	ldr x3, =GPIO
	mov w4, #8
	strb w4, [x3, #0x40c] /* rising edges */
	strb w4, [x3, #0x410]
	say 'W'
pressed:
	ldrb w5, [x3, #0x418]
	cbz w5, pressed
	say 'P'
	ldrb w5, [x3, #8 << 2]
	say_if_same w5, w4, 'H', '-'
	strb w4, [x3, #0x41c]
held:
	ldrb w5, [x3, #8 << 2]
	cbnz w5, held
	say 'R'
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

.if MODE == 6
word:
	.word PATTERN
.align 12
table: /* of 1 GiB each: devices, nothing, memory; behind ALIAS memory again */
	.quad 0x405, 0, 0x80000701, 0, 0, 0x80000701
	.fill 506, 8, 0
.endif

.align 11
vectors:
.rept 16
	b aborted
	.align 7
.endr
