/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is told nothing: it knows where five VirtIO-MMIO devices lie and which lines of the
 * interrupt controller at its usual place are theirs, and drives them by interrupts. Disk: what is
 * written reads back. Network: the host answers an ARP request. Entropy: bytes that differ. Input:
 * the first key. Console: takes a line, and says all this. ARCH/mmio_arch.h has the controller.
 */
#include <stddef.h>
#include <stdint.h>

enum { DISK, NETWORK, CONSOLE, ENTROPY, INPUT, NUM_DEVICES };

static void serve_interrupt(unsigned device);

static uint32_t get(uint32_t addr)
{
	return *(volatile uint32_t *)(uintptr_t)addr;
}

static void put(uint32_t addr, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)addr = value;
}

#include "mmio_arch.h"

enum {
	DEVICE_FEATURES = 0x010,
	DEVICE_FEATURES_SEL = 0x014,
	DRIVER_FEATURES = 0x020,
	DRIVER_FEATURES_SEL = 0x024,
	QUEUE_SEL = 0x030,
	QUEUE_SIZE_MAX = 0x034,
	QUEUE_SIZE = 0x038,
	QUEUE_READY = 0x044,
	QUEUE_NOTIFY = 0x050,
	INTERRUPT_STATUS = 0x060,
	INTERRUPT_ACK = 0x064,
	STATUS = 0x070,
	QUEUE_DESC = 0x080,
	QUEUE_DRIVER = 0x090,
	QUEUE_DEVICE = 0x0a0,
	CONFIG = 0x100,

	SIZE = 4,
	NEXT = 1,
	WRITE = 2,
};

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct queue {
	struct desc desc[SIZE] __attribute__((aligned(16)));
	struct {
		uint16_t flags, idx, ring[SIZE];
	} avail __attribute__((aligned(4)));
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[SIZE];
	} used __attribute__((aligned(4)));
	uint16_t seen; /* of the used ring */
};

static struct device {
	uint32_t base, id, num_queues;
	struct queue queues[2];
} devices[] = {
	[DISK] = { .base = 0x1c0d0000, .id = 2, .num_queues = 1 },
	[NETWORK] = { .base = 0x1c0c0000, .id = 1, .num_queues = 2 },
	[CONSOLE] = { .base = 0x20000000, .id = 3, .num_queues = 2 },
	[ENTROPY] = { .base = 0x1c0e0000, .id = 4, .num_queues = 1 },
	[INPUT] = { .base = 0x1c0f0000, .id = 18, .num_queues = 1 },
};

static uint8_t buffer[4096] __attribute__((aligned(4096)));

static void serve_interrupt(unsigned device)
{
	const struct device *d = &devices[device];

	put(d->base + INTERRUPT_ACK, get(d->base + INTERRUPT_STATUS));
}

static uint32_t address_of(const void *p)
{
	return (uint32_t)(uintptr_t)p;
}

static void start(struct device *d)
{
	put(d->base + STATUS, 0);
	put(d->base + STATUS, 3);
	put(d->base + DEVICE_FEATURES_SEL, 1);
	put(d->base + DRIVER_FEATURES_SEL, 1);
	put(d->base + DRIVER_FEATURES, get(d->base + DEVICE_FEATURES) & 1);
	put(d->base + STATUS, 0xb);
	for (unsigned i = 0; i < d->num_queues; i++) {
		struct queue *q = &d->queues[i];

		put(d->base + QUEUE_SEL, i);
		put(d->base + QUEUE_SIZE, SIZE);
		put(d->base + QUEUE_DESC, address_of(q->desc));
		put(d->base + QUEUE_DRIVER, address_of(&q->avail));
		put(d->base + QUEUE_DEVICE, address_of(&q->used));
		put(d->base + QUEUE_READY, 1);
	}
	put(d->base + STATUS, 0xf);
}

static void add(struct queue *q, unsigned i, void *p, uint32_t len, uint16_t flags)
{
	q->desc[i] = (struct desc){ address_of(p), len, flags, (uint16_t)(i + 1) };
}

static void offer(struct device *d, unsigned queue, uint16_t head)
{
	struct queue *q = &d->queues[queue];

	q->avail.ring[q->avail.idx % SIZE] = head;
	__sync_synchronize();
	q->avail.idx++;
	__sync_synchronize();
	put(d->base + QUEUE_NOTIFY, queue);
}

/* Sleep until the device has used the next buffer; returns the length that was used. */
static uint32_t await(struct device *d, unsigned queue)
{
	struct queue *q = &d->queues[queue];

	while (*(volatile uint16_t *)&q->used.idx == q->seen)
		arch_wait();
	__sync_synchronize();
	return q->used.ring[q->seen++ % SIZE].len;
}

