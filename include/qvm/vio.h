/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VirtIO helper: one call in vread and one in vwrite is a whole transport (PCI; memory mapped
 * when the vdev has a memory location). The core keeps the register file, negotiates features,
 * freezes the queues, and tells the vdev what concerns it. With served queues (x/queue.h) the vdev
 * hears of nothing but its device configuration. Follows the documented QNX Hypervisor 8.0 vdev
 * API.
 */
#ifndef QVM_VIO_H
#define QVM_VIO_H

#include <qvm/guest.h>
#include <qvm/hw_pci.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIO_MAX_FEATURE_WORDS 4
#define VIO_VENDOR_ID	      0x1c05u /* PCI subsystem vendor when vendor_id is 0 */
#define VIO_F_BIT(bit)	      (UINT32_C(1) << ((bit) % 32)) /* of a feature bit's number, in its word */

enum vio_version { VIOVER_LEGACY = 0, VIOVER_100 = 100 };

struct vio_description {
	uint16_t device_type; /* VirtIO device id */
	uint16_t vendor_id;   /* PCI subsystem vendor, 0: VIO_VENDOR_ID */
	unsigned pci_class;   /* class << 16 | subclass << 8 | interface */
	unsigned num_queues;
	unsigned device_config_size; /* bytes */
	/* Device features (word 0: bits 0-31 ...). VERSION_1, INDIRECT_DESC, EVENT_IDX and
	 * RING_PACKED are the core's. */
	uint32_t device_features[VIO_MAX_FEATURE_WORDS];
};

struct virtqueue;
struct vio_state_internal;

struct vio_queue_info {
	struct virtqueue *pvq; /* for vq_*; valid from vio_setup_queues to the next reset */
	unsigned size;	       /* as the driver set it */
};

struct vio_state {
	struct vio_state_internal *vsip;
	struct vio_queue_info *qinfo;			 /* num_queues entries */
	uint32_t driver_features[VIO_MAX_FEATURE_WORDS]; /* as accepted at FEATURES_OK */
};

/* Once in VDEV_CTRL_OPTIONS_END; then vio_init_queue for each queue. desc is copied. Errors end the
 * start. */
void vio_init(vdev_t *vdp, enum vio_version version, const struct vio_description *desc,
	      struct vio_state *vsp);

/* size: most descriptors of queue idx, a power of two up to 32768. VDEV_CTRL_OPTIONS_END. Returns
 * EOK, or an errno after it was reported: EINVAL: no such queue or size; ENOMEM. */
int vio_init_queue(struct vio_state *vsp, unsigned idx, unsigned size);

/* What vio_read and vio_write return: class | detail. */
#define VIOREF_CLASS_NOP     0x00000u
#define VIOREF_CLASS_NOTIFY  0x10000u /* detail: queue that the driver kicked */
#define VIOREF_CLASS_ENABLED 0x20000u /* detail: queue that was enabled */
#define VIOREF_CLASS_RESET   0x30000u /* the driver resets: stop, then call vio_reset */
#define VIOREF_CLASS_STATUS  0x40000u /* detail: status bits newly set */
#define VIOREF_CLASS_DEVCFG \
	0x50000u /* detail: offset in the device configuration; offset + width is inside */
#define VIOREF_CLASS_BUS_ERROR 0x60000u
#define VIOREF_CLASS_ERRNO     0x70000u /* detail: errno */
#define VIOREF_CLASS_MASK      0xf0000u

/* The same, shorter (ours). */
#define VIOREF_NOP	 VIOREF_CLASS_NOP
#define VIOREF_NOTIFY	 VIOREF_CLASS_NOTIFY
#define VIOREF_ENABLED	 VIOREF_CLASS_ENABLED
#define VIOREF_RESET	 VIOREF_CLASS_RESET
#define VIOREF_STATUS	 VIOREF_CLASS_STATUS
#define VIOREF_DEVCFG	 VIOREF_CLASS_DEVCFG
#define VIOREF_BUS_ERROR VIOREF_CLASS_BUS_ERROR
#define VIOREF_ERRNO	 VIOREF_CLASS_ERRNO

/* Handle vread (vwrite). Running stage, any vCPU's thread. */
unsigned vio_read(struct vio_state *vsp, unsigned cookie, const struct qvm_state_block *vopnd,
		  const struct qvm_state_block *oopnd, struct guest_cpu *gcp);
unsigned vio_write(struct vio_state *vsp, unsigned cookie, const struct qvm_state_block *vopnd,
		   const struct qvm_state_block *oopnd, struct guest_cpu *gcp);

/* After VIOREF_RESET, when the vdev no longer touches its queues. */
void vio_reset(struct vio_state *vsp);

/* After VIOREF_STATUS with DRIVER_OK: make qinfo[].pvq. Returns EOK or an errno (the device then
 * needs a reset). */
int vio_setup_queues(struct vio_state *vsp);

/* In VDEV_CTRL_PCI_BARS. Returns EOK or an errno. */
int vio_ctrl_pci_bars(struct vio_state *vsp, const char *arg);

/*
 * In VDEV_CTRL_GEN_FDT: the device's node, NAME@ADDRESS, under parent_node, which is `arg` cast to
 * int. Nothing happens for a PCI device, which the guest finds by its bus. A vdev that does not
 * call it gets a node called virtio_mmio. Returns EOK or an errno.
 */
int vio_ctrl_gen_fdt(struct vio_state *vsp, const char *name, int parent_node);

#ifdef __cplusplus
}
#endif

#endif
