/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in real mode that reads COM1's scratch register COUNT times, ROUNDS times, with the marks
 * s0, e0, s1, e1, ... around them and z0 at the end. It needs no memory and runs at any address;
 * with FIRMWARE it is an image of 64 KiB whose reset vector jumps to its start.
 */
	.code16
	.macro put value
	movb	\value, %al
	outb	%al, %dx
	.endm
	.macro say letter
	movw	$0x3f8, %dx
	put	$'@'
	put	$'@'
	put	$\letter
	put	%bl
	put	$'\n'
	.endm

start:
	cli
	movb	$'0', %bl
again:
	say	's'
	movl	$COUNT, %ecx
	movw	$0x3ff, %dx
1:	inb	%dx, %al
	decl	%ecx
	jnz	1b
	say	'e'
	incb	%bl
	cmpb	$('0' + ROUNDS), %bl
	jne	again
	say	'z'
2:	hlt
	jmp	2b
#ifdef FIRMWARE
	.org	0xfff0
	ljmpw	$0xf000, $0
	.org	0x10000
#endif
