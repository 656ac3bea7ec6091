/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool user_number(const char *text, unsigned *ret)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	/* All ones means "no change" to the kernel. */
	if (text[0] < '0' || text[0] > '9' || *end || value >= UINT32_MAX)
		return false;
	*ret = (unsigned)value;
	return true;
}

int user_find(struct conf *conf, struct user *ret_user)
{
	struct user user = { .given = true };
	const struct passwd *pw;
	const struct group *gr;
	bool unknown;

	if (!conf->user.text)
		return 0;
	pw = getpwnam(conf->user.text);
	unknown = !pw && !user_number(conf->user.text, &user.uid);
	if (!pw && !unknown)
		pw = getpwuid(user.uid);
	if (unknown)
		conf_error(conf, &conf->user.pos, "no user is called '%s'", conf->user.text);
	if (pw) {
		user.uid = pw->pw_uid;
		user.gid = pw->pw_gid;
		user.name = strdup(pw->pw_name);
		if (!user.name)
			return -ENOMEM;
	}
	if (conf->group.text) {
		gr = getgrnam(conf->group.text);
		if (gr)
			user.gid = gr->gr_gid;
		else if (!user_number(conf->group.text, &user.gid))
			conf_error(conf, &conf->group.pos, "no group is called '%s'",
				   conf->group.text);
	} else if (!pw && !unknown) {
		conf_error(conf, &conf->user.pos, "user %s has no name, so it has no group",
			   conf->user.text);
		conf_expected(conf, "%s:GROUP", conf->user.text);
	}
	*ret_user = user;
	return 0;
}

void user_free(struct user *user)
{
	free(user->name);
	*user = (struct user){ 0 };
}

int user_become(const struct user *user)
{
	if (!user->given)
		return 0;
	/* Only root can change its groups; who already is that user has nothing to change. */
	if (geteuid() == user->uid && getuid() == user->uid && getegid() == user->gid && user->uid)
		return 0;
	if (user->name ? initgroups(user->name, user->gid) : setgroups(1, &user->gid))
		return -errno;
	if (setresgid(user->gid, user->gid, user->gid) ||
	    setresuid(user->uid, user->uid, user->uid))
		return -errno;
	return 0;
}
