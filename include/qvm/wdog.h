/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What watchdog vdevs share: their option `action` and the bite. Follows the documented QNX
 * Hypervisor vdev API, which names this header and wdog_bite(); the rest of it is ours.
 */
#ifndef QVM_WDOG_H
#define QVM_WDOG_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a watchdog does when it bites. */
#define WDOG_TERMINATE 0x1u /* end the VM with GTC_WATCHDOG */
#define WDOG_DUMP      0x2u /* dump the guest first, as guest_write_core_file does */

/*
 * The argument of `action`: "terminate" or "dump,terminate". Start-up stage. Returns EOK, or EINVAL
 * after it was reported: other words, or a dump in a VM whose configuration has no `dump`.
 */
int wdog_action_parse(const vdev_t *vdp, const char *text, unsigned *ret_actions);

/* Bite: say so and do what `actions` names. Running stage, any thread, without v_mtx. */
void wdog_bite(vdev_t *vdp, unsigned actions);

#ifdef __cplusplus
}
#endif

#endif
