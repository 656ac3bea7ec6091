/* SPDX-License-Identifier: Apache-2.0 */
/* From real mode at 0x8000 (CS base 0x8000) to flat 32-bit protected mode, then main. */
	.section .start, "ax"
	.code16
	cli
	lgdtl	%cs:gdt_pointer - 0x8000
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$8, $protected
	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x8000, %esp
	call	main
	/* The ACPI platform's sleep control: power off. */
	movw	$0x600, %dx
	movb	$0x34, %al
	outb	%al, %dx
1:	hlt
	jmp	1b
	.balign 8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
