/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a driver writes to registers: B1 a queue that is enabled is frozen, B4 selectors and
 * indices, B12 the state machines of status and BARs, B16 accesses over the ends of regions.
 */
#include "hostile.h"

enum { NO_VECTOR = 0xffff, MAX_REGIONS = 256, WALK_STEPS = 3000 };

static const char *const reg_names[NUM_REGS] = {
	[REG_DEVICE_FEATURES_SELECT] = "device_feature_select",
	[REG_DRIVER_FEATURES_SELECT] = "driver_feature_select",
	[REG_DRIVER_FEATURES] = "driver_feature",
	[REG_CONFIG_VECTOR] = "config_msix_vector",
	[REG_STATUS] = "device_status",
	[REG_QUEUE_SELECT] = "queue_select",
	[REG_QUEUE_SIZE] = "queue_size",
	[REG_QUEUE_VECTOR] = "queue_msix_vector",
	[REG_QUEUE_ENABLE] = "queue_enable",
	[REG_QUEUE_DESC] = "queue_desc",
	[REG_QUEUE_DESC_HIGH] = "queue_desc's high half",
	[REG_QUEUE_DRIVER] = "queue_driver",
	[REG_QUEUE_DRIVER_HIGH] = "queue_driver's high half",
	[REG_QUEUE_DEVICE] = "queue_device",
	[REG_QUEUE_DEVICE_HIGH] = "queue_device's high half",
	[REG_QUEUE_RESET] = "queue_reset",
};

/* B1 */

enum stage { STAGE_ENABLED, STAGE_RUNNING, STAGE_IN_FLIGHT, NUM_STAGES };
static const char *const stage_names[] = { "enabled", "DRIVER_OK", "in flight" };

static void to_stage(struct guest *g, enum stage stage)
{
	start(g);
	if (stage == STAGE_ENABLED) {
		(void)reset(g);
		(void)negotiate(g, UINT64_MAX);
		queue_setup(g, g->subject->queue, SIZE);
	}
	if (stage == STAGE_IN_FLIGHT) {
		(void)offer_plain(g, g->subject->queue);
		kick(g, g->subject->queue);
	}
	reg_write(g, REG_QUEUE_SELECT, g->subject->queue);
}

/* The request comes back in the ring that was enabled, and nowhere else. */
static void still_there(struct guest *g, enum stage stage)
{
	uint64_t other = memory_hash(g, RINGS - 0x80000, RINGS);

	if (stage == STAGE_ENABLED)
		driver_ok(g);
	if (stage != STAGE_IN_FLIGHT)
		(void)offer_plain(g, g->subject->queue);
	kick(g, g->subject->queue);
	run(g);
	expect(g, used_count(g, g->subject->queue) == 1);
	expect(g, status(g) == STATUS_RUNNING);
	expect(g, other == memory_hash(g, RINGS - 0x80000, RINGS));
}

/* DRV-2, 11 */
void row_b1(struct guest *g)
{
	static const enum reg regs[] = { REG_QUEUE_SIZE,	REG_QUEUE_DESC,
					 REG_QUEUE_DESC_HIGH,	REG_QUEUE_DRIVER,
					 REG_QUEUE_DRIVER_HIGH, REG_QUEUE_DEVICE,
					 REG_QUEUE_DEVICE_HIGH, REG_QUEUE_ENABLE };
	static const uint32_t values[] = { 0, 4, 2 * SIZE, RINGS - 0x80000, UINT32_MAX };

	for (unsigned stage = 0; stage < NUM_STAGES; stage++) {
		for (unsigned r = 0; r < sizeof(regs) / sizeof(regs[0]); r++) {
			for (unsigned v = 0; v < 5; v++) {
				if (!case_begin(g, "%s = 0x%x, %s", reg_names[regs[r]], values[v],
						stage_names[stage]))
					continue;
				to_stage(g, stage);
				uint64_t before = reg_read(g, regs[r]);

				/* By MMIO a driver may end a queue so. */
				if (regs[r] != REG_QUEUE_ENABLE || values[v] || g->transport->pci)
					reg_write(g, regs[r], values[v]);
				expect(g, reg_read(g, regs[r]) == before);
				still_there(g, stage);
				case_end(g);
			}
		}
		for (unsigned word = 0; word < 2; word++) {
			if (!case_begin(g, "driver_feature word %u = 0, %s", word,
					stage_names[stage]))
				continue;
			to_stage(g, stage);
			reg_write(g, REG_DRIVER_FEATURES_SELECT, word);
			uint64_t before = reg_read(g, REG_DRIVER_FEATURES);

			reg_write(g, REG_DRIVER_FEATURES, 0);
			expect(g, reg_read(g, REG_DRIVER_FEATURES) == before);
			still_there(g, stage);
			case_end(g);
		}
	}
}

