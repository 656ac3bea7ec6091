/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile guest: groups of cases, one for each class of bugs that device models have shipped
 * with (docs/design/hostile-guest.md), run over every vdev without code for any of them. driver.c
 * is a driver that keeps no rule. What a case expects is the rule of its class, never what a
 * certain vdev does.
 *
 * One thread, one bench in virtual time, so a case is the same at each run. A case that fails says
 * which and goes on with a fresh bench; one that crashes or hangs ends the program with its name.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <virtio.h>

#include "vdevtest/internal.h"

enum {
	RAM_START = 0x100000,
	RAM_END = 0x800000,
	ROM_START = 0xc0000,
	ROM_END = 0x100000,
	RINGS = 0x200000, /* 64 KiB a queue */
	RING_ROOM = 0x10000,
	TABLES = 0x100000,
	BUFFERS = 0x400000,
	BUFFERS_LEN = 0x100000,
	POISON = 0xa5,

	SIZE = 8, /* of queues, if a case does not say */
	MAX_RING_QUEUES = 16,

	STATUS_NEEDS_RESET = 0x40,
	STATUS_RUNNING = 0xf,
	ISR_CONFIG = 2,
};

/* What a VirtIO device is asked, whatever its transport. 64-bit ones have two halves. */
enum reg {
	REG_DEVICE_FEATURES_SELECT,
	REG_DEVICE_FEATURES,
	REG_DRIVER_FEATURES_SELECT,
	REG_DRIVER_FEATURES,
	REG_CONFIG_VECTOR,
	REG_NUM_QUEUES,
	REG_STATUS,
	REG_GENERATION,
	REG_QUEUE_SELECT,
	REG_QUEUE_SIZE,
	REG_QUEUE_VECTOR,
	REG_QUEUE_ENABLE,
	REG_QUEUE_DESC,
	REG_QUEUE_DESC_HIGH,
	REG_QUEUE_DRIVER,
	REG_QUEUE_DRIVER_HIGH,
	REG_QUEUE_DEVICE,
	REG_QUEUE_DEVICE_HIGH,
	REG_QUEUE_RESET,
	NUM_REGS
};

struct guest;

/* How the registers are reached; one for each transport. */
struct transport {
	const char *name, *place;      /* words behind a vdev's in the configuration */
	bool pci;		       /* BARs, MSI-X, selectors that can be read back */
	bool (*find)(struct guest *g); /* fills in the addresses */
	/* Address and width of a register, to be read or written; false: the transport has it not.
	 */
	bool (*reg)(const struct guest *g, enum reg reg, bool write, uint64_t *ret_addr,
		    unsigned *ret_len);
	uint64_t (*doorbell)(const struct guest *g, unsigned queue);
	unsigned (*num_queues)(struct guest *g);
	/* The bits of the interrupt status, which then are 0. */
	unsigned (*interrupts)(struct guest *g);
};
extern const struct transport transport_pci, transport_mmio;

/* A vdev; queue: one that gives back whatever it is given at once (VirtIO vdevs). */
struct subject {
	const char *name, *words;
	bool virtio;
	unsigned queue;
};

struct ring {
	unsigned size; /* 0: not set up */
	uint64_t desc, driver, device;
	unsigned slot;		 /* split: the next descriptor to use; packed: the next id */
	unsigned position, seen; /* packed: over two laps */
	uint16_t avail, used;	 /* split: free-running */
	uint8_t places[1 << 16]; /* packed: by id */
};

struct guest {
	struct vdevtest *t;
	const struct subject *subject;
	const struct transport *transport;
	bool packed;
	const char *row;
	char name[128]; /* of the case */
	bool listing;	/* cases are named, not run */
	unsigned num_cases, num_failed;
	bool failed; /* this case */

	unsigned dev, device_id;
	uint64_t common, notify, isr, device; /* device 0: no configuration */
	uint32_t common_len, notify_multiplier, notify_width, config_len;
	uint64_t msix, bar0; /* PCI; msix 0: none */
	uint64_t offered, features;
	unsigned num_queues, max_size[MAX_RING_QUEUES];
	struct ring rings[MAX_RING_QUEUES];
};

