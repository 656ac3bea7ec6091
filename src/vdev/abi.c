/* SPDX-License-Identifier: Apache-2.0 */
/* The layouts that shared objects were built against: they change with QVM_VDEV_ABI_VERSION only.
 * LP64, both architectures. */
#include "vdev/api.h"

#include <stddef.h>

#include "vdev/host.h"

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define OFFSET(type, field, bytes) \
	_Static_assert(offsetof(type, field) == (bytes), "offset of " #type "." #field)

SIZE(struct qvm_state_block, 32);
OFFSET(struct qvm_state_block, location, 0);
OFFSET(struct qvm_state_block, length, 8);
OFFSET(struct qvm_state_block, qst_type, 16);
OFFSET(struct qvm_state_block, qst_flags, 20);

SIZE(guest_intr_t, 16);
OFFSET(guest_intr_t, param, 8);
OFFSET(guest_intr_t, src_id, 12);

OFFSET(struct vdev_s, v_device, 0);
OFFSET(struct vdev_s, v_factory, 8);
OFFSET(struct vdev_s, v_block, 16);
OFFSET(struct vdev_s, v_intr, 48);
OFFSET(struct vdev_s, v_mtx, 64);
OFFSET(struct vdev_s, v_sched, 64 + sizeof(pthread_mutex_t));

SIZE(struct vdev_factory, 88);
OFFSET(struct vdev_factory, control, 8);
OFFSET(struct vdev_factory, vread, 16);
OFFSET(struct vdev_factory, vwrite, 24);
OFFSET(struct vdev_factory, pulse, 32);
OFFSET(struct vdev_factory, timer, 40);
OFFSET(struct vdev_factory, pic, 48);
OFFSET(struct vdev_factory, option_list, 56);
OFFSET(struct vdev_factory, name, 64);
OFFSET(struct vdev_factory, factory_flags, 72);
OFFSET(struct vdev_factory, acc_sizes, 76);
OFFSET(struct vdev_factory, extra_space, 80);

SIZE(struct qvm_sched_info, 8);
/* v_gsp of the 7.x API stands behind what 8.0 has. */
OFFSET(struct vdev_instance, gsp, sizeof(vdev_t));

SIZE(struct vdev_pic_functions, 48);
SIZE(struct gasp_region, 56);
OFFSET(struct gasp_region, cookie, 4);
OFFSET(struct gasp_region, vdev, 8);
OFFSET(struct gasp_region, host_location, 16);
OFFSET(struct gasp_region, guest, 24);
SIZE(gasp_map_handle_t, 24);
SIZE(gasp_walk_state_t, 48);

SIZE(struct guest_timer_data, 32);
SIZE(struct vio_state, 32);
OFFSET(struct vio_state, qinfo, 8);
OFFSET(struct vio_state, driver_features, 16);
SIZE(struct vio_queue_info, 16);
SIZE(struct vio_description, 32);
OFFSET(struct vio_description, device_features, 16);

SIZE(struct qvmx_option, 48);
SIZE(struct qvmx_pci_info, 20);
SIZE(struct qvmx_vdev_info, 40);
SIZE(struct qvmx_queue_ops, 32);
SIZE(struct qvmx_request, 40);
SIZE(struct qvmx_load, 40);
SIZE(struct qvmx_acpi_ports, 4);
SIZE(struct qvmx_extint_ops, 16);
