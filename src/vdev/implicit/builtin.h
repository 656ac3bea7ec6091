/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vdev that is part of qvm and of every VM of an architecture, whether the file has a line for
 * it or not: the `gic` of AArch64. x86-64 has none (name NULL).
 */
#ifndef VDEV_IMPLICIT_BUILTIN_H
#define VDEV_IMPLICIT_BUILTIN_H

#include "vdev/api.h"

struct vdev_builtin {
	const char *name;
	struct vdev_factory *factory;
	const struct qvmx_vdev_info *info;
};
extern const struct vdev_builtin vdev_builtin;

#endif
