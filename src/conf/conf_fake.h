/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests only: a handful of vdev types with options of every kind, and a small environment, so
 * that conf is tested without any vdev. Static; used by the unit tests, the golden tests and the
 * fuzz target on their one thread.
 */
#ifndef CONF_CONF_FAKE_H
#define CONF_CONF_FAKE_H

#include "conf/conf.h"

extern const struct conf_env conf_fake_env;

#endif
