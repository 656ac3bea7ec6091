/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/input.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "base/util.h"
#include "vdevtest/coverage.h"
#include "vdevtest/hostcalls.h"
#include "vdevtest/standin.h"

#define LONGEST_STEP (UINT64_C(1) << 34) /* ns */

enum {
	VIRTIO_VENDOR = 0x1af4,
	NO_VENDOR = 0xffff,
	NUM_DEVS = 32,
	PAGE = 4096,
	MOST_NEW_LINES = 24,
	MAX_LINE = 2048,
	MOST_FAILURES = 16,
	ALLOCATED = 0x100000, /* where the driver's rings and buffers begin */
	RING_BYTES = 0x4000,
	DATA = 0x300000, /* what requests may send */
	DATA_LEN = 0x10000,
};

uint64_t dice_roll(struct dice *d, uint64_t sides)
{
	uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return sides ? x % sides : x;
}

static bool one_in(struct dice *d, unsigned n)
{
	return dice_roll(d, n) == 0;
}

/* The core's own: ECAM, the configuration ports, the platform. The vdevs' are the rest. */
static bool is_core(const struct vdevtest_region *r)
{
	if (r->space == VDEVTEST_IO)
		return r->start == 0xcf8 || r->start == 0x80 || r->start == 0x600;
	return r->start == ADDRESS_ECAM;
}

static unsigned count_queues(struct vdevtest *t, unsigned dev)
{
	struct vdevtest_virtio *v = vdevtest_virtio_start(t, dev, UINT64_MAX, 16);
	unsigned num = vdevtest_virtio_num_queues(v);

	vdevtest_virtio_end(v);
	return num;
}

static void look_at_pci(struct vdevtest *t, struct target *ret, unsigned dev)
{
	uint32_t vendor = vdevtest_pci_read(t, dev, 0, 2);

	if (vendor == NO_VENDOR)
		return;
	ret->pci[ret->num_pci].dev = dev;
	/* Registers answer from here on. */
	vdevtest_pci_write(t, dev, 4, 2, 7);
	if (vendor == VIRTIO_VENDOR)
		ret->pci[ret->num_pci].num_queues = count_queues(t, dev);
	ret->num_pci++;
}

/* VirtIO devices in memory have queues, and registers among the regions. */
static void look_at_mmio(struct vdevtest *t, struct target *ret)
{
	uint64_t addr;

	for (unsigned dev = VDEVTEST_MMIO;
	     ret->num_pci < ARRAY_LEN(ret->pci) && vdevtest_mmio_place(t, dev, &addr); dev++) {
		ret->pci[ret->num_pci].dev = dev;
		ret->pci[ret->num_pci++].num_queues = count_queues(t, dev);
	}
}

static void look_at_pics(struct vdevtest *t, struct target *ret)
{
	const char *names[TARGET_MAX_PICS];
	unsigned n = vdevtest_pics(t, names, TARGET_MAX_PICS);

	for (unsigned i = 0; i < MIN(n, (unsigned)TARGET_MAX_PICS); i++)
		if (strlen(names[i]) < sizeof(ret->pics[0]))
			strcpy(ret->pics[ret->num_pics++], names[i]);
}

void target_look_at(struct vdevtest *t, struct target *ret)
{
	struct vdevtest_region all[TARGET_MAX_REGIONS];
	unsigned n;

	*ret = (struct target){ 0 };
	(void)vdevtest_ram_regions(t, &ret->ram, 1);
	for (unsigned dev = 1; dev < NUM_DEVS; dev++)
		look_at_pci(t, ret, dev);
	look_at_mmio(t, ret);
	look_at_pics(t, ret);
	n = vdevtest_instructions(t, ret->instructions, TARGET_MAX_INSTRUCTIONS);
	ret->num_instructions = MIN(n, (unsigned)TARGET_MAX_INSTRUCTIONS);
	ret->num_standins = standin_count();
	ret->has_button = vdevtest_button(t);
	n = vdevtest_regions(t, all, TARGET_MAX_REGIONS);
	for (unsigned i = 0; i < n; i++)
		if (!is_core(&all[i]))
			ret->regions[ret->num_regions++] = all[i];
}

