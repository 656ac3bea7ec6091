/* SPDX-License-Identifier: Apache-2.0 */
/* qtest: what QEMU's has not: messages, DMA, failures, a hostile memory, snapshots. */
#include "vdevtest/qtest_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "vdevtest/adversary.h"
#include "vdevtest/hostcalls.h"
#include "vdevtest/standin.h"

enum {
	PAGE = 4096,
	MAX_RAM_REGIONS = 64,
	MAX_WAIT_MS = 60000,
	MAX_FLIP = 1 << 20,
	MAX_LISTED = 256,
	DEFAULT_FLIP = 0xff,
	NUM_BYTES = 256,
	MAX_VECTOR = 255
};

static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	qtest_event(ctx, "MSI 0x%016llx 0x%08x", (unsigned long long)addr, data);
}

static void on_dma(void *ctx, uint64_t gpa, uint64_t len, bool write)
{
	qtest_event(ctx, "DMA %s 0x%llx %llu", write ? "write" : "read", (unsigned long long)gpa,
		    (unsigned long long)len);
}

static void do_msi_intercept(struct qtest *q)
{
	/* What was raised before is no news. */
	(void)vdevtest_messages(q->t, 0, NULL, NULL);
	q->watch.message = on_message;
	vdevtest_set_watch(q->t, &q->watch);
	qtest_done(q);
}

static void do_dma_log(struct qtest *q)
{
	bool on = strcmp(q->words[1], "on") == 0;

	if (!on && strcmp(q->words[1], "off") != 0) {
		qtest_wrong(q, "x-dma-log on or off, not '%s'", q->words[1]);
		return;
	}
	q->watch.dma = on ? on_dma : NULL;
	vdevtest_set_watch(q->t, &q->watch);
	qtest_done(q);
}

/* Calls of the host */

static void unknown_call(struct qtest *q)
{
	qtest_wrong(q, "'%s' is no call that can be watched; see x-calls", q->words[1]);
}

static void do_fail(struct qtest *q)
{
	uint64_t nth, times = 1;
	int err = hostcalls_errno(q->words[3]);

	if (!qtest_argument(q, 2, UINT64_MAX, &nth) ||
	    (q->num_words > 4 && !qtest_argument(q, 4, UINT64_MAX, &times)))
		return;
	if (!err) {
		qtest_wrong(q, "'%s' is no errno", q->words[3]);
		return;
	}
	int rc = hostcalls_fail(q->words[1], nth, err, times);

	if (rc == -EINVAL)
		qtest_wrong(q, "%s does all or nothing", q->words[1]);
	else if (rc)
		unknown_call(q);
	else
		qtest_done(q);
}

static void do_calls(struct qtest *q)
{
	uint64_t count;
	const char *name;

	if (q->num_words > 1) {
		if (hostcalls_count(q->words[1], &count))
			unknown_call(q);
		else
			qtest_ok(q, "%llu", (unsigned long long)count);
		return;
	}
	qtest_done(q);
	for (unsigned i = 0; (name = hostcalls_name(i)); i++)
		if (hostcalls_count(name, &count) == 0)
			strbuf_printf(&q->reply, " %s=%llu", name, (unsigned long long)count);
}

static void do_host_input(struct qtest *q)
{
	uint64_t n;
	size_t room = strlen(q->words[2]) / 2;

	if (!qtest_argument(q, 1, UINT32_MAX, &n))
		return;
	/* The session's, as that of requests that read a block. */
	free(q->block);
	q->block = malloc(room + 1);
	long len = q->block ? qtest_hex(q->words[2], q->block, room) : -1;

	if (len < 0) {
		qtest_wrong(q, "'%s' is not 0x and pairs of hexadecimal digits", q->words[2]);
		return;
	}
	int rc = standin_feed((unsigned)n, q->block, (size_t)len);

	if (rc == -ENODEV)
		qtest_no(q, "%u devices of the host are open", standin_count());
	else if (rc)
		qtest_no(q, "the vdev has not read what came before");
	else
		qtest_done(q);
}

