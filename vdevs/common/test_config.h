/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another vCPU that looks at the device configuration just before the vdev says that it has
 * changed: what is new must not be there yet, or a driver could take it for part of the old one.
 * For one file of a test program; <qvm/x/test.h> comes before it.
 */
#ifndef TEST_CONFIG_H
#define TEST_CONFIG_H

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define LOOK_NOTHING UINT64_MAX
#define LOOK_MS	     50
#define LOOK_WAIT_MS 10000

static struct {
	struct vdevtest_virtio *_Atomic v; /* NULL: nobody looks */
	unsigned offset, len;
	pthread_t thread;
	_Atomic bool told;
	_Atomic uint64_t value; /* LOOK_NOTHING: not yet */
	uint64_t early;		/* of it, what was there before the change was told */
} look;

static void *look_main(void *arg)
{
	look.value = vdevtest_virtio_config(arg, look.offset, look.len);
	return NULL;
}

/* The next change is looked at. */
static inline void look_begin(struct vdevtest_virtio *v, unsigned offset, unsigned len)
{
	look.offset = offset;
	look.len = len;
	look.value = look.early = LOOK_NOTHING;
	look.told = false;
	look.v = v;
}

/* Wait for the change. What was seen before it was told, if anything, and at last; false: none
 * came.
 */
static inline bool look_end(uint64_t *ret_early, uint64_t *ret_value)
{
	for (unsigned ms = 0; ms < LOOK_WAIT_MS && !look.told; ms++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	if (!look.told)
		return false;
	pthread_join(look.thread, NULL);
	*ret_early = look.early;
	*ret_value = look.value;
	return true;
}

/* Stands before the vdev host's. */
struct vio_state;
__attribute__((visibility("default"))) void qvmx_config_changed(struct vio_state *vsp);

void qvmx_config_changed(struct vio_state *vsp)
{
	struct vdevtest_virtio *v = atomic_exchange(&look.v, NULL);
	void (*real)(struct vio_state *);

	*(void **)&real = dlsym(RTLD_NEXT, "qvmx_config_changed");
	if (v && pthread_create(&look.thread, NULL, look_main, v) == 0) {
		for (unsigned ms = 0; ms < LOOK_MS && look.value == LOOK_NOTHING; ms++)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		look.early = look.value;
		look.told = true;
	}
	real(vsp);
}

#endif