/* B4 */

/* All registers, read at every width and place: answered, with nothing of another queue. */
static void read_all(struct guest *g)
{
	for (unsigned width = 1; width <= 8; width *= 2)
		for (unsigned at = 0; at < g->common_len; at++)
			(void)vdevtest_read(g->t, VDEVTEST_MEM, g->common + at, width);
}

static void select_queue(struct guest *g, unsigned number, unsigned width)
{
	static const enum reg regs[] = { REG_QUEUE_SIZE,	REG_QUEUE_DESC,	  REG_QUEUE_DRIVER,
					 REG_QUEUE_DEVICE_HIGH, REG_QUEUE_ENABLE, REG_QUEUE_RESET };

	reg_write(g, REG_QUEUE_SELECT, 0);
	vdevtest_write(g->t, VDEVTEST_MEM, reg_address(g, REG_QUEUE_SELECT), width, number);
	read_all(g);
	if (!selects(g, width) || number < g->num_queues)
		return;
	/* Wider writes go over the size register behind it, and leave the selector written. */
	for (unsigned i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		expect(g, reg_read(g, regs[i]) == 0);
		reg_write(g, regs[i], i % 2 ? 0x1000 : 1);
		expect(g, reg_read(g, regs[i]) == 0);
	}
	if (!g->transport->pci)
		return;
	reg_write(g, REG_QUEUE_VECTOR, 0);
	expect(g, reg_read(g, REG_QUEUE_VECTOR) == NO_VECTOR);
}

static void select_features(struct guest *g, enum reg select, unsigned number, unsigned width)
{
	enum reg value =
		select == REG_DEVICE_FEATURES_SELECT ? REG_DEVICE_FEATURES : REG_DRIVER_FEATURES;

	reg_write(g, select, 0);
	vdevtest_write(g->t, VDEVTEST_MEM, reg_address(g, select), width, number);
	read_all(g);
	if (g->transport->pci ? reg_read(g, select) < 2 : !selects(g, width) || number < 2)
		return;
	expect(g, reg_read(g, value) == 0);
	reg_write(g, value, UINT32_MAX);
	expect(g, reg_read(g, value) == 0);
}

static void write_vector(struct guest *g, enum reg reg, unsigned number, unsigned width)
{
	unsigned num = g->num_queues + 1;

	if (!g->transport->pci)
		return;
	reg_write(g, REG_QUEUE_SELECT, 0);
	vdevtest_write(g->t, VDEVTEST_MEM, reg_address(g, reg), width, number);
	if (width >= 2)
		expect(g, reg_read(g, reg) ==
				  ((number & 0xffff) < num ? (number & 0xffff) : NO_VECTOR));
	read_all(g);
	reg_write(g, reg, NO_VECTOR);
}

static void around_table(struct guest *g, unsigned number, unsigned width)
{
	if (!g->msix)
		return;
	for (unsigned at = 0; at < 16; at++) {
		uint64_t addr = g->msix + (uint64_t)(number & 0x7ff) * 16 + at;
		uint64_t before = vdevtest_read(g->t, VDEVTEST_MEM, addr, width);

		vdevtest_write(g->t, VDEVTEST_MEM, addr, width, UINT64_MAX);
		(void)vdevtest_read(g->t, VDEVTEST_MEM, addr, width);
		vdevtest_write(g->t, VDEVTEST_MEM, addr, width, before);
	}
}

