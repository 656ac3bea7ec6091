/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `user USER[:GROUP]`: who a VM runs as once it is set up.
 *
 * user_find runs while the VM is planned, user_become on the main thread when everything has been
 * opened; both before the guest's first instruction.
 */
#ifndef VM_USER_H
#define VM_USER_H

#include <stdbool.h>
#include <sys/types.h>
#include "conf/conf.h"

struct user {
	bool given;
	uid_t uid;
	gid_t gid;
	char *name; /* for its other groups; NULL: a number that no name belongs to */
};

/* Whom the configuration names. An unknown name is recorded. -ENOMEM. */
int user_find(struct conf *conf, struct user *ret_user) MUST_CHECK;
void user_free(struct user *user);

/* All threads become that user, for good. -EPERM: only root may become another; others of
 * setuid(2).
 */
int user_become(const struct user *user) MUST_CHECK;

#endif
