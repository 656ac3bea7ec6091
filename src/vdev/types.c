/* SPDX-License-Identifier: Apache-2.0 */
#include "vdev/types.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdev/api.h"
#include "vdev/implicit/builtin.h"
#include "vdev/object.h"

/* Descriptions began without what follows the options. */
enum { MAX_DIRS = 64, INFO_SIZE_1 = offsetof(struct qvmx_vdev_info, max_intrs) };

struct vdev_types {
	char *dirs[MAX_DIRS];
	unsigned num_dirs;
	struct vdev_type *first;
	char **names; /* for suggestions; made at the first miss */
	unsigned num_names;
	char why[PATH_MAX + 512];
};

/* What the constructor of a shared object has registered. */
struct registration {
	struct registration *next;
	void *handle; /* of dlopen */
	struct vdev_factory *factory;
	const struct qvmx_vdev_info *info;
	unsigned abi_version;
};

/*
 * The one that is being loaded, and those that are. A constructor runs once in a process, however
 * often its shared object is opened, so that what it registered is kept for ever. Start-up, one
 * thread.
 */
static struct registration registering;
static struct registration *registered;

void vdev_register_factory(struct vdev_factory *factory, unsigned abi_version)
{
	qvmx_vdev_register(factory, NULL, abi_version);
}

void qvmx_vdev_register(struct vdev_factory *factory, const struct qvmx_vdev_info *info,
			unsigned abi_version)
{
	registering.factory = factory;
	registering.info = info;
	registering.abi_version = abi_version;
}

uint64_t qvmx_features(void)
{
	return QVMX_FEATURE_CONF | QVMX_FEATURE_QUEUE | QVMX_FEATURE_LOOP | QVMX_FEATURE_REGION |
	       QVMX_FEATURE_ACPI | QVMX_FEATURE_CPU | QVMX_FEATURE_LOAD | QVMX_FEATURE_MODEL |
	       QVMX_FEATURE_PCI | QVMX_FEATURE_PIC | QVMX_FEATURE_FDT | QVMX_FEATURE_PASS;
}

static int dir_add(struct vdev_types *types, const char *dir, size_t len)
{
	if (!len || types->num_dirs == MAX_DIRS)
		return 0;
	types->dirs[types->num_dirs] = strndup(dir, len);
	return types->dirs[types->num_dirs++] ? 0 : -ENOMEM;
}

/* The folder FROM's/NAME, if it is there: added, links and dots resolved. 1: it was not there. */
static int dir_add_near(struct vdev_types *types, const char *from, const char *name)
{
	const char *slash = strrchr(from, '/');
	char path[PATH_MAX], *real;
	int len = slash ? (int)(slash - from) : 0;

	if (!slash || snprintf(path, sizeof(path), "%.*s/%s", len, from, name) >= (int)sizeof(path))
		return 1;
	real = realpath(path, NULL);
	if (!real)
		return 1;
	int rc = dir_add(types, real, strlen(real));

	free(real);
	return rc;
}

/*
 * Beside the program when it runs from its build folder, else where `make install` has put the
 * vdevs, as seen from the program, or from libvdevtest for a program that uses it: an installed
 * tree may be moved.
 */
static int dir_add_default(struct vdev_types *types)
{
	char program[PATH_MAX];
	Dl_info self;
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	int rc;

	program[n > 0 ? n : 0] = '\0';
	rc = dir_add_near(types, program, "vdevs");
	if (rc == 1)
		rc = dir_add_near(types, program, QVM_VDEV_DIR_FROM_BIN);
	if (rc == 1 && dladdr(&registering, &self) && self.dli_fname)
		rc = dir_add_near(types, self.dli_fname, QVM_VDEV_DIR_FROM_LIB);
	return rc == 1 ? 0 : rc;
}

