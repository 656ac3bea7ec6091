/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest for AArch64 that reads a register of its PL011, at UART, COUNT times and says in ticks of
 * the counter, of which there are HZ a second, how long the fastest of them took:
 * `@@fastest c=0xHEX hz=0xHEX`. It needs no memory and runs at any address.
 */
	.macro say text
	adr	x1, \text
7:	ldrb	w2, [x1], #1
	cbz	w2, 8f
	str	w2, [x0]
	b	7b
8:
	.endm

	/* \value, eight digits. */
	.macro hex value
	mov	w3, #8
5:	ror	\value, \value, #28
	and	w2, \value, #15
	add	w2, w2, #'0'
	cmp	w2, #'9'
	b.ls	6f
	add	w2, w2, #('a' - '9' - 1)
6:	str	w2, [x0]
	sub	w3, w3, #1
	cbnz	w3, 5b
	.endm

	ldr	x0, uart
	say	begun
	ldr	w6, count
	mov	w7, #-1
1:	isb
	mrs	x4, cntvct_el0
	ldr	w2, [x0, #0x24] /* the baud rate divisor */
	isb
	mrs	x5, cntvct_el0
	sub	w4, w5, w4
	cmp	w4, w7
	csel	w7, w4, w7, lo
	sub	w6, w6, #1
	cbnz	w6, 1b
	say	result
	hex	w7
	say	rate
	mrs	x6, cntfrq_el0
	hex	w6
	say	end
2:	wfi
	b	2b
	.balign	8
uart:	.quad	UART
count:	.word	COUNT
begun:	.asciz	"@@start\n"
result:	.asciz	"@@fastest c=0x"
rate:	.asciz	" hz=0x"
end:	.asciz	"\n"