static void do_host_remove(struct qtest *q)
{
	uint64_t n;

	if (!qtest_argument(q, 1, UINT32_MAX, &n))
		return;
	if (standin_remove((unsigned)n))
		qtest_no(q, "%u devices of the host are open", standin_count());
	else
		qtest_done(q);
}

static void do_status(struct qtest *q)
{
	vdevtest_status(q->t);
	qtest_done(q);
}

static void do_fdt(struct qtest *q)
{
	size_t len;

	free(q->block);
	q->block = vdevtest_fdt(q->t, &len);
	if (!q->block) {
		qtest_no(q, "a vdev has not described itself");
		return;
	}
	qtest_done(q);
	strbuf_add_char(&q->reply, ' ');
	qtest_add_hex(&q->reply, q->block, len);
}

static void do_button(struct qtest *q)
{
	if (vdevtest_button(q->t))
		qtest_done(q);
	else
		qtest_no(q, "no vdev has asked for the button");
}

/* Memory */

static void do_flip(struct qtest *q)
{
	uint64_t addr, len, mask = DEFAULT_FLIP, reads = 1;
	void *ram;

	if (!qtest_argument(q, 1, UINT64_MAX, &addr) || !qtest_argument(q, 2, MAX_FLIP, &len) ||
	    (q->num_words > 3 && !qtest_argument(q, 3, NUM_BYTES - 1, &mask)) ||
	    (q->num_words > 4 && !qtest_argument(q, 4, UINT32_MAX, &reads)))
		return;
	ram = vdevtest_ram_at(q->t, addr, len);
	if (!ram) {
		qtest_no(q, "no guest memory at %s, %s bytes", q->words[1], q->words[2]);
		return;
	}
	switch (adversary_arm(ram, len, (uint8_t)mask, reads ? (unsigned)reads : 1)) {
	case 0:
		qtest_done(q);
		break;
	case -ENOTSUP:
		qtest_no(q, "%s", "on AArch64 reads cannot be watched");
		break;
	default:
		qtest_no(q, "at most %d ranges wait for their read", ADVERSARY_MAX_RANGES);
	}
}

static void do_flips(struct qtest *q)
{
	qtest_ok(q, "%u", adversary_armed());
}

struct page {
	uint64_t gpa;
	uint8_t data[PAGE];
};

struct qtest_snapshot {
	char *name;
	struct page *pages; /* those that are not all zeros */
	size_t num, room;
};

static bool is_zero(const uint8_t *page)
{
	static const uint8_t zeros[PAGE];

	return memcmp(page, zeros, PAGE) == 0;
}

static bool snapshot_add(struct qtest_snapshot *s, uint64_t gpa, const uint8_t *page)
{
	if (s->num == s->room) {
		size_t room = MAX(2 * s->room, (size_t)16);
		struct page *grown = realloc(s->pages, room * sizeof(*grown));

		if (!grown)
			return false;
		s->pages = grown;
		s->room = room;
	}
	s->pages[s->num].gpa = gpa;
	memcpy(s->pages[s->num++].data, page, PAGE);
	return true;
}

static void snapshot_free(struct qtest_snapshot *s)
{
	free(s->pages);
	free(s->name);
	free(s);
}

static struct qtest_snapshot *snapshot_take(struct qtest *q, const char *name)
{
	struct vdevtest_region ram[MAX_RAM_REGIONS];
	unsigned n = vdevtest_ram_regions(q->t, ram, MAX_RAM_REGIONS);
	struct qtest_snapshot *s = calloc(1, sizeof(*s));
	bool ok = s && (s->name = strdup(name));

	for (unsigned i = 0; i < n && ok; i++) {
		const uint8_t *p = vdevtest_ram_at(q->t, ram[i].start, ram[i].len);

		for (uint64_t at = 0; at < ram[i].len && ok; at += PAGE)
			ok = is_zero(p + at) || snapshot_add(s, ram[i].start + at, p + at);
	}
	if (!ok && s)
		snapshot_free(s);
	return ok ? s : NULL;
}

/* Its index, or num_snapshots. */
static unsigned snapshot_find(const struct qtest *q, const char *name)
{
	unsigned i = 0;

	while (i < q->num_snapshots && strcmp(q->snapshots[i]->name, name) != 0)
		i++;
	return i;
}