static uint64_t number(struct dice *d)
{
	static const uint64_t odd[] = { 0,	    1,	     2,		 3,	   4,
					7,	    8,	     15,	 16,	   0x7f,
					0x80,	    0xff,    0x100,	 0x7fff,   0x8000,
					0xffff,	    0x10000, 0x7fffffff, 1u << 31, UINT32_MAX,
					UINT64_MAX, 512,     4096,	 0x100000, 0xfee00000 };
	uint64_t value;

	switch (dice_roll(d, 6)) {
	case 0:
		return odd[dice_roll(d, ARRAY_LEN(odd))];
	case 1:
		return UINT64_C(1) << dice_roll(d, 64);
	case 2:
		return dice_roll(d, 256);
	case 3:
		return dice_roll(d, UINT64_C(1) << (1 + dice_roll(d, 63)));
	case 4:
		if (coverage_value(dice_roll(d, 0), &value))
			return value;
		return dice_roll(d, 16);
	default:
		return dice_roll(d, 16);
	}
}

static void line_register(struct dice *d, const struct target *target, struct strbuf *out)
{
	static const char *const widths[] = { "b", "w", "l", "q" };
	const struct vdevtest_region *r = &target->regions[dice_roll(d, target->num_regions)];
	unsigned width = (unsigned)dice_roll(d, r->space == VDEVTEST_IO ? 3 : 4);
	bool write = dice_roll(d, 3) != 0;
	uint64_t offset = dice_roll(d, r->len);

	/* Registers stand at the start of pages, and what says which they are at the end. */
	if (r->len > PAGE / 4 && !one_in(d, 4))
		offset = dice_roll(d, (r->len + PAGE - 1) / PAGE) * PAGE + dice_roll(d, 64);
	else if (r->len > PAGE / 4 && one_in(d, 2))
		offset = r->len - 1 - dice_roll(d, 32);
	if (!one_in(d, 8))
		offset &= ~((UINT64_C(1) << width) - 1);
	strbuf_printf(out, "%s%s 0x%" PRIx64,
		      r->space == VDEVTEST_IO ? (write ? "out" : "in") : (write ? "write" : "read"),
		      widths[width], r->start + offset);
	if (write)
		strbuf_printf(out, " 0x%" PRIx64, number(d));
	strbuf_add_char(out, '\n');
}

static uint64_t place(struct dice *d, const struct target *target)
{
	switch (dice_roll(d, 4)) {
	case 0:
		return number(d);
	case 1:
		return target->ram.start + target->ram.len - dice_roll(d, 32);
	case 2:
		return ALLOCATED + dice_roll(d, RING_BYTES);
	default:
		return dice_roll(d, MAX(target->ram.len, UINT64_C(1)));
	}
}

/* Bytes as requests begin: small words of 4 and 8 bytes, or anything. */
static void blob(struct dice *d, struct strbuf *out)
{
	unsigned words = (unsigned)(one_in(d, 8) ? dice_roll(d, 64) + 1 : dice_roll(d, 6) + 1);

	strbuf_add_text(out, "0x");
	for (unsigned i = 0; i < words; i++) {
		uint32_t value = (uint32_t)(one_in(d, 3) ? number(d) : dice_roll(d, 16));

		for (unsigned k = 0; k < 4; k++)
			strbuf_printf(out, "%02x", value >> 8 * k & 0xff);
	}
}

/*
 * As most devices' requests are: a number and some words, what goes out, what comes in, a status.
 * No device is meant; what of that it takes, coverage tells.
 */
static void line_request(struct dice *d, unsigned dev, unsigned queue, struct strbuf *out)
{
	static const unsigned lengths[] = { 16, 20, 60, 512, 1024, 4096, 65536 };
	unsigned words = one_in(d, 4) ? (unsigned)dice_roll(d, 12) + 1 : 4;

	strbuf_printf(out, "x-queue-add %u %u out:0x", dev, queue);
	for (unsigned i = 0; i < words; i++) {
		uint32_t value = i == 0		? (uint32_t)dice_roll(d, 16)
				 : one_in(d, 4) ? (uint32_t)number(d)
						: 0;

		for (unsigned k = 0; k < 4; k++)
			strbuf_printf(out, "%02x", value >> 8 * k & 0xff);
	}
	for (unsigned n = (unsigned)dice_roll(d, 3); n; n--)
		strbuf_printf(out, " out@0x%x:0x%x", DATA + (unsigned)dice_roll(d, DATA_LEN),
			      lengths[dice_roll(d, ARRAY_LEN(lengths))]);
	for (unsigned n = (unsigned)dice_roll(d, 3); n; n--)
		strbuf_printf(out, " in:%u", lengths[dice_roll(d, ARRAY_LEN(lengths))]);
	strbuf_add_text(out, one_in(d, 8) ? "\n" : " in:1\n");
}

