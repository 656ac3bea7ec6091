/* SPDX-License-Identifier: Apache-2.0 */
/* wdog.h: what watchdog vdevs share. */
#include "vdev/api.h"

#include <string.h>

#include "vdev/host.h"

int wdog_action_parse(const vdev_t *vdp, const char *text, unsigned *ret_actions)
{
	bool dump = strcmp(text, "dump,terminate") == 0;

	if (!dump && strcmp(text, "terminate") != 0)
		return qvmx_refuse(vdp, "action '%s': it is 'terminate' or 'dump,terminate'", text);
	if (dump && !vdev_instance_of(vdp)->host->conf->dump.text)
		return qvmx_refuse(vdp,
				   "action '%s': the configuration does not say where dumps "
				   "go: a line such as `dump DIRECTORY` is missing",
				   text);
	*ret_actions = WDOG_TERMINATE | (dump ? WDOG_DUMP : 0);
	return EOK;
}

void wdog_bite(vdev_t *vdp, unsigned actions)
{
	log_write(LOG_SEV_ERROR, "%s: the guest has not kicked its watchdog in time%s%s",
		  vdev_instance_of(vdp)->label, actions & WDOG_DUMP ? ": it is dumped" : "",
		  actions & WDOG_TERMINATE ? ": the VM ends" : "");
	if (actions & WDOG_DUMP)
		(void)guest_write_core_file();
	if (actions & WDOG_TERMINATE)
		guest_terminate(GTC_WATCHDOG);
}