static void around_config(struct guest *g, unsigned number, unsigned width)
{
	uint64_t end = g->device + g->config_len;

	if (!g->device)
		return;
	for (unsigned at = 0; at < 16; at++) {
		uint64_t addr =
			number == NO_VECTOR ? g->device + 0xff0 + at : end + at - 8 + number;

		(void)vdevtest_read(g->t, VDEVTEST_MEM, addr, width);
		vdevtest_write(g->t, VDEVTEST_MEM, addr, width, UINT64_MAX);
	}
}

/* The window of the PCI_CFG capability: bar, offset and length are the driver's. */
static void through_window(struct guest *g, unsigned number, unsigned width)
{
	unsigned cap = g->transport->pci ? vdevtest_pci_read(g->t, g->dev, 0x34, 1) : 0;

	while (cap && !(vdevtest_pci_read(g->t, g->dev, cap, 1) == 9 &&
			vdevtest_pci_read(g->t, g->dev, cap + 3, 1) == 5))
		cap = vdevtest_pci_read(g->t, g->dev, cap + 1, 1);
	if (!cap)
		return;
	for (unsigned bar = 0; bar < 8; bar++) {
		vdevtest_pci_write(g->t, g->dev, cap + 4, 1, bar);
		vdevtest_pci_write(g->t, g->dev, cap + 8, 4, number << (bar % 4 * 4));
		vdevtest_pci_write(g->t, g->dev, cap + 12, 4, width);
		(void)vdevtest_pci_read(g->t, g->dev, cap + 16, 4);
		if (bar != 0)
			vdevtest_pci_write(g->t, g->dev, cap + 16, 4, 0);
	}
}

/* PCI-12, 22, 54, DRV-24 to 27 */
void row_b4(struct guest *g)
{
	static const char *const what[] = {
		"queue_select",	      "device_feature_select", "driver_feature_select",
		"config_msix_vector", "queue_msix_vector",     "doorbell",
		"MSI-X entry",	      "device configuration",  "window"
	};
	static const char *const which[] = { "last", "one too many", "two too many", "0xffff" };

	for (unsigned w = 0; w < sizeof(what) / sizeof(what[0]); w++) {
		for (unsigned v = 0; v < 4; v++) {
			for (unsigned width = 1; width <= 8; width *= 2) {
				unsigned n = v == 3 ? NO_VECTOR : g->num_queues - 1 + v;

				if (!case_begin(g, "%s: %s, %u bytes", what[w], which[v], width))
					continue;
				start(g);
				if (w == 0) {
					select_queue(g, n, width);
				} else if (w < 3) {
					select_features(g,
							w == 1 ? REG_DEVICE_FEATURES_SELECT
							       : REG_DRIVER_FEATURES_SELECT,
							v == 3 ? n : v + 2, width);
				} else if (w < 5) {
					write_vector(g,
						     w == 3 ? REG_CONFIG_VECTOR : REG_QUEUE_VECTOR,
						     n + 1, width);
				} else if (w == 5) {
					vdevtest_write(g->t, VDEVTEST_MEM,
						       g->notify + (uint64_t)(n & 0x3ff) *
									   g->notify_multiplier,
						       width, n);
					run(g);
				} else if (w == 6) {
					around_table(g, n + 1, width);
				} else if (w == 7) {
					around_config(g, v == 3 ? NO_VECTOR : v, width);
				} else {
					through_window(g, n, width);
				}
				expect(g, w >= 7 || status(g) == STATUS_RUNNING);
				case_end(g);
			}
		}
	}
}

/* B12 */

/* What the status register does, by the specification and by what this device offers. */
struct model {
	uint8_t status;
	bool acceptable; /* what was written to driver_feature is */
};

static void model_write(struct model *m, uint8_t value)
{
	static const uint8_t bits[] = { 1, 2, 8, 4, 0x80 }, needs[] = { 0, 0, 2, 0xa, 0 };

	if (!value) {
		*m = (struct model){ 0 };
		return;
	}
	for (unsigned i = 0; i < 5; i++)
		if (value & bits[i] && (m->status & needs[i]) == needs[i] &&
		    (bits[i] != 8 || m->acceptable))
			m->status |= bits[i];
}