static void line_add(struct dice *d, const struct target *target, unsigned dev, unsigned queue,
		     struct strbuf *out)
{
	static const unsigned lengths[] = { 1, 4, 8, 12, 16, 20, 64, 512, 513, 1526, 4096, 8192 };
	unsigned n = (unsigned)dice_roll(d, one_in(d, 10) ? 16 : 4) + 1;
	bool in = false;

	strbuf_printf(out, "x-queue-add %u %u", dev, queue);
	for (unsigned i = 0; i < n; i++) {
		/* What may be written stands behind what may be read, as a rule. */
		in = (in && !one_in(d, 16)) || (i ? dice_roll(d, 3) != 0 : one_in(d, 2));

		if (one_in(d, 12)) {
			strbuf_printf(out, " %s@0x%" PRIx64 ":0x%" PRIx64, in ? "in" : "out",
				      place(d, target), number(d) & UINT32_MAX);
		} else if (in) {
			strbuf_printf(out, " in:%u",
				      one_in(d, 4) ? (unsigned)dice_roll(d, 5000)
						   : lengths[dice_roll(d, ARRAY_LEN(lengths))]);
		} else {
			strbuf_add_text(out, " out:");
			blob(d, out);
		}
	}
	strbuf_add_char(out, '\n');
}

/* All that is offered, or without packed rings, or with some bits taken away. */
static void line_start(struct dice *d, unsigned dev, struct strbuf *out)
{
	uint64_t features = UINT64_MAX;

	if (one_in(d, 2))
		features &= ~(UINT64_C(1) << 34);
	for (unsigned i = one_in(d, 3) ? (unsigned)dice_roll(d, 6) : 0; i; i--)
		features &= ~(UINT64_C(1) << dice_roll(d, 45));
	strbuf_printf(out, "x-virtio-start %u 0x%" PRIx64 " %u\n", dev, features,
		      1u << dice_roll(d, 8));
}

static void line_virtio(struct dice *d, const struct target *target, unsigned dev, unsigned queues,
			struct strbuf *out)
{
	unsigned queue = (unsigned)dice_roll(d, queues), width = 1u << dice_roll(d, 4);

	switch (dice_roll(d, 16)) {
	case 0:
		line_start(d, dev, out);
		break;
	case 1:
		strbuf_printf(out, "x-virtio-config-read %u %u %u\n", dev,
			      (unsigned)dice_roll(d, 80), width);
		break;
	case 2:
		strbuf_printf(out, "x-virtio-config-write %u %u %u 0x%" PRIx64 "\n", dev,
			      (unsigned)dice_roll(d, 80), width, number(d));
		break;
	case 3:
		strbuf_printf(out,
			      one_in(d, 2) ? "x-queue-reset %u %u\n" : "x-queue-enable %u %u\n",
			      dev, queue);
		break;
	case 4:
		strbuf_printf(out, one_in(d, 4) ? "x-virtio-end %u\n" : "x-virtio-status %u\n",
			      dev);
		break;
	case 5:
	case 6:
		strbuf_printf(out, "x-queue-used %u %u\n", dev, queue);
		break;
	case 7:
		strbuf_printf(out, "writel 0x%" PRIx64 " 0x%" PRIx64 "\n",
			      ALLOCATED + (dice_roll(d, RING_BYTES) & ~UINT64_C(3)), number(d));
		break;
	case 8:
		/* Each access costs more while one waits. */
		if (!one_in(d, 16))
			break;
		strbuf_printf(out, "x-flip 0x%" PRIx64 " %u 0x%x\n",
			      ALLOCATED + dice_roll(d, RING_BYTES), (unsigned)dice_roll(d, 16) + 1,
			      1u << dice_roll(d, 8));
		break;
	case 9:
		strbuf_printf(out, "x-queue-kick %u %u\n", dev, queue);
		break;
	default:
		if (one_in(d, 2))
			line_request(d, dev, queue, out);
		else
			line_add(d, target, dev, queue, out);
		if (!one_in(d, 4))
			strbuf_printf(out, "x-queue-kick %u %u\n", dev, queue);
	}
}

static void line_pci(struct dice *d, unsigned dev, struct strbuf *out)
{
	unsigned reg = (unsigned)dice_roll(d, one_in(d, 4) ? PAGE : 256),
		 width = 1u << dice_roll(d, 3);

	if (one_in(d, 2))
		strbuf_printf(out, "x-pci-read %u %u %u\n", dev, reg, width);
	else
		strbuf_printf(out, "x-pci-write %u %u %u 0x%" PRIx64 "\n", dev, reg, width,
			      number(d) & UINT32_MAX);
}