/* main.c. A case: false if it is not to be run (it is only listed, or not asked for). */
bool case_begin(struct guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The device must still serve a proper driver. */
void case_end(struct guest *g);
void fail(struct guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define expect(g, condition) \
	((condition) ? (void)0 : fail(g, "line %d: not %s", __LINE__, #condition))
long rss_kib(void);
size_t heap_bytes(void); /* that are allocated */
/* Is it there without the vdev that is tested? */
bool is_common(const struct vdevtest_region *r);
/* A bench for the same vdev, once the old one has ended. */
void bench_again(struct guest *g);

/* driver.c */
uint64_t reg_read(struct guest *g, enum reg reg);
void reg_write(struct guest *g, enum reg reg, uint64_t value);
uint64_t reg_address(const struct guest *g, enum reg reg); /* 0: it has none */
/* Is a register written wholly by a write of that width at its start? */
bool selects(const struct guest *g, unsigned width);
uint8_t status(struct guest *g);
/* Wait until the register reads 0: some seconds, less once a case has failed. False: it does not.
 */
bool goes_zero(struct guest *g, enum reg reg);
/* Until the status reads 0; false: it does not. */
bool reset(struct guest *g);
/* All that is offered (the ring's kind as the case runs) and, of that, `mask`; up to FEATURES_OK.
 */
bool negotiate(struct guest *g, uint64_t mask);
void queue_setup(struct guest *g, unsigned queue, unsigned size);
void queue_place(struct guest *g, unsigned queue, unsigned size, uint64_t desc, uint64_t driver,
		 uint64_t device);
void driver_ok(struct guest *g);
/* Reset, negotiate, all queues of SIZE, DRIVER_OK, buffers poisoned. */
void start(struct guest *g);
void kick(struct guest *g, unsigned queue);
void run(struct guest *g);

struct buf {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /* VIRTQ_DESC_F_WRITE, _INDIRECT */
};
/* A chain; of a packed ring its last descriptor has the id. Returns head or id. */
unsigned offer(struct guest *g, unsigned queue, const struct buf *bufs, unsigned n);
/* A descriptor as it is, and a head (split). */
void desc_put(struct guest *g, unsigned queue, unsigned index, uint64_t addr, uint32_t len,
	      uint16_t flags, uint16_t next);
void head_put(struct guest *g, unsigned queue, uint16_t head);
void avail_index_set(struct guest *g, unsigned queue, uint16_t index);
/* A descriptor at the next place, available or not, and the place after it (packed). */
void packed_put(struct guest *g, unsigned queue, uint64_t addr, uint32_t len, uint16_t id,
		uint16_t flags, bool available);
/* Entry i of an indirect table. */
void table_put(struct guest *g, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
	       uint16_t flags, uint16_t next);
bool used(struct guest *g, unsigned queue, unsigned *ret_id, uint32_t *ret_len);
unsigned used_count(struct guest *g, unsigned queue);
/* 16 bytes to read, 512 and 1 to write, at BUFFERS. */
unsigned offer_plain(struct guest *g, unsigned queue);
uint64_t memory_hash(struct guest *g, uint64_t from, uint64_t to);
uint64_t touched_hash(struct guest *g); /* of what a device has reason to touch */
/* May it be read, or written, by a device? */
bool is_memory(uint64_t addr, uint64_t len, bool write);

/* Each row's cases. */
void row_b1(struct guest *g);
void row_b2(struct guest *g);
void row_b3(struct guest *g);
void row_b4(struct guest *g);
void row_b5(struct guest *g);
void row_b6(struct guest *g);
void row_b7(struct guest *g);
void row_b8(struct guest *g);
void row_b9(struct guest *g);
void row_b10(struct guest *g);
void row_b11(struct guest *g);
void row_b12(struct guest *g);
void row_b16(struct guest *g);
void row_c(struct guest *g);

#endif
