/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For `unsupported reference fail`: a string input from an empty port into a place without memory,
 * which faults in the middle of an instruction that has another access pending. There is no
 * interrupt table, so the fault ends the VM.
 */
#include <stdint.h>

void main(void);
void main(void)
{
	void *p = (void *)0x7ff00000;
	uint32_t count = 0x7fff;

	__asm__ volatile("rep insb" : "+D"(p), "+c"(count) : "d"((uint16_t)0x99) : "memory");
	/* Not reached: a page-crossing access of two fragments. */
	*(volatile uint32_t *)0x7ffffffdu = 1;
}