static uint32_t run(struct device *d, unsigned queue)
{
	offer(d, queue, 0);
	return await(d, queue);
}

static void say_part(const char *text, size_t len)
{
	add(&devices[CONSOLE].queues[1], 0, (void *)text, len, 0);
	run(&devices[CONSOLE], 1);
}

static void say(const char *text)
{
	size_t len = 0;

	while (text[len])
		len++;
	say_part(text, len);
}

/* A line that was typed, said again. */
static void console(void)
{
	uint32_t len = 0;

	do {
		add(&devices[CONSOLE].queues[0], 0, buffer + len, 64, WRITE);
		len += run(&devices[CONSOLE], 0);
	} while (!len || buffer[len - 1] != '\n');
	say("console=");
	say_part((const char *)buffer, len);
}

static uint8_t disk_request(uint32_t type, uint32_t sector)
{
	struct queue *q = &devices[DISK].queues[0];
	uint32_t header[4] = { type, 0, sector, 0 };
	volatile uint8_t status = 0xff;

	add(q, 0, header, sizeof(header), NEXT);
	add(q, 1, buffer, sizeof(buffer), type ? NEXT : NEXT | WRITE);
	add(q, 2, (void *)&status, 1, WRITE);
	run(&devices[DISK], 0);
	return status;
}

static int disk(void)
{
	for (unsigned round = 0; round < 64; round++) {
		for (unsigned i = 0; i < sizeof(buffer); i++)
			buffer[i] = (uint8_t)(i * 7 + i / 256 + round);
		if (disk_request(1, round * 8))
			return 0;
	}
	for (unsigned round = 0; round < 64; round++) {
		if (disk_request(0, round * 8))
			return 0;
		for (unsigned i = 0; i < sizeof(buffer); i++)
			if (buffer[i] != (uint8_t)(i * 7 + i / 256 + round))
				return 0;
	}
	return 1;
}

static int entropy(void)
{
	uint32_t zeroes = 0, len;

	add(&devices[ENTROPY].queues[0], 0, buffer, 256, WRITE);
	len = run(&devices[ENTROPY], 0);
	for (unsigned i = 0; i < len; i++)
		zeroes += !buffer[i];
	return len > 0 && zeroes < 32;
}

/* 10.9.9.2 asks who has 10.9.9.1 until the answer is there; frames of others come in between. */
static void network(void)
{
	static uint8_t frame[12 + 42] = { [12] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,	 0, 0, 0, 0,
					  1,	       8,    6,	   0,	 1,    8,    0,	 6, 4, 0, 1,
					  2,	       0,    0,	   0,	 0,    1,    10, 9, 9, 2, 0,
					  0,	       0,    0,	   0,	 0,    10,   9,	 9, 1 };
	struct device *d = &devices[NETWORK];

	uint8_t *got = buffer + 12;

	do {
		add(&d->queues[0], 0, buffer, 2048, WRITE);
		offer(d, 0, 0);
		add(&d->queues[1], 0, frame, sizeof(frame), 0);
		run(d, 1);
		await(d, 0);
	} while (got[12] != 8 || got[13] != 6 || got[21] != 2 || got[28] != 10 || got[31] != 1);
}

/* The first key of the recording. A device gives whole updates, so there is room for more than it.
 */
static int input(void)
{
	struct {
		uint16_t type, code;
		uint32_t value;
	} events[SIZE] = { { 0, 0, 0 } };
	struct device *d = &devices[INPUT];
	unsigned n = 0;

	for (uint16_t i = 0; i < SIZE; i++) {
		add(&d->queues[0], i, &events[i], sizeof(events[i]), WRITE);
		offer(d, 0, i);
	}
	do {
		await(d, 0);
	} while (!events[n].type && ++n < SIZE);
	return n < SIZE && events[n].type == 1 && events[n].code == 35 && events[n].value == 1;
}

void main(void);
void main(void)
{
	arch_interrupts_on();
	for (unsigned i = 0; i < NUM_DEVICES; i++) {
		const struct device *d = &devices[i];

		if (get(d->base) != 0x74726976 || get(d->base + 4) != 2 ||
		    get(d->base + 8) != d->id)
			return;
		start(&devices[i]);
	}
	say("told=nothing\n");
	console();
	say(disk() ? "blk=whole\n" : "blk=broken\n");
	say(entropy() ? "entropy=random\n" : "entropy=broken\n");
	say(input() ? "input=1 35 1\n" : "input=wrong\n");
	network();
	say("net=answered\n");
}
