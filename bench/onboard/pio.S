/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in real mode that reads COM1's scratch register COUNT times and says in TSC cycles how
 * long the fastest of them took: `@@fastest c=0xHEX`. It needs no memory and runs at any address;
 * with FIRMWARE it is an image of 64 KiB whose reset vector jumps to its start.
 */
	.code16
	.macro say text
	movw	$\text, %si
7:	lodsb	%cs:(%si), %al
	testb	%al, %al
	jz	8f
	outb	%al, %dx
	jmp	7b
8:
	.endm

/* The code segment begins here, wherever that is. */
start:
	cli
	cld
	movw	$0x3f8, %dx
	say	begun
	movl	$COUNT, %ecx
	movl	$-1, %edi
	movw	$0x3ff, %bx
1:	rdtsc
	movl	%eax, %esi
	movw	%bx, %dx
	inb	%dx, %al
	rdtsc
	subl	%esi, %eax
	cmpl	%edi, %eax
	cmovbl	%eax, %edi
	decl	%ecx
	jnz	1b
	movw	$0x3f8, %dx
	say	result
	movb	$8, %cl
2:	roll	$4, %edi
	movl	%edi, %eax
	andb	$15, %al
	addb	$'0', %al
	cmpb	$('9' + 1), %al
	jb	3f
	addb	$('a' - '9' - 1), %al
3:	outb	%al, %dx
	decb	%cl
	jnz	2b
	movb	$'\n', %al
	outb	%al, %dx
4:	hlt
	jmp	4b
begun:	.asciz	"@@start\n"
result:	.asciz	"@@fastest c=0x"
#ifdef FIRMWARE
	.org	0xfff0
	ljmpw	$0xf000, $0
	.org	0x10000
#endif