/* One that the vdevs made in the last run, if it can be. */
static const char *call_name(struct dice *d)
{
	unsigned num = 0, at;
	uint64_t count = 0;

	while (hostcalls_name(num))
		num++;
	at = (unsigned)dice_roll(d, num);
	for (unsigned i = 0; i < num && !one_in(d, 64); i++, at = (at + 1) % num)
		if (hostcalls_count(hostcalls_name(at), &count) == 0 && count)
			break;
	/* Which cannot fail. */
	return strcmp(hostcalls_name(at), "clock_gettime") == 0 ? "read" : hostcalls_name(at);
}

static void line_fail(struct dice *d, struct strbuf *out)
{
	static const char *const errors[] = { "EIO",	"ENOMEM",     "EAGAIN", "EINTR",
					      "ENOSPC", "EBADFD",     "EINVAL", "ENODEV",
					      "EBUSY",	"EOPNOTSUPP", "SHORT",	"SHORT" };

	strbuf_printf(out, "x-fail %s %u %s %u\n", call_name(d), (unsigned)dice_roll(d, 3) + 1,
		      errors[dice_roll(d, ARRAY_LEN(errors))], (unsigned)dice_roll(d, 2) + 1);
}

/* What comes from the host's side of a device: records of small words. */
static void line_host_input(struct dice *d, const struct target *target, struct strbuf *out)
{
	unsigned n = (unsigned)dice_roll(d, target->num_standins);

	if (one_in(d, 32)) {
		strbuf_printf(out, "x-host-remove %u\n", n);
		return;
	}
	strbuf_printf(out, "x-host-input %u ", n);
	blob(d, out);
	strbuf_add_char(out, '\n');
}

static void line_instruction(struct dice *d, const struct target *target, struct strbuf *out)
{
	const struct vdevtest_instruction *i =
		&target->instructions[dice_roll(d, target->num_instructions)];
	uint32_t which = i->number + (uint32_t)(one_in(d, 8) ? dice_roll(d, 5) - 2 : 0);

	if (i->cpuid)
		strbuf_printf(out, "x-cpuid 0x%x\n", which);
	else if (one_in(d, 2))
		strbuf_printf(out, "x-msr-read 0x%x\n", which);
	else
		strbuf_printf(out, "x-msr-write 0x%x 0x%" PRIx64 "\n", which, number(d));
}

static void line_interrupt(struct dice *d, const struct target *target, struct strbuf *out)
{
	if (one_in(d, 4))
		strbuf_printf(out, "x-eoi %u\n", (unsigned)dice_roll(d, 256));
	else if (one_in(d, 4))
		strbuf_add_text(out, "x-acknowledge\n");
	else
		strbuf_printf(out, "set_irq_in %s in %u %u\n",
			      target->pics[dice_roll(d, target->num_pics)],
			      (unsigned)dice_roll(d, one_in(d, 8) ? 256 : 16),
			      (unsigned)dice_roll(d, 2));
}

/* What else a machine and its host do to a vdev. True: a line is there. */
static bool line_around(struct dice *d, const struct target *target, struct strbuf *out)
{
	switch (dice_roll(d, 5)) {
	case 0:
		strbuf_add_text(out, target->has_button && one_in(d, 2) ? "x-button\n"
				     : one_in(d, 16)			? "x-fdt\n"
									: "x-status\n");
		return true;
	case 1:
		if (target->num_instructions)
			line_instruction(d, target, out);
		return target->num_instructions;
	case 2:
		if (target->num_pics)
			line_interrupt(d, target, out);
		return target->num_pics;
	default:
		if (target->num_standins)
			line_host_input(d, target, out);
		return target->num_standins;
	}
}

static void line_else(struct dice *d, const struct target *target, struct strbuf *out)
{
	if (one_in(d, 3))
		line_fail(d, out);
	else if (one_in(d, 2) && line_around(d, target, out))
		return;
	else if (one_in(d, 3))
		strbuf_add_text(out, "clock_step\n");
	else
		strbuf_printf(out, "clock_step %" PRIu64 "\n",
			      dice_roll(d, LONGEST_STEP >> dice_roll(d, 34)));
}

