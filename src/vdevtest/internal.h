/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of libvdevtest: what its files share. The allocator hands out guest RAM from 1 MiB
 * upwards.
 */
#ifndef VDEVTEST_INTERNAL_H
#define VDEVTEST_INTERNAL_H

#pragma GCC visibility push(default)
#include <qvm/x/test.h>
#pragma GCC visibility pop

/* How to start a bench: the configuration is a text, or words of a command line. */
struct vdevtest_fail {
	const char *call;
	uint64_t nth, times;
	int err;
};
struct vdevtest_setup {
	const char *text; /* NULL: words */
	char *const *words;
	unsigned num_words;
	unsigned implied_at,
		num_implied;	 /* among words: nobody wrote them, so no place counts them */
	const char *const *dirs; /* where vdevs are looked for first */
	unsigned num_dirs;
	bool stepped;
	uint64_t seed;
	const struct vdevtest_fail *fails; /* calls of the host that fail, from the start on */
	unsigned num_fails;
	const char *const *standins; /* for what vdevs open (standin.h) */
	unsigned num_standins;
};
struct vdevtest *vdevtest_start_with(const struct vdevtest_setup *setup);

/* Told of what devices do, for a trace; members may be NULL. Any thread. */
struct vdevtest_watch {
	void (*message)(void *ctx, uint64_t addr, uint32_t data);
	void (*line)(void *ctx, const char *pic, unsigned pin, bool level);
	void (*dma)(void *ctx, uint64_t gpa, uint64_t len, bool write);
	void *ctx;
};
void vdevtest_set_watch(struct vdevtest *t, const struct vdevtest_watch *watch);

/* Is there an interrupt controller, or any vdev, of that name? A vdev's name in the file, else its
 * type. *ret_pic and *ret_pin (vdev): the line it signals, NULL: none. */
bool vdevtest_has_pic(struct vdevtest *t, const char *name);
bool vdevtest_has_vdev(struct vdevtest *t, const char *name, const char **ret_pic,
		       unsigned *ret_pin);
/* Set an input of a controller as a device on it would. False: no such controller or input. */
bool vdevtest_line_set(struct vdevtest *t, const char *pic, unsigned pin, bool level);
/* Names of the controllers. Returns how many there are; the names are the bench's. */
unsigned vdevtest_pics(struct vdevtest *t, const char **ret, unsigned max);

/* The status report is asked of every vdev; it goes to the log. */
void vdevtest_status(struct vdevtest *t);
/* What the vdevs have in a device tree, as a blob to be freed. NULL: one of them did not do it. */
void *vdevtest_fdt(struct vdevtest *t, size_t *ret_len);

/* Registers and leaves of the vCPU that vdevs answer. Returns how many there are. */
struct vdevtest_instruction {
	bool cpuid; /* else a model specific register */
	uint32_t number;
};
unsigned vdevtest_instructions(const struct vdevtest *t, struct vdevtest_instruction *ret,
			       unsigned max);

/* Where accesses are answered. Returns how many there are. */
struct vdevtest_region {
	enum vdevtest_space space;
	uint64_t start, len;
};
unsigned vdevtest_regions(struct vdevtest *t, struct vdevtest_region *ret, unsigned max);
unsigned vdevtest_ram_regions(const struct vdevtest *t, struct vdevtest_region *ret, unsigned max);

/* Where the last vdev of the configuration has its registers. False: nowhere (PCI vdevs, too). */
bool vdevtest_place(struct vdevtest *t, enum vdevtest_space *ret_space, uint64_t *ret_addr);

/* Device number `dev` of vdevtest_virtio_start is a VirtIO vdev in memory. False: PCI's. */
bool vdevtest_mmio_place(const struct vdevtest *t, unsigned dev, uint64_t *ret_addr);

/* As vdevtest_ram; NULL if that is no RAM. */
void *vdevtest_ram_at(struct vdevtest *t, uint64_t gpa, uint64_t len);

/* What vdevtest_die does in this process instead of ending it; must not return. NULL: end it. */
void vdevtest_on_die(void (*func)(const char *why));

/* Let devices go on for a moment. False: stepped, and there was nothing to do. */
bool vdevtest_wait(struct vdevtest *t);
/* How long to wait for a device at most: `ms`, and not at all where nobody could do anything
 * meanwhile. */
unsigned vdevtest_patience_ms(const struct vdevtest *t, unsigned ms);

struct vdevtest_alloc {
	uint64_t next, end; /* guest-physical */
	/* Of a vdevtest_virtio_start that died; freed by the next one. */
	struct vdevtest_virtio *unfinished;
};

struct vdevtest_alloc *vdevtest_alloc_state(struct vdevtest *t);

unsigned vdevtest_virtio_num_queues(const struct vdevtest_virtio *v);
bool vdevtest_virtio_has_queue(const struct vdevtest_virtio *v, unsigned queue);

/*
 * The driver's side of a virtqueue (ring.c): memory from the allocator, one thread. *ret_parts:
 * descriptors, driver area, device area. Free it with free().
 */
struct vdevtest_ring;
struct vdevtest_ring *vdevtest_ring_create(struct vdevtest *t, unsigned size, bool packed,
					   bool event_idx, uint64_t ret_parts[3]);
/* As vdevtest_virtio_add. */
unsigned vdevtest_ring_add(struct vdevtest_ring *r, const struct vdevtest_buf *bufs, unsigned n);
/* Does the device want to hear of what was added since the last call? */
bool vdevtest_ring_wants_kick(struct vdevtest_ring *r);
/* Ask for an interrupt at the next used buffer. */
void vdevtest_ring_want_interrupt(struct vdevtest_ring *r);
/* The next used buffer, if there is one. */
bool vdevtest_ring_used(struct vdevtest_ring *r, unsigned *ret_head, uint32_t *ret_len);

/* End the process: a test that cannot go on. */
_Noreturn void vdevtest_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
