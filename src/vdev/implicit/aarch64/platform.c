/* SPDX-License-Identifier: Apache-2.0 */
/* Power on AArch64 is PSCI, which is KVM's: off and reset end vcpu_run. Nothing tells a guest of a
 * power button but a vdev that the file lists. */
#include "vdev/implicit/platform.h"

int platform_create(struct bus *bus, bool fixed, void (*line)(void *ctx, bool level), void *ctx,
		    struct platform **ret_platform)
{
	(void)bus, (void)fixed, (void)line, (void)ctx;
	*ret_platform = NULL;
	return 0;
}

void platform_free(struct platform *platform)
{
	(void)platform;
}

void platform_button(struct platform *platform)
{
	(void)platform;
}
