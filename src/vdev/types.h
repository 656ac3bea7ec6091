/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of vdevs: finding and loading vdev-NAME.so. Loading runs the shared object's
 * constructor, which registers its factory and does nothing else; no other code of a vdev runs
 * before the configuration has been read.
 *
 * Used while the configuration is read (conf asks for option tables) and by --help; one thread.
 * Types are never unloaded.
 */
#ifndef VDEV_TYPES_H
#define VDEV_TYPES_H

#include "vdev/api.h"
#include "base/util.h"
#include "conf/conf.h"

struct vdev_type {
	struct vdev_type *next;
	const char *name, *path;
	const struct vdev_factory *factory;
	const struct qvmx_vdev_info *info; /* NULL: the documented option_list only */
	struct conf_vdev_type conf;
};

struct vdev_types;

/* dirs: searched first, in this order; then LD_LIBRARY_PATH, then where qvm is installed or built.
 * Copied. */
int vdev_types_create(const char *const *dirs, unsigned num_dirs,
		      struct vdev_types **ret_types) MUST_CHECK;
void vdev_types_free(struct vdev_types *types);

/* For struct conf_env: ctx is the vdev_types. */
const struct conf_vdev_type *vdev_types_find(void *ctx, const char *name, const char **ret_why);
const char *vdev_types_name(void *ctx, unsigned index);

/* The type whose conf member this is. */
static inline const struct vdev_type *vdev_type_of(const struct conf_vdev_type *conf)
{
	return container_of(conf, struct vdev_type, conf);
}

#endif