static void line(struct dice *d, const struct target *target, struct strbuf *out)
{
	unsigned i = target->num_pci ? (unsigned)dice_roll(d, target->num_pci) : 0;

	if (one_in(d, 8))
		line_else(d, target, out);
	else if (target->num_pci && target->pci[i].dev < VDEVTEST_MMIO && one_in(d, 16))
		line_pci(d, target->pci[i].dev, out);
	else if (target->num_pci && target->pci[i].num_queues && dice_roll(d, 5))
		line_virtio(d, target, target->pci[i].dev, target->pci[i].num_queues, out);
	else if (target->num_regions)
		line_register(d, target, out);
	else
		line_else(d, target, out);
}

void input_make(struct dice *d, const struct target *target, struct strbuf *out)
{
	/* Without its memory decoded a PCI device answers nothing. */
	for (unsigned i = 0; i < target->num_pci; i++) {
		if (target->pci[i].num_queues && !one_in(d, 12))
			line_start(d, target->pci[i].dev, out);
		else if (target->pci[i].dev < VDEVTEST_MMIO)
			strbuf_printf(out, "x-pci-write %u 4 2 7\n", target->pci[i].dev);
	}
	for (unsigned n = (unsigned)dice_roll(d, MOST_NEW_LINES) + 1; n; n--)
		line(d, target, out);
}

/* One word of the line changes: a number, or a digit of bytes. */
static void change_line(struct dice *d, const char *text, size_t len, struct strbuf *out)
{
	char copy[MAX_LINE], *words[64];
	unsigned n = 0, at;

	len = MIN(len, sizeof(copy) - 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	for (char *rest = copy, *word; n < ARRAY_LEN(words) && (word = strsep(&rest, " "));)
		words[n++] = word;
	at = n > 1 ? 1 + (unsigned)dice_roll(d, n - 1) : 0;
	for (unsigned i = 0; i < n; i++) {
		char *colon = strchr(words[i], ':'), *digits = colon ? colon + 1 : words[i];

		strbuf_add_text(out, i ? " " : "");
		if (i != at || !at || !isdigit((unsigned char)*digits)) {
			strbuf_add_text(out, words[i]);
		} else if (colon && digits[1] == 'x' && strncmp(words[i], "out:", 4) == 0) {
			size_t k = 2 + dice_roll(d, MAX(strlen(digits) - 2, (size_t)1));

			if (digits[k])
				digits[k] = "0123456789abcdef"[dice_roll(d, 16)];
			strbuf_add_text(out, words[i]);
		} else {
			uint64_t old = strtoull(digits, NULL, 0), value = number(d);

			if (one_in(d, 2))
				value = one_in(d, 2) ? old ^ UINT64_C(1) << dice_roll(d, 16)
						     : old + dice_roll(d, 9) - 4;
			if (colon)
				value &= UINT32_MAX;
			/* A call that fails for ever is no finding. */
			if (strncmp(text, "x-fail", strlen("x-fail")) == 0)
				value %= MOST_FAILURES;
			/* Nor is a year of a fast timer. */
			if (strncmp(text, "clock_", strlen("clock_")) == 0)
				value %= LONGEST_STEP;
			*digits = '\0';
			strbuf_printf(out, "%s0x%" PRIx64, words[i], value);
		}
	}
	strbuf_add_char(out, '\n');
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

void input_change(struct dice *d, const struct target *target, const char *text, const char *other,
		  struct strbuf *out)
{
	unsigned n = count_lines(text), changes = 1u << dice_roll(d, 4);
	const char *graft = NULL;

	if (other && one_in(d, 6))
		graft = other;
	for (unsigned i = 0; i < n && out->len < INPUT_MAX_TEXT / 2; i++) {
		size_t len = strcspn(text, "\n");
		bool change = dice_roll(d, n) < changes;

		switch (change ? dice_roll(d, 8) : 8) {
		case 0:
			break; /* it is left out */
		case 1:
			strbuf_add(out, text, len + 1);
			strbuf_add(out, text, len + 1);
			break;
		case 2:
		case 3:
			line(d, target, out);
			strbuf_add(out, text, len + 1);
			break;
		case 4:
		case 5:
		case 6:
			change_line(d, text, len, out);
			break;
		default:
			strbuf_add(out, text, len + 1);
		}
		if (graft && dice_roll(d, n) == 0) {
			strbuf_add(out, graft, MIN(strlen(graft), (size_t)INPUT_MAX_TEXT / 4));
			if (out->len && out->data[out->len - 1] != '\n')
				strbuf_add_char(out, '\n');
			graft = NULL;
		}
		text += len + 1;
	}
	if (one_in(d, 2))
		line(d, target, out);
	if (!out->len)
		line(d, target, out);
}