static void status_write(struct guest *g, struct model *m, uint8_t value)
{
	reg_write(g, REG_STATUS, value);
	for (unsigned i = 0; i < 100 && !value && status(g); i++)
		(void)vdevtest_wait(g->t);
	model_write(m, value);
	expect(g, status(g) == m->status);
}

static void features_write(struct guest *g, struct model *m, bool good)
{
	if (m->status & 8)
		return;
	for (unsigned i = 0; i < 2; i++) {
		reg_write(g, REG_DRIVER_FEATURES_SELECT, i);
		reg_write(g, REG_DRIVER_FEATURES, good ? (uint32_t)(g->features >> 32 * i) : 0);
	}
	m->acceptable = good;
}

static void status_cases(struct guest *g)
{
	static const uint8_t from[] = { 0, 1, 3, 0xb, 0xf, 0x83 };
	static const uint8_t to[] = { 0,   1,	2,   3,	  4,	7,    8,    9,
				      0xa, 0xb, 0xc, 0xf, 0x10, 0x40, 0x80, 0xff };

	for (unsigned f = 0; f < sizeof(from); f++) {
		for (unsigned t = 0; t < sizeof(to); t++) {
			struct model m = { 0 };

			if (!case_begin(g, "status 0x%x, then 0x%x", from[f], to[t]))
				continue;
			(void)reset(g);
			status_write(g, &m, from[f] & 3);
			features_write(g, &m, true);
			status_write(g, &m, from[f] & 0xb);
			if (from[f])
				status_write(g, &m, from[f]);
			status_write(g, &m, to[t]);
			case_end(g);
		}
	}
}

static void status_walk(struct guest *g, unsigned seed)
{
	struct model m = { 0 };
	uint64_t dice = seed;

	(void)reset(g);
	for (unsigned i = 0; i < WALK_STEPS && !g->failed; i++) {
		dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407;
		unsigned roll = dice >> 40 & 0xff, value = dice >> 50 & 0xff;

		if (roll < 40)
			features_write(g, &m, roll & 1);
		else if (roll < 60)
			status_write(g, &m, 0);
		else
			status_write(g, &m, (uint8_t)(roll < 200 ? value & 0xf : value));
		if (roll % 16 == 0)
			run(g);
	}
}

static uint64_t bar_of(struct guest *g)
{
	return vdevtest_pci_read(g->t, g->dev, 0x10, 4) & ~0xfu;
}

/* Where the registers answer; 0: nowhere. */
static bool answers_at(struct guest *g, uint64_t bar)
{
	return vdevtest_read(g->t, VDEVTEST_MEM, bar + (g->common - g->bar0) + 0x12, 2) ==
	       g->num_queues;
}

/* The registers are at `home` again, and in between at no place that is another's. */
static void bar_moved(struct guest *g, uint64_t to, unsigned command)
{
	uint64_t home = bar_of(g), memory = memory_hash(g, RAM_START, RAM_START + 0x10000);
	uint32_t ecam = vdevtest_pci_read(g->t, 0, 0, 4);

	vdevtest_pci_write(g->t, g->dev, 4, 2, command);
	vdevtest_pci_write(g->t, g->dev, 0x10, 4, (uint32_t)to);
	(void)vdevtest_pci_read(g->t, g->dev, 0x10, 4);
	if (!(command & 2))
		expect(g, !answers_at(g, home));
	expect(g, vdevtest_pci_read(g->t, 0, 0, 4) == ecam);
	expect(g, memory == memory_hash(g, RAM_START, RAM_START + 0x10000));
	vdevtest_write(g->t, VDEVTEST_MEM, home + (g->common - g->bar0), 4, 1);
	vdevtest_pci_write(g->t, g->dev, 0x10, 4, (uint32_t)home);
	vdevtest_pci_write(g->t, g->dev, 4, 2, 7);
	expect(g, bar_of(g) == home);
	expect(g, answers_at(g, home));
}

