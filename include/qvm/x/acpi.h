/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/acpi: put a device into the guest's ACPI namespace. Its resources are the vdev's location and
 * interrupt. Ours, not part of the documented API.
 */
#ifndef QVM_X_ACPI_H
#define QVM_X_ACPI_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Ports beyond the vdev's own location, for devices with several ranges. */
struct qvmx_acpi_ports {
	uint16_t first, count;
};

/*
 * In VDEV_CTRL_GEN_ACPI. hid: hardware id such as "PNP0501" or "LNRO0005"; more: num_more port
 * ranges. The unit number counts the vdevs of one hid. Texts have static lifetime. Returns EOK or
 * ENOMEM.
 */
int qvmx_acpi_device(vdev_t *vdp, const char *hid, const struct qvmx_acpi_ports *more,
		     unsigned num_more);

/*
 * The vdev is an HPET, below 4 GiB. The tables tell the guest of the first one, and ACPI is not
 * hardware-reduced then, since Linux uses an HPET on a full PC only. id: low half of its
 * capabilities register; min_ticks: least distance of a comparator. In VDEV_CTRL_ASSIGN. Returns
 * EOK.
 */
int qvmx_acpi_hpet(vdev_t *vdp, uint32_t id, uint16_t min_ticks);

#ifdef __cplusplus
}
#endif

#endif