static void do_snapshot(struct qtest *q)
{
	unsigned i = snapshot_find(q, q->words[1]);

	if (i == QTEST_MAX_SNAPSHOTS) {
		qtest_no(q, "at most %d snapshots", QTEST_MAX_SNAPSHOTS);
		return;
	}
	struct qtest_snapshot *s = snapshot_take(q, q->words[1]);

	if (!s) {
		qtest_no(q, "out of memory");
		return;
	}
	if (i < q->num_snapshots)
		snapshot_free(q->snapshots[i]);
	else
		q->num_snapshots++;
	q->snapshots[i] = s;
	qtest_done(q);
}

static void do_restore(struct qtest *q)
{
	struct vdevtest_region ram[MAX_RAM_REGIONS];
	unsigned n = vdevtest_ram_regions(q->t, ram, MAX_RAM_REGIONS);
	unsigned i = snapshot_find(q, q->words[1]);

	if (i == q->num_snapshots) {
		qtest_no(q, "there is no snapshot '%s'", q->words[1]);
		return;
	}
	const struct qtest_snapshot *s = q->snapshots[i];

	for (unsigned k = 0; k < n; k++)
		(void)madvise(vdevtest_ram_at(q->t, ram[k].start, ram[k].len), ram[k].len,
			      MADV_DONTNEED);
	for (size_t k = 0; k < s->num; k++)
		memcpy(vdevtest_ram(q->t, s->pages[k].gpa, PAGE), s->pages[k].data, PAGE);
	qtest_done(q);
}

static void do_alloc(struct qtest *q)
{
	uint64_t len, align = 16;

	if (!qtest_argument(q, 1, QTEST_MAX_BLOCK, &len) ||
	    (q->num_words > 2 && !qtest_argument(q, 2, QTEST_MAX_BLOCK, &align)))
		return;
	qtest_ok(q, "0x%llx", (unsigned long long)vdevtest_alloc(q->t, len, align));
}

/* PCI */

static void do_pci(struct qtest *q)
{
	bool write = q->num_words > 4;
	uint64_t dev, reg, len, value = 0;

	if (!qtest_argument(q, 1, VDEVTEST_MMIO - 1, &dev) ||
	    !qtest_argument(q, 2, PAGE - 1, &reg) || !qtest_argument(q, 3, 4, &len) ||
	    (write && !qtest_argument(q, 4, UINT32_MAX, &value)))
		return;
	if (len != 1 && len != 2 && len != 4) {
		qtest_wrong(q, "a width of 1, 2 or 4, not %llu", (unsigned long long)len);
	} else if (write) {
		vdevtest_pci_write(q->t, (unsigned)dev, (unsigned)reg, (unsigned)len,
				   (uint32_t)value);
		qtest_done(q);
	} else {
		qtest_ok(q, "0x%08x",
			 vdevtest_pci_read(q->t, (unsigned)dev, (unsigned)reg, (unsigned)len));
	}
}

/* Instructions of a vCPU */

static void do_msr(struct qtest *q)
{
	bool write = q->num_words > 2;
	uint64_t index, value = 0;

	if (!qtest_argument(q, 1, UINT32_MAX, &index) ||
	    (write && !qtest_argument(q, 2, UINT64_MAX, &value)))
		return;
	if (!vdevtest_msr(q->t, write, (uint32_t)index, &value))
		qtest_ok(q, "fault");
	else if (write)
		qtest_done(q);
	else
		qtest_ok(q, "0x%016llx", (unsigned long long)value);
}

static void do_cpuid(struct qtest *q)
{
	uint32_t regs[4];
	uint64_t leaf;

	if (!qtest_argument(q, 1, UINT32_MAX, &leaf))
		return;
	if (vdevtest_cpuid(q->t, (uint32_t)leaf, regs))
		qtest_ok(q, "0x%08x 0x%08x 0x%08x 0x%08x", regs[0], regs[1], regs[2], regs[3]);
	else
		qtest_ok(q, "none");
}

