/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run directory of a named VM: /run/qvm/SYSTEM (QVM_RUN_DIR moves /run). A lock in it says that
 * the VM is alive; the kernel drops it when the process ends in whatever way, so files that a kill
 * leaves behind stop nothing. Start-up, main thread.
 */
#ifndef VM_RUNDIR_H
#define VM_RUNDIR_H

#include <sys/types.h>
#include "base/util.h"

struct rundir;

/* -EBUSY: a VM of that name runs; -EINVAL: no name for a folder; else errno of mkdir or open.
 * *ret_path for messages. */
int rundir_claim(const char *system, struct rundir **ret_dir, const char **ret_path) MUST_CHECK;

/* It becomes that user's, who is to remove it. Errno of chown. */
int rundir_give(const struct rundir *dir, uid_t uid, gid_t gid) MUST_CHECK;

/* Removes it. NULL is fine. */
void rundir_release(struct rundir *dir);

#endif