int vdev_types_create(const char *const *dirs, unsigned num_dirs, struct vdev_types **ret_types)
{
	struct vdev_types *types = calloc(1, sizeof(*types));
	const char *env = getenv("LD_LIBRARY_PATH");
	int rc = types ? 0 : -ENOMEM;

	for (unsigned i = 0; !rc && i < num_dirs; i++)
		rc = dir_add(types, dirs[i], strlen(dirs[i]));
	while (!rc && env && *env) {
		size_t len = strcspn(env, ":");

		rc = dir_add(types, env, len);
		env += len + (env[len] == ':');
	}
	if (!rc)
		rc = dir_add_default(types);
	if (rc) {
		vdev_types_free(types);
		return rc;
	}
	*ret_types = types;
	return 0;
}

void vdev_types_free(struct vdev_types *types)
{
	if (!types)
		return;
	while (types->first) {
		struct vdev_type *t = types->first;

		types->first = t->next;
		if (!t->info)
			free((void *)t->conf.options);
		free((char *)t->name);
		free((char *)t->path);
		free(t);
	}
	for (unsigned i = 0; i < types->num_names; i++)
		free(types->names[i]);
	free(types->names);
	for (unsigned i = 0; i < types->num_dirs; i++)
		free(types->dirs[i]);
	free(types);
}

/* A vdev that registered with vdev_register_factory has names only: every option is a text or a
 * flag. */
static int options_from_list(struct vdev_type *t)
{
	const char *const *list = t->factory->option_list;
	unsigned n = 0;

	while (list && list[n])
		n++;
	struct qvmx_option *options = calloc(n + 1, sizeof(*options));

	if (!options)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		bool flag = list[i][0] == QVM_OPTION_NO_ARG_PREFIX[0];

		options[i].name = list[i] + flag;
		options[i].type = flag ? QVMX_OPT_FLAG : QVMX_OPT_STRING;
		options[i].flags = QVMX_OPTF_REPEAT;
	}
	t->conf.options = options;
	t->conf.num_options = n;
	return 0;
}

static const char *registration_refusal(void)
{
	unsigned version = registering.abi_version >> 16, size = registering.abi_version & 0xffff;

	if (!registering.factory)
		return "it registers no vdev (no call of vdev_register_factory in a constructor)";
	if (version > QVM_VDEV_ABI_VERSION || size > sizeof(struct vdev_factory))
		return "it was built for a newer qvm";
	if (version < QVM_VDEV_ABI_VERSION || size < sizeof(struct vdev_factory))
		return "it was built for an older qvm that is no longer supported";
	if (!registering.factory->control)
		return "its factory has no control function";
	if (registering.info && (registering.info->size < INFO_SIZE_1 ||
				 registering.info->size > sizeof(struct qvmx_vdev_info)))
		return "its description is of another version";
	return NULL;
}

static enum conf_space default_space(unsigned flags)
{
	if (flags & VFF_VDEV_X86_IO)
		return CONF_SPACE_IO;
	return flags & VFF_VDEV_PCI ? CONF_SPACE_PCI : CONF_SPACE_MEM;
}

/* Of what is registered. */
static struct vdev_type *type_make(const char *name, const char *path)
{
	struct vdev_type *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->factory = registering.factory;
	t->info = registering.info;
	t->name = strdup(t->factory->name ? t->factory->name : name);
	t->path = strdup(path);
	t->conf.name = t->name;
	t->conf.loc_space = default_space(t->factory->factory_flags);
	t->conf.max_intrs = 1;
	if (t->info && t->info->size > INFO_SIZE_1 && t->info->max_intrs)
		t->conf.max_intrs = t->info->max_intrs;
	t->conf.pic = t->factory->pic != NULL;
	t->conf.pic_name = t->name;
	t->conf.accel = t->info && (t->info->flags & QVMX_VDEV_ACCEL);
	t->conf.safety = (t->info && (t->info->flags & QVMX_VDEV_SAFETY)) ||
			 t->factory->safety == VDEV_SAFETY_SELECTED;
	if (t->info) {
		t->conf.options = t->info->options;
		t->conf.num_options = t->info->num_options;
	}
	if (!t->name || !t->path || (!t->info && options_from_list(t))) {
		free((char *)t->name);
		free((char *)t->path);
		free(t);
		return NULL;
	}
	return t;
}

