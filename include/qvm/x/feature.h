/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/feature: which groups of our additions the program has that loads a vdev. A vdev that uses a
 * group is not loaded by a program without it, since it has functions that are not there; one that
 * can do without asks, and declares the functions weak:
 *
 *     #pragma weak qvmx_pci_bar
 *     if (qvmx_features() & QVMX_FEATURE_PCI)
 *             err = qvmx_pci_bar(vdp, 0, QVMX_PCI_BAR_MEM32, 4096, 0);
 *
 * Bits keep their meaning; new ones are appended. A group that grows in a way that a vdev must be
 * able to ask for gets another bit. Ours, not part of the documented API.
 */
#ifndef QVM_X_FEATURE_H
#define QVM_X_FEATURE_H

#include <qvm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One for each header of this folder but test.h, which libvdevtest has. */
#define QVMX_FEATURE_CONF   0x001u
#define QVMX_FEATURE_QUEUE  0x002u
#define QVMX_FEATURE_LOOP   0x004u
#define QVMX_FEATURE_REGION 0x008u
#define QVMX_FEATURE_ACPI   0x010u
#define QVMX_FEATURE_CPU    0x020u
#define QVMX_FEATURE_LOAD   0x040u
#define QVMX_FEATURE_MODEL  0x080u
#define QVMX_FEATURE_PCI    0x100u
#define QVMX_FEATURE_PIC    0x200u
#define QVMX_FEATURE_FDT    0x400u
#define QVMX_FEATURE_PASS   0x800u

/* QVMX_FEATURE_*. Any thread, any stage. */
uint64_t qvmx_features(void);

#ifdef __cplusplus
}
#endif

#endif
