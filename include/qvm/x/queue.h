/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/queue: served virtqueues.
 *
 * A vdev that serves a queue never hears of doorbells, rings or interrupts: the doorbell is an
 * eventfd (no exit to a vCPU thread), the chains are walked, checked and translated once by the
 * core, and the vdev gets host iovecs on its own thread (x/loop.h). All functions and callbacks
 * here run on that thread unless said otherwise, so a vdev that works its queues only there needs
 * no lock. Ours, not part of the documented API.
 */
#ifndef QVM_X_QUEUE_H
#define QVM_X_QUEUE_H

#include <stdbool.h>
#include <sys/uio.h>
#include <qvm/vio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct qvmx_queue;

/* A buffer of the driver. Readable by the device: iov[0 .. num_read), writable: iov[num_read ..
 * num_read + num_write). */
struct qvmx_request {
	uint32_t id; /* give it back with qvmx_queue_done */
	unsigned num_read, num_write;
	size_t read_len, write_len; /* bytes in each part */
	const struct iovec *iov;    /* guest RAM; the array is the queue's and lasts until the next
				       qvmx_queue_next */
};

struct qvmx_queue_ops {
	unsigned size; /* sizeof(struct qvmx_queue_ops) */
	/* The driver may have added buffers: take them with qvmx_queue_next until it returns 0. */
	void (*kick)(vdev_t *vdp, unsigned queue, struct qvmx_queue *q);
	/*
	 * The driver resets the device (or the VM ends). Forget every buffer of this queue; those
	 * already handed to the host (asynchronous I/O) still own their memory. Return true when
	 * none is left; else return false and call qvmx_queue_stopped when the last one came back.
	 * qvmx_queue_done is ignored meanwhile. Until then the driver sees the reset as unfinished.
	 * May be NULL for a vdev that keeps nothing in flight.
	 */
	bool (*stop)(vdev_t *vdp, unsigned queue, struct qvmx_queue *q);
	/* The driver has set DRIVER_OK: driver_features and the queue are valid. May be NULL. */
	void (*start)(vdev_t *vdp, unsigned queue, struct qvmx_queue *q);
};

/* Serve queue idx. In VDEV_CTRL_OPTIONS_END, after vio_init_queue. ops has static lifetime. */
void qvmx_queue_serve(struct vio_state *vsp, unsigned idx, const struct qvmx_queue_ops *ops);

/*
 * Options that VirtIO vdevs share, for their tables (x/conf.h).
 *
 * Packed rings are offered to every driver. A vdev that lets its user choose has an option made by
 * QVMX_QUEUE_OPTION_PACKED and, if its value is 0, calls qvmx_queue_split_only between vio_init
 * and the end of VDEV_CTRL_OPTIONS_END.
 */
#define QVMX_QUEUE_OPTION_LEGACY                                          \
	{                                                                 \
		.name = "legacy", .type = QVMX_OPT_FLAG,                  \
		.help = "the VirtIO 0.9.5 registers (refused: not built)" \
	}
#define QVMX_QUEUE_OPTION_PACKED                                                      \
	{                                                                             \
		.name = "packed", .type = QVMX_OPT_BOOL,                              \
		.help = "offer packed virtqueues to the guest's driver (default yes)" \
	}
void qvmx_queue_split_only(struct vio_state *vsp);
/* What a vdev returns for QVMX_QUEUE_OPTION_LEGACY: refused with a sentence. */
int qvmx_queue_refuse_legacy(const vdev_t *vdp);

/*
 * Take the next buffer. Returns 1 and fills *ret_req; 0: none, and the next one that the driver
 * adds causes a kick; -EIO: the driver broke the rules, the device is in NEEDS_RESET (already
 * logged and counted) and the queue is dead until the reset; -ENODEV: the queue is not live.
 */
int qvmx_queue_next(struct qvmx_queue *q, struct qvmx_request *ret_req);

/* Put back the buffer that qvmx_queue_next returned last, as if it had not been taken (receive
 * queues). */
void qvmx_queue_unget(struct qvmx_queue *q);

/* Entries of the queue, as the driver set them: no more buffers are the device's at a time. */
unsigned qvmx_queue_size(const struct qvmx_queue *q);

/* Give buffer id back, `written` bytes from the start of its writable part on are valid. The driver
 * sees it at flush. */
void qvmx_queue_done(struct qvmx_queue *q, uint32_t id, uint32_t written);

/* Publish what was done and interrupt the driver if it wants that. Once a batch. */
void qvmx_queue_flush(struct qvmx_queue *q);

/* The last buffer in flight came back after `stop` had returned false. */
void qvmx_queue_stopped(struct qvmx_queue *q);

/*
 * The device configuration changed: generation up, configuration-change interrupt. Any thread. Call
 * it before vread can answer with the new value (with the mutex held that vread takes for it): a
 * driver must not see that with the old generation.
 */
void qvmx_config_changed(struct vio_state *vsp);

/* What vread or vwrite returns for what vio_read or vio_write returned and the vdev did not handle
 * itself. */
vdev_ref_status_t qvmx_vio_status(unsigned vioref);

/*
 * The end of vread for what vio_read returned: a read of the device configuration is answered from
 * `config`, the first `size` bytes of it as they are now; what lies behind reads all ones.
 */
vdev_ref_status_t qvmx_config_read(unsigned vioref, const void *config, size_t size,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp);

/* Copy between a request's iovecs and a flat buffer, from byte `offset` of that part on. Returns
 * bytes copied. */
size_t qvmx_iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len);
size_t qvmx_iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf,
		      size_t len);

#ifdef __cplusplus
}
#endif

#endif