/* Keep what was registered, or find what the same shared object registered before. */
static int registration_keep(void)
{
	struct registration *r = registered;

	while (r && r->handle != registering.handle)
		r = r->next;
	if (r) {
		registering = *r;
		return 0;
	}
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	registering.next = registered;
	*r = registering;
	registered = r;
	return 0;
}

/* 0: loaded; -ENOENT: not in this folder; else types->why says why not. */
static int type_load(struct vdev_types *types, const char *dir, const char *name,
		     struct vdev_type **ret_type)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/vdev-%s.so", dir, name) >= (int)sizeof(path) ||
	    access(path, F_OK) != 0)
		return -ENOENT;
	const char *refusal = object_refusal(path);

	if (refusal) {
		snprintf(types->why, sizeof(types->why), "%s cannot be loaded: %s", path, refusal);
		return -EINVAL;
	}
	memset(&registering, 0, sizeof(registering));
	registering.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!registering.handle) {
		snprintf(types->why, sizeof(types->why), "%s cannot be loaded: %s", path,
			 dlerror());
		return -EINVAL;
	}
	if (registration_keep())
		return -ENOMEM;
	refusal = registration_refusal();
	if (refusal) {
		snprintf(types->why, sizeof(types->why), "%s is refused: %s", path, refusal);
		return -EINVAL;
	}
	*ret_type = type_make(name, path);
	return *ret_type ? 0 : -ENOMEM;
}

static const struct conf_vdev_type *type_add(struct vdev_types *types, struct vdev_type *t)
{
	t->next = types->first;
	types->first = t;
	return &t->conf;
}

const struct conf_vdev_type *vdev_types_find(void *ctx, const char *name, const char **ret_why)
{
	struct vdev_types *types = ctx;
	size_t used = 0;

	for (struct vdev_type *t = types->first; t; t = t->next)
		if (strcmp(t->name, name) == 0)
			return &t->conf;
	if (vdev_builtin.name && strcmp(vdev_builtin.name, name) == 0) {
		registering = (struct registration){ .factory = vdev_builtin.factory,
						     .info = vdev_builtin.info,
						     .abi_version = QVM_VDEV_ABI };
		struct vdev_type *t = type_make(name, "qvm");

		if (!t)
			*ret_why = "out of memory";
		return t ? type_add(types, t) : NULL;
	}
	for (unsigned i = 0; i < types->num_dirs && !strchr(name, '/'); i++) {
		struct vdev_type *t;
		int rc = type_load(types, types->dirs[i], name, &t);

		if (rc == -ENOENT)
			continue;
		if (rc) {
			*ret_why = rc == -ENOMEM ? "out of memory" : types->why;
			return NULL;
		}
		return type_add(types, t);
	}
	used = (size_t)snprintf(types->why, sizeof(types->why), "there is no vdev-%s.so in ", name);
	for (unsigned i = 0; i < types->num_dirs && used < sizeof(types->why); i++)
		used += (size_t)snprintf(types->why + used, sizeof(types->why) - used, "%s%s",
					 i ? ", " : "", types->dirs[i]);
	*ret_why = types->why;
	return NULL;
}

static void names_scan(struct vdev_types *types, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char name[64];
		int end = 0;

		if (sscanf(e->d_name, "vdev-%63[^.].so%n", name, &end) != 1 || !end ||
		    e->d_name[end])
			continue;
		char **more = realloc(types->names, (types->num_names + 1) * sizeof(*more));

		if (!more)
			break;
		types->names = more;
		more[types->num_names] = strdup(name);
		types->num_names += more[types->num_names] != NULL;
	}
	if (dir)
		closedir(dir);
}

const char *vdev_types_name(void *ctx, unsigned index)
{
	struct vdev_types *types = ctx;

	for (unsigned i = 0; !types->names && i < types->num_dirs; i++)
		names_scan(types, types->dirs[i]);
	return index < types->num_names ? types->names[index] : NULL;
}