static void bar_cases(struct guest *g)
{
	static const struct {
		const char *name;
		uint64_t addr;
	} places[] = {
		{ "0", 0 },
		{ "memory", RAM_START },
		{ "ROM", ROM_START },
		{ "the configuration space", 0xe0000000 },
		{ "the I/O APIC", 0xfec00000 },
		{ "the local APIC", 0xfee00000 },
		{ "the last page", 0xfffff000 },
		{ "all ones", 0xffffffff },
		{ "the window's end", 0xf8000000 },
		{ "a hole", 0xc0000000 },
	};
	static const unsigned commands[] = { 0, 2, 5, 6, 7 };

	for (unsigned p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (unsigned c = 0; c < 5; c++) {
			if (!case_begin(g, "BAR 0 to %s, command %u", places[p].name, commands[c]))
				continue;
			start(g);
			bar_moved(g, places[p].addr, commands[c]);
			case_end(g);
		}
	}
	if (g->msix && case_begin(g, "BAR 0 over BAR 1")) {
		start(g);
		bar_moved(g, g->msix, 7);
		case_end(g);
	}
}

/* PCI-15, GEN-7, 10, DRV-3 */
void row_b12(struct guest *g)
{
	status_cases(g);
	for (unsigned seed = 1; seed <= 4; seed++) {
		if (!case_begin(g, "status walk %u", seed))
			continue;
		status_walk(g, seed);
		case_end(g);
	}
	if (g->transport->pci)
		bar_cases(g);
}

/* B16 */

static uint64_t bytes(struct guest *g, const struct vdevtest_region *r, uint64_t addr, unsigned len)
{
	return vdevtest_read(g->t, r->space, addr, len);
}

/*
 * An access that begins inside a region and ends outside is nobody's: it reads as nothing does, and
 * a write of it changes nothing.
 */
static void over_end(struct guest *g, const struct vdevtest_region *r, unsigned inside,
		     unsigned width, bool write)
{
	uint64_t end = r->start + r->len, nothing = UINT64_MAX >> (64 - 8 * width);

	if (inside > r->len ||
	    end + width - inside > (r->space == VDEVTEST_IO ? 0x10000u : 1ull << 52))
		return;
	/* What lies behind is another's: then the access is that one's start's. */
	if (write)
		vdevtest_write(g->t, r->space, end - inside, width, UINT64_MAX);
	else if (bytes(g, r, end - inside, width) != nothing)
		fail(g, "%s 0x%llx: a read of %u bytes over the end at 0x%llx is answered",
		     r->space == VDEVTEST_IO ? "port" : "address",
		     (unsigned long long)(end - inside), width, (unsigned long long)end);
	run(g);
}

void row_b16(struct guest *g)
{
	static struct vdevtest_region all[MAX_REGIONS];
	unsigned n = vdevtest_regions(g->t, all, MAX_REGIONS);

	for (unsigned write = 0; write < 2; write++) {
		for (unsigned width = 2; width <= 8; width *= 2) {
			for (unsigned inside = 1; inside < width; inside++) {
				if (!case_begin(g, "%s of %u bytes, %u of them inside",
						write ? "write" : "read", width, inside))
					continue;
				for (unsigned i = 0; i < n; i++)
					if (!(all[i].space == VDEVTEST_IO && width == 8))
						over_end(g, &all[i], inside, width, write);
				case_end(g);
			}
		}
	}
	for (unsigned width = 1; width <= 8; width *= 2) {
		for (unsigned write = 0; write < 2; write++) {
			if (!case_begin(g, "%s of %u bytes everywhere in every region",
					write ? "write" : "read", width))
				continue;
			for (unsigned i = 0; i < n; i++) {
				bool io = all[i].space == VDEVTEST_IO;
				uint64_t len = all[i].len < 0x2000 ? all[i].len : 0x2000;

				/* The platform's registers end the VM: that is their use. */
				if ((io && (width == 8 || all[i].start == 0x600)) ||
				    all[i].start == 0xe0000000)
					continue;
				for (uint64_t at = 0; at + width <= len; at++) {
					if (write)
						vdevtest_write(g->t, all[i].space,
							       all[i].start + at, width, at * 0x11);
					else
						(void)bytes(g, &all[i], all[i].start + at, width);
				}
				run(g);
			}
			case_end(g);
		}
	}
}
