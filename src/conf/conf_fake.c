/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_fake.h"

#include <string.h>

static const struct qvmx_option blk_options[] = {
	{ "hostdev", QVMX_OPT_PATH },
	{ "delayed", QVMX_OPT_SECONDS },
	{ "dio", QVMX_OPT_CHOICE, .choices = "enable|disable" },
	{ "threads", QVMX_OPT_NUMBER, .min = 1, .max = 32 },
	{ "legacy", QVMX_OPT_FLAG },
};

static const struct qvmx_option net_options[] = {
	{ "peer", QVMX_OPT_PATH },
	{ "peerfeats", QVMX_OPT_NUMBER, .max = 0x7fc3 },
	{ "mac", QVMX_OPT_MAC },
};

static const struct qvmx_option console_options[] = {
	{ "hostdev", QVMX_OPT_PATH, QVMX_OPTF_REPEAT },
	{ "sched", QVMX_OPT_NUMBER },
};

static const struct qvmx_option ser8250_options[] = {
	{ "hostdev", QVMX_OPT_PATH, QVMX_OPTF_REPEAT },
	{ "batch", QVMX_OPT_NUMBER },
};

static const struct qvmx_option hpet_options[] = {
	{ "frequency", QVMX_OPT_NUMBER },
	{ "legacy-free", QVMX_OPT_FLAG },
};

static const struct qvmx_option sample_options[] = {
	{ "flag", QVMX_OPT_FLAG },
	{ "text", QVMX_OPT_STRING },
	{ "number", QVMX_OPT_NUMBER, .min = 1, .max = 100 },
	{ "size", QVMX_OPT_SIZE, .min = 4096, .max = 1 << 20 },
	{ "address", QVMX_OPT_ADDRESS },
	{ "bool", QVMX_OPT_BOOL },
	{ "choice", QVMX_OPT_CHOICE, .choices = "alpha|beta|gamma" },
	{ "path", QVMX_OPT_PATH },
	{ "mac", QVMX_OPT_MAC },
	{ "seconds", QVMX_OPT_SECONDS },
	{ "must", QVMX_OPT_STRING, QVMX_OPTF_REQUIRED },
	{ "many", QVMX_OPT_STRING, QVMX_OPTF_REPEAT },
};

#define OPTIONS(table) .options = (table), .num_options = ARRAY_LEN(table)

static const struct conf_vdev_type types[] = {
	{ "virtio-blk", OPTIONS(blk_options), .loc_space = CONF_SPACE_PCI },
	{ "virtio-net", OPTIONS(net_options), .loc_space = CONF_SPACE_PCI },
	{ "virtio-console", OPTIONS(console_options), .loc_space = CONF_SPACE_PCI },
	{ "ser8250", OPTIONS(ser8250_options), .loc_space = CONF_SPACE_IO },
	{ "hpet", OPTIONS(hpet_options), .max_intrs = 3 },
	{ "ioapic", .pic = true, .accel = true },
	{ "8259", .loc_space = CONF_SPACE_IO, .accel = true },
	{ "gic", .pic = true, .pic_name = "gic" },
	{ "sample", OPTIONS(sample_options) },
	{ "sober", .safety = true },
};

static const struct conf_vdev_type *fake_find_vdev(void *ctx, const char *type,
						   const char **ret_why)
{
	(void)ctx;
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		if (!strcmp(types[i].name, type))
			return &types[i];
	}
	*ret_why = "there is no such file in /usr/lib/vdevs";
	return NULL;
}

static const char *fake_vdev_name(void *ctx, unsigned index)
{
	(void)ctx;
	return index < ARRAY_LEN(types) ? types[index].name : NULL;
}

static const char *fake_getenv(void *ctx, const char *name)
{
	static const char *const variables[][2] = {
		{ "HOST_DEV", "/dev/ser1" },
		{ "SPACED", "two words" },
		{ "EMPTY", "" },
		{ "SIZE", "64" },
		{ "DOLLAR", "$env{HOST_DEV}" },
	};

	(void)ctx;
	for (unsigned i = 0; i < ARRAY_LEN(variables); i++) {
		if (!strcmp(variables[i][0], name))
			return variables[i][1];
	}
	return NULL;
}

static const char *const fake_pics[] = { "apic", NULL };

const struct conf_env conf_fake_env = {
	.find_vdev = fake_find_vdev,
	.vdev_name = fake_vdev_name,
	.implicit_pics = fake_pics,
	.getenv = fake_getenv,
};
