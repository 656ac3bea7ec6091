/* SPDX-License-Identifier: Apache-2.0 */
/* mmio.c on AArch64: interrupts of the GICv3, by its system registers. */

enum {
	GICD = 0x2f000000,
	GICD_CTLR = 0x000,
	GICD_CTLR_ON = 0x12, /* affinity routing, group 1 */
	GICD_IGROUPR1 = 0x084,
	GICD_ISENABLER1 = 0x104,
	FIRST_SPI = 32,
};

#define ICC_PMR	    "s3_0_c4_c6_0"
#define ICC_IAR1    "s3_0_c12_c12_0"
#define ICC_EOIR1   "s3_0_c12_c12_1"
#define ICC_SRE	    "s3_0_c12_c12_5"
#define ICC_IGRPEN1 "s3_0_c12_c12_7"

#define SYSREG_SET(name, value) \
	__asm__ volatile("msr " name ", %0; isb" : : "r"((uint64_t)(value)) : "memory")

static const uint8_t lines[NUM_DEVICES] = { 41, 40, 42, 44, 45 };

static void arch_interrupts_on(void)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < NUM_DEVICES; i++)
		mask |= 1u << (lines[i] - FIRST_SPI);
	SYSREG_SET(ICC_SRE, 1);
	put(GICD + GICD_IGROUPR1, mask);
	put(GICD + GICD_ISENABLER1, mask);
	put(GICD + GICD_CTLR, GICD_CTLR_ON);
	SYSREG_SET(ICC_PMR, 0xff);
	SYSREG_SET(ICC_IGRPEN1, 1);
}

/* Until an interrupt was served: it wakes a processor that does not take it, too. */
static void arch_wait(void)
{
	uint64_t line;

	__asm__ volatile("dsb sy; wfi" : : : "memory");
	__asm__ volatile("mrs %0, " ICC_IAR1 "; dsb sy" : "=r"(line) : : "memory");
	for (unsigned i = 0; i < NUM_DEVICES; i++) {
		if (lines[i] != line)
			continue;
		serve_interrupt(i);
		__asm__ volatile("dsb sy" : : : "memory");
		SYSREG_SET(ICC_EOIR1, line);
	}
}