/* Its side of interrupts */

static void do_eoi(struct qtest *q)
{
	uint64_t vector;

	if (!qtest_argument(q, 1, MAX_VECTOR, &vector))
		return;
	vdevtest_eoi(q->t, (unsigned)vector);
	qtest_done(q);
}

static void do_acknowledge(struct qtest *q)
{
	if (vdevtest_extint(q->t))
		qtest_ok(q, "%d", vdevtest_acknowledge(q->t));
	else
		qtest_ok(q, "none");
}

/* The rest */

static void do_run(struct qtest *q)
{
	qtest_done(q);
}

/* For vdevs with threads of their own: real time passes. */
static void do_wait(struct qtest *q)
{
	uint64_t ms;

	if (!qtest_argument(q, 1, MAX_WAIT_MS, &ms))
		return;
	for (uint64_t i = 0; i < ms; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		vdevtest_run(q->t);
	}
	qtest_done(q);
}

static void do_ended(struct qtest *q)
{
	qtest_ok(q, "%d", vdevtest_ended(q->t));
}

static void do_regions(struct qtest *q)
{
	struct vdevtest_region regions[MAX_LISTED];
	unsigned n = vdevtest_regions(q->t, regions, MAX_LISTED);

	qtest_done(q);
	for (unsigned i = 0; i < n; i++)
		strbuf_printf(&q->reply, " %s:0x%llx+0x%llx",
			      regions[i].space == VDEVTEST_IO ? "io" : "mem",
			      (unsigned long long)regions[i].start,
			      (unsigned long long)regions[i].len);
}

static void do_expect(struct qtest *q)
{
	struct strbuf wanted = { 0 };

	for (unsigned i = 1; i < q->num_words; i++)
		strbuf_printf(&wanted, "%s%s", i > 1 ? " " : "", q->words[i]);
	if (strcmp(strbuf_text(&wanted), strbuf_text(&q->last)) == 0) {
		qtest_done(q);
	} else {
		qtest_no(q, "expected '%s', got '%s'", strbuf_text(&wanted), strbuf_text(&q->last));
		q->result = QTEST_UNEXPECTED;
	}
	strbuf_free(&wanted);
}

const struct qtest_request qtest_extensions[] = {
	{ "x-msi-intercept", do_msi_intercept, 1, 1, true },
	{ "x-dma-log", do_dma_log, 2, 2, true },
	{ "x-fail", do_fail, 4, 5, true },
	{ "x-calls", do_calls, 1, 2, true },
	{ "x-host-input", do_host_input, 3, 3, false },
	{ "x-host-remove", do_host_remove, 2, 2, false },
	{ "x-status", do_status, 1, 1, false },
	{ "x-button", do_button, 1, 1, false },
	{ "x-fdt", do_fdt, 1, 1, true },
	{ "x-flip", do_flip, 3, 5, true },
	{ "x-flips", do_flips, 1, 1, true },
	{ "x-snapshot", do_snapshot, 2, 2, true },
	{ "x-restore", do_restore, 2, 2, true },
	{ "x-alloc", do_alloc, 2, 3, true },
	{ "x-pci-read", do_pci, 4, 4, true },
	{ "x-pci-write", do_pci, 5, 5, false },
	{ "x-msr-read", do_msr, 2, 2, true },
	{ "x-msr-write", do_msr, 3, 3, false },
	{ "x-cpuid", do_cpuid, 2, 2, true },
	{ "x-eoi", do_eoi, 2, 2, false },
	{ "x-acknowledge", do_acknowledge, 1, 1, false },
	{ "x-run", do_run, 1, 1, false },
	{ "x-wait", do_wait, 2, 2, false },
	{ "x-ended", do_ended, 1, 1, true },
	{ "x-regions", do_regions, 1, 1, true },
	{ "x-expect", do_expect, 2, QTEST_MAX_WORDS, true },
	{ NULL, NULL, 0, 0, false },
};

void qtest_extend_free(struct qtest *q)
{
	for (unsigned i = 0; i < q->num_snapshots; i++)
		snapshot_free(q->snapshots[i]);
}
