/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/loop: one thread a vdev, for file descriptors.
 *
 * The thread is made by the core for a vdev that watches something or serves a queue, named after
 * it, starts just before the guest does and is joined before VDEV_CTRL_TERMINATE. Callbacks of one
 * vdev never run at the same time. Ours, not part of the documented API.
 */
#ifndef QVM_X_LOOP_H
#define QVM_X_LOOP_H

#include <stdint.h>
#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct qvmx_watch;
typedef void qvmx_watch_func_t(vdev_t *vdp, void *data, uint32_t events);

/*
 * Call func on the vdev's thread when fd is ready. events: EPOLLIN, EPOLLOUT, EPOLLET ... of
 * epoll(7); 0 pauses. From VDEV_CTRL_OPTIONS_END to VDEV_CTRL_GUEST_CONFIGURED, or on the vdev's
 * thread. The fd stays the caller's and must outlive the watch. ret_watch may be NULL. Returns EOK
 * or an errno (ENOMEM; EPERM: that kind of file is always ready).
 */
int qvmx_watch_add(vdev_t *vdp, int fd, uint32_t events, qvmx_watch_func_t *func, void *data,
		   struct qvmx_watch **ret_watch);

/* Change the events. On the vdev's thread, or in the start-up stage. */
void qvmx_watch_set(struct qvmx_watch *watch, uint32_t events);

/* End the watch; its callback does not run again. As qvmx_watch_set. */
void qvmx_watch_remove(struct qvmx_watch *watch);

/*
 * Run func(vdp, data, 0) once on the vdev's thread. Any thread, any stage. Returns EOK or ENOMEM,
 * in the running stage also for a vdev that has no thread, since it watched and served nothing in
 * the start-up stage.
 */
int qvmx_loop_call(vdev_t *vdp, qvmx_watch_func_t *func, void *data);

/*
 * Have the factory's `pulse` called with code on the vdev's thread: what vdev_pulse does by an
 * event of the system. As qvmx_loop_call; EINVAL: the factory has no `pulse`.
 */
int qvmx_pulse_send(vdev_t *vdp, int8_t code);

#ifdef __cplusplus
}
#endif

#endif
