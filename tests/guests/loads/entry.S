/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the registers of the entry for report(), and resets the VM after it. */
#ifdef PVH
	.section .note.pvh, "a", @note
	.long	4, 4, 18	/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start
#endif
	.section .head, "ax"
#ifdef MULTIBOOT
#ifdef ADDRESSES
	.set	flags, 0x10003
#else
	.set	flags, 3
#endif
	.long	0		/* so that the header is not the first */
header:
	.long	0x1badb002, flags, -(0x1badb002 + flags)
	.long	header, image_start, image_end, image_bss_end, start
#endif
	.global	start
start:
	cli
	cld
#ifdef __x86_64__
	movq	$stack_end, %rsp
	movq	%rsi, %rdx
	movl	%ebx, %esi
	movl	%eax, %edi
#else
	movl	$stack_end, %esp
	pushl	%esi
	pushl	%ebx
	pushl	%eax
#endif
	call	report
	movw	$0x603, %dx
	movb	$1, %al
	outb	%al, %dx
1:	hlt
	jmp	1b
	.bss
	.balign	16
	.space	8192
stack_end:
