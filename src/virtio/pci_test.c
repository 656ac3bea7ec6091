/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI transport from the guest's side, on the bench: the rows PCI-1 to PCI-56 that concern it,
 * B4, DRV-24 to DRV-27, and a device that is driven through it. The test is guest, vdev and loop
 * thread in one.
 */
#include "virtio/testing.h"
#include "pci/testing.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "virtio/device.h"
#include "virtio/pci.h"

enum {
	DEVFN = 8,
	QUEUES = 3,
	UNSERVED = 2, /* the queue that is the owner's */
	MAX_SIZE = 128,
	CONFIG_SIZE = 20,
	VECTORS = QUEUES + 1,

	CFG_COMMON = 1,
	CFG_NOTIFY = 2,
	CFG_ISR = 3,
	CFG_DEVICE = 4,
	CFG_PCI = 5,

	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0c,
	CONFIG_VECTOR = 0x10,
	NUM_QUEUES = 0x12,
	STATUS = 0x14,
	GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFF = 0x1e,
	QUEUE_DESC = 0x20,
	QUEUE_DRIVER = 0x28,
	QUEUE_DEVICE = 0x30,
	QUEUE_RESET = 0x3a,
};

/* A structure as the guest finds it. */
struct structure {
	unsigned cap; /* offset of the capability, 0: none */
	uint8_t bar;
	uint32_t offset, len;
	uint64_t addr;
};

struct fixture {
	struct machine m;
	struct memory *mem;
	struct virtio_device *vd;
	struct virtio_pci *vp;
	struct ring ring;
	uint8_t config[CONFIG_SIZE];
	unsigned last_event, notifies;
	struct structure common, notify, isr, device;
	uint64_t msix_table;
	unsigned msix;
};

/* What a vdev's vread and vwrite do. */
static enum bus_result vdev_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct fixture *f = opaque;
	uint64_t value = 0;
	unsigned event, detail;

	assert_int_equal(cookie, 42);
	if (acc->write) {
		memcpy(&value, acc->data, acc->len);
		event = virtio_pci_write(f->vp, acc->offset, acc->len, value);
	} else {
		event = virtio_pci_read(f->vp, acc->offset, acc->len, &value);
		memcpy(acc->data, &value, acc->len);
	}
	detail = event & ~VIOREF_CLASS_MASK;
	switch (event & VIOREF_CLASS_MASK) {
	case VIOREF_DEVCFG:
		assert_true(detail + acc->len <= CONFIG_SIZE);
		if (acc->write)
			memcpy(f->config + detail, acc->data, acc->len);
		else
			memcpy(acc->data, f->config + detail, acc->len);
		break;
	case VIOREF_RESET:
		virtio_device_reset_finish(f->vd);
		break;
	case VIOREF_STATUS:
		if (detail & VIRTIO_STATUS_DRIVER_OK)
			assert_int_equal(virtio_device_setup_queues(f->vd), 0);
		break;
	case VIOREF_NOTIFY:
		assert_int_equal(detail, UNSERVED);
		f->notifies++;
		break;
	}
	f->last_event = event;
	return BUS_OK;
}

static void on_kick(void *opaque, unsigned queue, struct virtqueue *vq)
{
	struct qvmx_request req;

	(void)opaque, (void)queue;
	while (virtqueue_next(vq, &req) == 1) {
		for (unsigned i = 0; i < req.num_write; i++)
			memset(req.iov[req.num_read + i].iov_base, 0x5a,
			       req.iov[req.num_read + i].iov_len);
		virtqueue_done(vq, req.id, (uint32_t)req.write_len);
	}
	virtqueue_flush(vq);
}

static const struct virtio_queue_ops queue_ops = { .kick = on_kick };

static void on_broken(void *owner, unsigned queue, const char *why)
{
	(void)owner, (void)queue, (void)why;
}

static struct structure find_structure(struct fixture *f, uint8_t type)
{
	struct structure s = { 0 };

	for (unsigned n = 0; (s.cap = cfg_capability(&f->m, DEVFN, 9, n)); n++) {
		if (cfg_read(&f->m, DEVFN, s.cap + 3, 1) != type)
			continue;
		s.bar = (uint8_t)cfg_read(&f->m, DEVFN, s.cap + 4, 1);
		s.offset = cfg_read(&f->m, DEVFN, s.cap + 8, 4);
		s.len = cfg_read(&f->m, DEVFN, s.cap + 12, 4);
		s.addr = (cfg_read(&f->m, DEVFN, 0x10 + 4u * s.bar, 4) & ~0xfu) + s.offset;
		return s;
	}
	return s;
}

static void create_on(struct fixture *f, unsigned config_size)
{
	const struct virtio_device_info info = {
		.type = VIRTIO_ID_BLOCK,
		.num_queues = QUEUES,
		.config_size = config_size,
		.features = { 1u << 9 | 1u << 5, 0, 1u << 3, 0 },
		.broken = on_broken,
	};
	const struct virtio_pci_info pci = {
		.name = "blk",
		.devfn = PCI_DEVFN_NEXT,
		.class_code = 0x018000,
		.handler = vdev_access,
		.opaque = f,
		.cookie = 42,
	};

	machine_create(&f->m);
	assert_int_equal(virtio_device_create(&info, f->mem, &f->vd), 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(virtio_device_queue_init(f->vd, i, MAX_SIZE), 0);
		if (i != UNSERVED)
			assert_int_equal(virtio_device_queue_serve(f->vd, i, &queue_ops, f), 0);
	}
	assert_int_equal(virtio_pci_create(f->m.pci, f->vd, &pci, &f->vp), 0);
	machine_start(&f->m);
	cfg_write(&f->m, DEVFN, 4, 2, 6);
	f->common = find_structure(f, CFG_COMMON);
	f->notify = find_structure(f, CFG_NOTIFY);
	f->isr = find_structure(f, CFG_ISR);
	f->device = find_structure(f, CFG_DEVICE);
	f->msix = cfg_capability(&f->m, DEVFN, 0x11, 0);
	f->msix_table = (cfg_read(&f->m, DEVFN, 0x14, 4) & ~0xfu) +
			(cfg_read(&f->m, DEVFN, f->msix + 4, 4) & ~7u);
	for (unsigned i = 0; i < CONFIG_SIZE; i++)
		f->config[i] = (uint8_t)(0xc0 + i);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mem = testing_memory();
	create_on(f, CONFIG_SIZE);
	*state = f;
	return 0;
}

static void destroy_on(struct fixture *f)
{
	machine_destroy(&f->m);
	virtio_pci_destroy(f->vp);
	virtio_device_destroy(f->vd);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	destroy_on(f);
	memory_destroy(f->mem);
	free(f);
	return 0;
}

static uint64_t get(struct fixture *f, unsigned reg, unsigned len)
{
	return mem_read(&f->m, f->common.addr + reg, len);
}

static void put(struct fixture *f, unsigned reg, unsigned len, uint64_t value)
{
	mem_write(&f->m, f->common.addr + reg, len, value);
}

static void run_loop(struct fixture *f)
{
	for (bool more = true; more;) {
		more = false;
		for (unsigned i = 0; i < QUEUES; i++) {
			struct pollfd p = { .fd = virtio_device_queue_fd(f->vd, i),
					    .events = POLLIN };

			if (poll(&p, 1, 0) != 1)
				continue;
			virtio_device_queue_kicked(f->vd, i);
			more = true;
		}
	}
}

static void reset(struct fixture *f)
{
	put(f, STATUS, 1, 0);
	run_loop(f);
	assert_int_equal(get(f, STATUS, 1), 0);
}

static void negotiate(struct fixture *f)
{
	reset(f);
	put(f, STATUS, 1, 1);
	put(f, STATUS, 1, 3);
	put(f, DRIVER_FEATURE_SELECT, 4, 1);
	put(f, DRIVER_FEATURE, 4, 1);
	put(f, STATUS, 1, 0xb);
	assert_int_equal(get(f, STATUS, 1), 0xb);
}

static void setup_queue(struct fixture *f, unsigned queue)
{
	ring_init(&f->ring, f->mem, MAX_SIZE);
	for (unsigned i = 0; i < MAX_SIZE; i++)
		ring_desc(&f->ring, i, BUFFERS + 16 * i, 8, VIRTQ_DESC_F_WRITE, 0);
	put(f, QUEUE_SELECT, 2, queue);
	put(f, QUEUE_DESC, 8, f->ring.desc);
	put(f, QUEUE_DRIVER, 8, f->ring.avail);
	put(f, QUEUE_DEVICE, 8, f->ring.used);
	put(f, QUEUE_ENABLE, 2, 1);
	assert_int_equal(get(f, QUEUE_ENABLE, 2), 1);
}

static void msix_on(struct fixture *f)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		mem_write(&f->m, f->msix_table + 16 * i, 8, 0xfee00000);
		mem_write(&f->m, f->msix_table + 16 * i + 8, 8, 0x40 + i);
	}
	cfg_write(&f->m, DEVFN, f->msix + 2, 2, 0x8000);
}

/* The data of the one message that was raised, 0: none. */
static uint32_t message(struct fixture *f)
{
	uint32_t data = 0;
	unsigned num = bench_messages(f->m.engine, 0, NULL, &data);

	assert_true(num <= 1);
	return num ? data : 0;
}

/*
 * PCI-2 to 6: what lspci shows. PCI-8, 10, 11, 26 to 29, 31, 36, 37, 43, 46 to 48: the
 * capabilities.
 */
static void test_discovery(void **state)
{
	struct fixture *f = *state;
	struct structure pci_cfg = find_structure(f, CFG_PCI);
	const struct structure *all[] = { &f->common, &f->notify, &f->isr, &f->device };

	assert_int_equal(cfg_read(&f->m, DEVFN, 0, 4), 0x10421af4);
	assert_int_equal(cfg_read(&f->m, DEVFN, 8, 4), 0x01800001);
	assert_int_equal(cfg_read(&f->m, DEVFN, 0x2c, 4), 0x00421c05);
	assert_int_equal(cfg_read(&f->m, DEVFN, 0x3d, 1), 1);
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		assert_true(all[i]->cap);
		assert_int_equal(all[i]->bar, 0);
		assert_int_equal(all[i]->offset % 4096, 0);
		assert_true(all[i]->offset + all[i]->len <= VIRTIO_PCI_BAR_SIZE);
		assert_int_equal(cfg_read(&f->m, DEVFN, all[i]->cap + 2, 1), i == 1 ? 20 : 16);
		for (unsigned j = 0; j < i; j++)
			assert_true(all[i]->offset != all[j]->offset);
	}
	assert_true(f->common.len >= 56);
	assert_int_equal(f->device.len, CONFIG_SIZE);
	assert_int_equal(cfg_read(&f->m, DEVFN, f->notify.cap + 16, 4), 4);
	assert_true(f->notify.len >= (QUEUES - 1) * 4 + 2);
	assert_true(pci_cfg.cap);
	assert_int_equal(cfg_read(&f->m, DEVFN, pci_cfg.cap + 2, 1), 20);
	assert_int_equal(cfg_read(&f->m, DEVFN, f->msix + 2, 2), VECTORS - 1);
	assert_int_equal(virtio_pci_device(f->vp) != NULL, 1);
	/* Without a device configuration there is no capability for it. */
	destroy_on(f);
	create_on(f, 0);
	assert_int_equal(f->device.cap, 0);
	assert_true(f->common.cap && f->notify.cap);
}

/* PCI-12, 13 */
static void test_features(void **state)
{
	static const uint32_t offered[] = {
		1u << 28 | 1u << 29 | 1u << 9 | 1u << 5, 1 | 1u << 2, 1u << 3, 0, 0, 0
	};
	static const uint32_t selects[] = { 0, 1, 2, 3, 4, 0xffffffff };
	struct fixture *f = *state;

	put(f, STATUS, 1, 3);
	for (unsigned i = 0; i < ARRAY_LEN(selects); i++) {
		put(f, DEVICE_FEATURE_SELECT, 4, selects[i]);
		assert_int_equal(get(f, DEVICE_FEATURE_SELECT, 4), selects[i]);
		assert_int_equal(get(f, DEVICE_FEATURE, 4), offered[i]);
		put(f, DEVICE_FEATURE, 4, 0);
		assert_int_equal(get(f, DEVICE_FEATURE, 4), offered[i]);
		put(f, DRIVER_FEATURE_SELECT, 4, selects[i]);
		assert_int_equal(get(f, DRIVER_FEATURE_SELECT, 4), selects[i]);
		put(f, DRIVER_FEATURE, 4, offered[i]);
		assert_int_equal(get(f, DRIVER_FEATURE, 4), offered[i]);
	}
	put(f, STATUS, 1, 0xb);
	assert_int_equal(get(f, STATUS, 1), 0xb);
	put(f, DRIVER_FEATURE_SELECT, 4, 0);
	put(f, DRIVER_FEATURE, 4, 0);
	assert_int_equal(get(f, DRIVER_FEATURE, 4), offered[0]);
	reset(f);
	assert_int_equal(get(f, DRIVER_FEATURE_SELECT, 4), 0);
	assert_int_equal(get(f, DRIVER_FEATURE, 4), 0);
}

/* PCI-7, 16, 22, 23, 25: queue registers, halves in both orders, any selector. */
static void test_queue_registers(void **state)
{
	static const unsigned regs[] = { QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE };
	static const unsigned none[] = { QUEUES, QUEUES + 1, 0x7fff, 0xffff };
	struct fixture *f = *state;

	assert_int_equal(get(f, NUM_QUEUES, 2), QUEUES);
	for (unsigned q = 0; q < QUEUES; q++) {
		put(f, QUEUE_SELECT, 2, q);
		assert_int_equal(get(f, QUEUE_SELECT, 2), q);
		assert_int_equal(get(f, QUEUE_SIZE, 2), MAX_SIZE);
		assert_int_equal(get(f, QUEUE_NOTIFY_OFF, 2), q);
		put(f, QUEUE_SIZE, 2, 3);
		assert_int_equal(get(f, QUEUE_SIZE, 2), MAX_SIZE);
		put(f, QUEUE_SIZE, 2, 16);
		assert_int_equal(get(f, QUEUE_SIZE, 2), 16);
		for (unsigned i = 0; i < 3; i++) {
			put(f, regs[i] + 4, 4, 0x89abcdef);
			put(f, regs[i], 4, 0x01234567 + i);
			assert_int_equal(get(f, regs[i], 8), 0x89abcdef01234567 + i);
			put(f, regs[i], 8, 0x1111111122222222);
			put(f, regs[i], 4, 0x33333333);
			put(f, regs[i] + 4, 4, 0x44444444);
			assert_int_equal(get(f, regs[i], 4), 0x33333333);
			assert_int_equal(get(f, regs[i] + 4, 4), 0x44444444);
		}
		put(f, QUEUE_ENABLE, 2, 0);
		put(f, QUEUE_ENABLE, 2, 2);
		assert_int_equal(get(f, QUEUE_ENABLE, 2), 0);
		put(f, QUEUE_ENABLE, 2, 1);
		put(f, QUEUE_ENABLE, 2, 0);
		assert_int_equal(get(f, QUEUE_ENABLE, 2), 1);
		put(f, QUEUE_SIZE, 2, 8);
		put(f, QUEUE_DESC, 8, 0);
		put(f, QUEUE_RESET, 2, 1); /* not negotiated, nor offered: a queue is the owner's */
		assert_int_equal(get(f, QUEUE_RESET, 2), 0);
		assert_int_equal(get(f, QUEUE_SIZE, 2), 16);
		assert_int_equal(get(f, QUEUE_DESC, 8), 0x4444444433333333);
	}
	for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
		put(f, QUEUE_SELECT, 2, none[i]);
		put(f, QUEUE_SIZE, 2, 8);
		put(f, QUEUE_VECTOR, 2, 1);
		put(f, QUEUE_ENABLE, 2, 1);
		put(f, QUEUE_DESC, 8, 0x1000);
		assert_int_equal(get(f, QUEUE_SIZE, 2), 0);
		assert_int_equal(get(f, QUEUE_VECTOR, 2), 0xffff);
		assert_int_equal(get(f, QUEUE_ENABLE, 2), 0);
		assert_int_equal(get(f, QUEUE_NOTIFY_OFF, 2), 0);
		assert_int_equal(get(f, QUEUE_DESC, 8), 0);
	}
	reset(f);
	for (unsigned q = 0; q < QUEUES; q++) {
		put(f, QUEUE_SELECT, 2, q);
		assert_int_equal(get(f, QUEUE_SIZE, 2), MAX_SIZE);
		assert_int_equal(get(f, QUEUE_ENABLE, 2), 0);
		assert_int_equal(get(f, QUEUE_DESC, 8), 0);
	}
}

/*
 * B4, DRV-25: every width at every offset of both BARs: reads agree with byte reads, writes are
 * harmless.
 */
static void test_any_width(void **state)
{
	static const unsigned widths[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct fixture *f = *state;
	uint64_t bar = f->common.addr;

	for (uint64_t offset = 0; offset < VIRTIO_PCI_BAR_SIZE + 0x2000 - 8; offset++) {
		uint8_t bytes[8];

		/* Over the border of two structures, or out of the BAR. */
		if (offset % 4096 > 4096 - 8)
			continue;
		for (unsigned i = 0; i < 8; i++)
			bytes[i] = (uint8_t)mem_read(&f->m, bar + offset + i, 1);
		for (unsigned i = 0; i < ARRAY_LEN(widths); i++) {
			uint64_t value = mem_read(&f->m, bar + offset, widths[i]);
			bool config = range_inside(offset, 1, VIRTIO_PCI_DEVICE, CONFIG_SIZE);

			/*
			 * The device's part of the configuration takes accesses that lie inside
			 * only.
			 */
			if (config && offset + widths[i] > VIRTIO_PCI_DEVICE + CONFIG_SIZE)
				assert_int_equal(value, 0);
			else
				assert_memory_equal(&value, bytes, widths[i]);
		}
	}
	srandom(8);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t offset = (uint64_t)random() % (i % 2 ? 0x40 : VIRTIO_PCI_BAR_SIZE - 8);

		mem_write(&f->m, bar + offset, widths[random() % 8],
			  (uint64_t)random() << 32 ^ (uint64_t)random());
		if (i % 64 == 0)
			run_loop(f);
	}
	reset(f);
	/* Parts of registers change nothing. */
	put(f, DRIVER_FEATURE_SELECT, 2, 1);
	put(f, QUEUE_SELECT, 1, 1);
	put(f, QUEUE_SELECT + 1, 2, 0x101);
	assert_int_equal(get(f, DRIVER_FEATURE_SELECT, 4), 0);
	assert_int_equal(get(f, QUEUE_SELECT, 2), 0);
	/* A wide write is one of each register that it covers. */
	put(f, DRIVER_FEATURE_SELECT, 8, 0x100000001);
	assert_int_equal(get(f, DRIVER_FEATURE_SELECT, 8), 0x100000001);
}

/* GEN-12, 13, DRV-5: the device configuration. */
static void test_device_config(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mem_read(&f->m, f->device.addr, 4), 0xc3c2c1c0);
	assert_int_equal(mem_read(&f->m, f->device.addr + CONFIG_SIZE - 1, 1),
			 0xc0 + CONFIG_SIZE - 1);
	assert_int_equal(mem_read(&f->m, f->device.addr + CONFIG_SIZE - 1, 2), 0);
	assert_int_equal(mem_read(&f->m, f->device.addr + CONFIG_SIZE, 4), 0);
	mem_write(&f->m, f->device.addr + 3, 1, 0x11);
	assert_int_equal(f->config[3], 0xc3);
	negotiate(f);
	mem_write(&f->m, f->device.addr + 3, 1, 0x11);
	assert_int_equal(f->config[3], 0x11);
	mem_write(&f->m, f->device.addr + CONFIG_SIZE - 2, 4, 0);
	assert_int_equal(f->config[CONFIG_SIZE - 1], 0xc0 + CONFIG_SIZE - 1);
	uint64_t generation = get(f, GENERATION, 1);

	virtio_device_config_changed(f->vd);
	assert_int_not_equal(get(f, GENERATION, 1), generation);
}

/* PCI-30, DRV-24: every queue's doorbell, ioeventfd and exits of other widths. */
static void test_doorbells(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	setup_queue(f, 1);
	put(f, STATUS, 1, 0xf);
	run_loop(f);
	ring_offer(&f->ring, 0);
	assert_true(bench_doorbell(f->m.engine, ENGINE_MEM, f->notify.addr + 4, 2, 0));
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	assert_int_equal(*(uint8_t *)guest(f->mem, BUFFERS), 0x5a);
	for (unsigned len = 1; len <= 8; len *= 2) {
		ring_offer(&f->ring, 0);
		mem_write(&f->m, f->notify.addr + 4, len, 0xffffffffffffffff);
		run_loop(f);
		assert_int_equal(ring_used_idx(&f->ring), f->ring.idx);
	}
	/* Between doorbells, and beyond the last one. */
	ring_offer(&f->ring, 0);
	mem_write(&f->m, f->notify.addr + 5, 2, 1);
	mem_write(&f->m, f->notify.addr + 6, 2, 1);
	mem_write(&f->m, f->notify.addr + 4 * QUEUES, 2, 1);
	mem_write(&f->m, f->notify.addr + 4092, 4, 1);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), f->ring.idx - 1);
	/* The owner's queue: an exit each, only while it lives. */
	assert_false(bench_doorbell(f->m.engine, ENGINE_MEM, f->notify.addr + 4 * UNSERVED, 2, 0));
	mem_write(&f->m, f->notify.addr + 4 * UNSERVED, 2, UNSERVED);
	assert_int_equal(f->notifies, 0);
	negotiate(f);
	setup_queue(f, UNSERVED);
	mem_write(&f->m, f->notify.addr + 4 * UNSERVED, 2, UNSERVED);
	assert_int_equal(f->notifies, 0);
	put(f, STATUS, 1, 0xf);
	mem_write(&f->m, f->notify.addr + 4 * UNSERVED, 2, UNSERVED);
	assert_int_equal(f->notifies, 1);
	/* Doorbells follow the BAR. */
	cfg_write(&f->m, DEVFN, 0x10, 4, MEM32_BASE + 0x100000);
	assert_false(bench_doorbell(f->m.engine, ENGINE_MEM, f->notify.addr + 4, 2, 0));
	assert_true(bench_doorbell(f->m.engine, ENGINE_MEM,
				   MEM32_BASE + 0x100000 + f->notify.offset + 4, 2, 0));
	cfg_write(&f->m, DEVFN, 4, 2, 0);
	assert_false(bench_doorbell(f->m.engine, ENGINE_MEM,
				    MEM32_BASE + 0x100000 + f->notify.offset + 4, 2, 0));
}

static void one_request(struct fixture *f, unsigned queue)
{
	ring_offer(&f->ring, 0);
	mem_write(&f->m, f->notify.addr + 4 * queue, 2, queue);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), f->ring.idx);
}

/* PCI-32 to 35: interrupt status, with MSI-X off. */
static void test_isr(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	setup_queue(f, 0);
	put(f, STATUS, 1, 0xf);
	run_loop(f);
	assert_int_equal(cfg_read(&f->m, DEVFN, 6, 2) & 8, 0);
	one_request(f, 0);
	assert_int_equal(cfg_read(&f->m, DEVFN, 6, 2) & 8, 8);
	virtio_device_config_changed(f->vd);
	assert_int_equal(mem_read(&f->m, f->isr.addr, 1), 3);
	assert_int_equal(mem_read(&f->m, f->isr.addr, 1), 0);
	assert_int_equal(cfg_read(&f->m, DEVFN, 6, 2) & 8, 0);
	one_request(f, 0);
	assert_int_equal(mem_read(&f->m, f->isr.addr + 1, 4), 0); /* beside it: no effect */
	mem_write(&f->m, f->isr.addr, 1, 0);
	assert_int_equal(mem_read(&f->m, f->isr.addr, 4), 1);
	one_request(f, 0);
	reset(f);
	assert_int_equal(mem_read(&f->m, f->isr.addr, 1), 0);
	assert_int_equal(cfg_read(&f->m, DEVFN, 6, 2) & 8, 0);
}

/*
 * PCI-33 to 35: the pin's line is the OR of the status bits; MSI-X and Interrupt Disable hold it
 * low.
 */
static void test_line(void **state)
{
	struct fixture *f = *state;
	const bool *level = &f->m.levels[(DEVFN / 8) % PCI_NUM_LINES];

	assert_int_equal(cfg_read(&f->m, DEVFN, 0x3d, 1), 1);
	negotiate(f);
	setup_queue(f, 0);
	put(f, STATUS, 1, 0xf);
	run_loop(f);
	assert_false(*level);
	one_request(f, 0);
	assert_true(*level);
	virtio_device_config_changed(f->vd);
	assert_true(*level);
	cfg_write(&f->m, DEVFN, 4, 2, 0x406);
	assert_false(*level);
	cfg_write(&f->m, DEVFN, 4, 2, 6);
	assert_true(*level);
	assert_int_equal(mem_read(&f->m, f->isr.addr, 1), 3);
	assert_false(*level);
	one_request(f, 0);
	assert_true(*level);
	msix_on(f);
	assert_false(*level);
	put(f, QUEUE_VECTOR, 2, 0xffff);
	assert_int_equal(mem_read(&f->m, f->isr.addr, 1), 1);
	one_request(f, 0);
	cfg_write(&f->m, DEVFN, f->msix + 2, 2, 0);
	assert_false(*level); /* MSI-X was on, and the queue had no vector */
	one_request(f, 0);
	assert_true(*level);
	reset(f);
	assert_false(*level);
}

/*
 * Without the Bus Master bit no ring is read or written and no message leaves; with it everything
 * goes on.
 */
static void test_bus_master(void **state)
{
	struct fixture *f = *state;
	struct qvmx_request req;
	struct virtqueue *vq;

	msix_on(f);
	negotiate(f);
	setup_queue(f, 0);
	put(f, QUEUE_VECTOR, 2, 1);
	put(f, STATUS, 1, 0xf);
	run_loop(f);
	one_request(f, 0);
	assert_int_equal(message(f), 0x41);
	cfg_write(&f->m, DEVFN, 4, 2, 2);
	ring_offer(&f->ring, 0);
	mem_write(&f->m, f->notify.addr, 2, 0);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	assert_int_equal(message(f), 0);
	cfg_write(&f->m, DEVFN, 4, 2, 6);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 2);
	assert_int_equal(message(f), 0x41);

	/* What is done meanwhile is shown afterwards. */
	vq = virtio_device_queue(f->vd, 0);
	ring_offer(&f->ring, 0);
	assert_int_equal(virtqueue_next(vq, &req), 1);
	cfg_write(&f->m, DEVFN, 4, 2, 2);
	virtqueue_done(vq, req.id, 1);
	virtqueue_flush(vq);
	assert_int_equal(ring_used_idx(&f->ring), 2);
	cfg_write(&f->m, DEVFN, 4, 2, 6);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 3);
	assert_int_equal(message(f), 0x41);
}

/* PCI-49 to 54, DRV-27: mapping of vectors. */
static void test_vectors(void **state)
{
	static const unsigned bad[] = { VECTORS, VECTORS + 1, 0x800, 0xfffe, 0xffff };
	struct fixture *f = *state;

	assert_int_equal(get(f, CONFIG_VECTOR, 2), 0xffff);
	for (unsigned q = 0; q <= QUEUES; q++) {
		unsigned reg = q < QUEUES ? QUEUE_VECTOR : CONFIG_VECTOR;

		put(f, QUEUE_SELECT, 2, q);
		assert_int_equal(get(f, reg, 2), 0xffff);
		for (unsigned v = 0; v < VECTORS; v++) {
			put(f, reg, 2, v);
			assert_int_equal(get(f, reg, 2), v);
		}
		for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
			put(f, reg, 2, 1);
			put(f, reg, 2, bad[i]);
			assert_int_equal(get(f, reg, 2), 0xffff);
		}
		put(f, reg, 2, 2);
	}
	reset(f);
	assert_int_equal(get(f, CONFIG_VECTOR, 2), 0xffff);
	for (unsigned q = 0; q < QUEUES; q++) {
		put(f, QUEUE_SELECT, 2, q);
		assert_int_equal(get(f, QUEUE_VECTOR, 2), 0xffff);
	}
}

/* PCI-32, 49, 50, 55, 56, GEN-4, GEN-15: interrupts by MSI-X. */
static void test_interrupts(void **state)
{
	struct fixture *f = *state;

	msix_on(f);
	negotiate(f);
	setup_queue(f, 0);
	put(f, STATUS, 1, 0xf);
	run_loop(f);
	for (unsigned v = 0; v < VECTORS; v++) {
		put(f, QUEUE_VECTOR, 2, v);
		one_request(f, 0);
		assert_int_equal(message(f), 0x40 + v);
		put(f, CONFIG_VECTOR, 2, v);
		virtio_device_config_changed(f->vd);
		assert_int_equal(mem_read(&f->m, f->isr.addr, 1), 2);
		assert_int_equal(message(f), 0x40 + v);
	}
	put(f, QUEUE_VECTOR, 2, 0xffff);
	put(f, CONFIG_VECTOR, 2, 0xffff);
	one_request(f, 0);
	virtio_device_config_changed(f->vd);
	assert_int_equal(message(f), 0);
	assert_int_equal(mem_read(&f->m, f->isr.addr, 1), 2);
	assert_int_equal(cfg_read(&f->m, DEVFN, 6, 2) & 8, 0);
	/* NEEDS_RESET while it runs is a configuration change. */
	put(f, CONFIG_VECTOR, 2, 3);
	ring_offer(&f->ring, MAX_SIZE);
	mem_write(&f->m, f->notify.addr, 2, 0);
	run_loop(f);
	assert_int_equal(get(f, STATUS, 1), 0x4f);
	assert_int_equal(message(f), 0x43);
	reset(f);
	virtio_device_config_changed(f->vd);
	assert_int_equal(message(f), 0);
}

/* One access through the window of the PCI_CFG capability. */
static uint32_t window(struct fixture *f, bool write, uint8_t bar, uint32_t offset, uint32_t len,
		       uint32_t value)
{
	unsigned cap = find_structure(f, CFG_PCI).cap;

	cfg_write(&f->m, DEVFN, cap + 4, 1, bar);
	cfg_write(&f->m, DEVFN, cap + 8, 4, offset);
	cfg_write(&f->m, DEVFN, cap + 12, 4, len);
	assert_int_equal(cfg_read(&f->m, DEVFN, cap + 4, 1), bar);
	assert_int_equal(cfg_read(&f->m, DEVFN, cap + 8, 4), offset);
	assert_int_equal(cfg_read(&f->m, DEVFN, cap + 12, 4), len);
	if (write) {
		cfg_write(&f->m, DEVFN, cap + 16, 4, value);
		return 0;
	}
	return cfg_read(&f->m, DEVFN, cap + 16, 4);
}

static void window_put(struct fixture *f, unsigned reg, unsigned len, uint32_t value)
{
	window(f, true, 0, f->common.offset + reg, len, value);
}

/*
 * PCI-43, 44, 45: a whole initialisation and a request through the window, the BARs switched off.
 */
static void test_pci_cfg(void **state)
{
	struct fixture *f = *state;

	cfg_write(&f->m, DEVFN, 4, 2, 4);
	window_put(f, STATUS, 1, 0xffffff00 | 3);
	assert_int_equal(window(f, false, 0, STATUS, 1, 0), 3);
	window_put(f, DRIVER_FEATURE_SELECT, 4, 1);
	window_put(f, DRIVER_FEATURE, 4, 1);
	window_put(f, STATUS, 1, 0xb);
	ring_init(&f->ring, f->mem, MAX_SIZE);
	ring_desc(&f->ring, 0, BUFFERS, 8, VIRTQ_DESC_F_WRITE, 0);
	window_put(f, QUEUE_SELECT, 2, 1);
	window_put(f, QUEUE_DESC, 4, (uint32_t)f->ring.desc);
	window_put(f, QUEUE_DRIVER, 4, (uint32_t)f->ring.avail);
	window_put(f, QUEUE_DEVICE, 4, (uint32_t)f->ring.used);
	window_put(f, QUEUE_ENABLE, 2, 1);
	window_put(f, STATUS, 1, 0xf);
	assert_int_equal(window(f, false, 0, STATUS, 1, 0), 0xf);
	ring_offer(&f->ring, 0);
	window(f, true, 0, f->notify.offset + 4, 2, 1);
	run_loop(f);
	assert_int_equal(ring_used_idx(&f->ring), 1);
	assert_int_equal(window(f, false, 0, f->isr.offset, 1, 0), 1);
	assert_int_equal(window(f, false, 0, f->isr.offset, 1, 0), 0);
	assert_int_equal(window(f, false, 0, f->device.offset + 4, 4, 0), 0xc7c6c5c4);
	assert_int_equal(window(f, false, 0, f->device.offset + 6, 2, 0), 0xc7c6);
}

/* DRV-26 */
static void test_pci_cfg_abuse(void **state)
{
	static const uint32_t bad_len[] = { 0, 3, 5, 8, 0x10000, 0xffffffff };
	struct fixture *f = *state;

	f->last_event = VIOREF_ERRNO;
	for (unsigned i = 0; i < ARRAY_LEN(bad_len); i++) {
		assert_int_equal(window(f, false, 0, f->device.offset, bad_len[i], 0), 0);
		window(f, true, 0, STATUS, bad_len[i], 1);
	}
	for (unsigned bar = 1; bar < 256; bar++) {
		assert_int_equal(window(f, false, (uint8_t)bar, 0, 4, 0), 0);
		window(f, true, (uint8_t)bar, STATUS, 1, 1);
	}
	assert_int_equal(window(f, false, 0, f->device.offset + 1, 2, 0), 0);
	assert_int_equal(window(f, false, 0, f->device.offset + 2, 4, 0), 0);
	assert_int_equal(window(f, false, 0, VIRTIO_PCI_BAR_SIZE, 4, 0), 0);
	assert_int_equal(window(f, false, 0, 0xfffffffc, 4, 0), 0);
	assert_int_equal(window(f, false, 0, 0xffffffff, 1, 0), 0);
	assert_int_equal(f->last_event, VIOREF_ERRNO); /* no access came */
	assert_int_equal(get(f, STATUS, 1), 0);
	/* Its other bytes are read-only. */
	unsigned cap = find_structure(f, CFG_PCI).cap;

	cfg_write(&f->m, DEVFN, cap, 4, 0);
	cfg_write(&f->m, DEVFN, cap + 5, 2, 0xffff);
	assert_int_equal(cfg_read(&f->m, DEVFN, cap + 2, 1), 20);
	assert_int_equal(cfg_read(&f->m, DEVFN, cap + 5, 2), 0);
}

/*
 * Two vCPUs do anything to one device (registers, BAR moves, MSI-X, resets through both BARs and
 * the window) while the loop thread works it. Nothing is checked but that it ends, and what the
 * sanitizers see.
 */
struct race {
	struct fixture *f;
	unsigned seed;
	_Atomic bool over;
};

static enum bus_result race_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct fixture *f = opaque;
	uint64_t value = 0;
	unsigned event;

	(void)cookie;
	if (acc->write) {
		memcpy(&value, acc->data, acc->len);
		event = virtio_pci_write(f->vp, acc->offset, acc->len, value);
	} else {
		event = virtio_pci_read(f->vp, acc->offset, acc->len, &value);
		memcpy(acc->data, &value, acc->len);
	}
	assert_true((event & VIOREF_CLASS_MASK) == VIOREF_NOP ||
		    (event & VIOREF_CLASS_MASK) == VIOREF_DEVCFG);
	return BUS_OK;
}

static void *race_loop(void *opaque)
{
	struct race *race = opaque;
	struct fixture *f = race->f;

	while (!atomic_load(&race->over)) {
		struct pollfd p[2];

		for (unsigned i = 0; i < 2; i++)
			p[i] = (struct pollfd){ .fd = virtio_device_queue_fd(f->vd, i),
						.events = POLLIN };
		poll(p, 2, 1);
		for (unsigned i = 0; i < 2; i++) {
			if (p[i].revents)
				virtio_device_queue_kicked(f->vd, i);
		}
		virtio_device_config_changed(f->vd);
	}
	return NULL;
}

static void race_step(struct race *race, struct bus_reader *reader)
{
	static const uint16_t config_regs[] = {
		0x04, 0x10, 0x14, 0x50, 0x54, 0x58, 0x5c, 0x60, 0x64
	};
	static const uint8_t statuses[] = { 0, 1, 3, 0xb, 0xf, 0xf, 0xf, 0xf };
	struct fixture *f = race->f;
	unsigned r = (unsigned)rand_r(&race->seed), len = 1u << r / 7 % 4;
	uint64_t value = (uint64_t)rand_r(&race->seed),
		 base = MEM32_BASE + value / 16 % 2 * 0x10000;

	switch (r % 8) {
	case 0: /* command, BARs, capabilities */
		if (r / 64 % 2)
			value = MEM32_BASE + value % 4 * 0x4000;
		guest_access(&f->m, reader, ENGINE_MEM, true, ecam(DEVFN, config_regs[r / 16 % 9]),
			     len, &value);
		break;
	case 1:
		value = 2;
		guest_access(&f->m, reader, ENGINE_MEM, true, ecam(DEVFN, 4), 2, &value);
		value = MEM32_BASE + r / 16 % 2 * 0x10000;
		guest_access(&f->m, reader, ENGINE_MEM, true, ecam(DEVFN, 0x10), 4, &value);
		break;
	case 2:
		guest_access(&f->m, reader, ENGINE_MEM, false, ecam(DEVFN, r / 16 % 256), len,
			     &value);
		break;
	case 3: /* MSI-X */
		guest_access(&f->m, reader, ENGINE_MEM, r / 16 % 2,
			     MEM32_BASE + 0x4000 + r / 32 % 64, len, &value);
		value = r / 16 % 4 << 14;
		guest_access(&f->m, reader, ENGINE_MEM, true, ecam(DEVFN, f->msix + 2), 2, &value);
		break;
	case 4:
		value = statuses[value % ARRAY_LEN(statuses)];
		guest_access(&f->m, reader, ENGINE_MEM, true, base + STATUS, 1, &value);
		break;
	case 5: { /* a queue that works */
		const uint64_t addr[3] = { RING_DESC, RING_AVAIL, RING_USED };

		value = r / 16 % 2;
		guest_access(&f->m, reader, ENGINE_MEM, true, base + QUEUE_SELECT, 2, &value);
		for (unsigned i = 0; i < 3; i++) {
			value = addr[i];
			guest_access(&f->m, reader, ENGINE_MEM, true, base + QUEUE_DESC + 8 * i, 8,
				     &value);
		}
		value = 0x100000001;
		guest_access(&f->m, reader, ENGINE_MEM, true, base + DRIVER_FEATURE_SELECT, 8,
			     &value);
		value = 1;
		guest_access(&f->m, reader, ENGINE_MEM, true, base + QUEUE_ENABLE, 2, &value);
		break;
	}
	case 6:
		guest_access(&f->m, reader, ENGINE_MEM, r / 16 % 2, base + r / 32 % 0x40, len,
			     &value);
		guest_access(&f->m, reader, ENGINE_MEM, false, base + VIRTIO_PCI_ISR, 1, &value);
		break;
	case 7:
		guest_put16(f->mem, RING_AVAIL + 2, (uint16_t)(value % MAX_SIZE));
		guest_access(&f->m, reader, ENGINE_MEM, true,
			     base + VIRTIO_PCI_NOTIFY + r / 16 % 2 * 4, 2, &value);
		bench_doorbell(f->m.engine, ENGINE_MEM, base + VIRTIO_PCI_NOTIFY, 2, 0);
		bench_messages(f->m.engine, 0, NULL, NULL);
		break;
	}
}

static bool any_taken(const struct fixture *f)
{
	struct virtqueue_counts counts;

	virtqueue_counts(virtio_device_queue(f->vd, 0), &counts);
	return counts.taken > 0;
}

static void *race_vcpu(void *opaque)
{
	struct race *race = opaque;
	struct bus_reader reader;

	bus_reader_add(race->f->m.bus, &reader);
	/* On a loaded machine the loop may not have had a turn by then. */
	for (unsigned step = 0; step < 40000 || (step < 4000000 && !any_taken(race->f)); step++)
		race_step(race, &reader);
	bus_reader_remove(race->f->m.bus, &reader);
	return NULL;
}

static void test_races(void **state)
{
	const struct virtio_device_info info = {
		.type = VIRTIO_ID_BLOCK,
		.num_queues = 2,
		.config_size = CONFIG_SIZE,
		.broken = on_broken,
	};
	struct fixture *f = *state;
	const struct virtio_pci_info pci = {
		.name = "blk",
		.devfn = PCI_DEVFN_NEXT,
		.handler = race_access,
		.opaque = f,
	};
	struct race races[2] = { { .f = f, .seed = 1 }, { .f = f, .seed = 2 } };
	pthread_t loop, vcpus[2];

	destroy_on(f);
	machine_create(&f->m);
	assert_int_equal(virtio_device_create(&info, f->mem, &f->vd), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(virtio_device_queue_init(f->vd, i, MAX_SIZE), 0);
		assert_int_equal(virtio_device_queue_serve(f->vd, i, &queue_ops, f), 0);
	}
	assert_int_equal(virtio_pci_create(f->m.pci, f->vd, &pci, &f->vp), 0);
	machine_start(&f->m);
	ring_init(&f->ring, f->mem, MAX_SIZE);
	for (unsigned i = 0; i < MAX_SIZE; i++) {
		ring_desc(&f->ring, i, BUFFERS + 16 * i, 8, 0, 0);
		guest_put16(f->mem, RING_AVAIL + 4 + 2 * i, (uint16_t)i);
	}
	assert_int_equal(pthread_create(&loop, NULL, race_loop, &races[0]), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&vcpus[i], NULL, race_vcpu, &races[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(vcpus[i], NULL);
	virtio_device_reset_request(f->vd);
	for (unsigned i = 0; i < 5000 && virtio_device_reset_pending(f->vd); i++)
		poll(NULL, 0, 1);
	assert_false(virtio_device_reset_pending(f->vd));
	atomic_store(&races[0].over, true);
	pthread_join(loop, NULL);

	struct virtqueue_counts counts;

	virtqueue_counts(virtio_device_queue(f->vd, 0), &counts);
	/* What was taken was completed, before a reset or too late. */
	assert_true(counts.taken > 0 && counts.taken == counts.done + counts.dropped);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_discovery),	  TEST(test_features),	    TEST(test_queue_registers),
		TEST(test_any_width),	  TEST(test_device_config), TEST(test_doorbells),
		TEST(test_isr),		  TEST(test_line),	    TEST(test_bus_master),
		TEST(test_vectors),	  TEST(test_interrupts),    TEST(test_pci_cfg),
		TEST(test_pci_cfg_abuse), TEST(test_races),
	};

	return cmocka_run_group_tests_name("virtio pci", tests, NULL, NULL);
}
