/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `--format=json` prints: one document with the messages of the configuration and, for
 * `dryrun`, the machine. docs/schema describes it. Main thread, before the guest or after it.
 */
#ifndef VM_JSON_H
#define VM_JSON_H

#include <stdio.h>
#include "conf/conf.h"
#include "vm/vm.h"

enum { VM_JSON_FORMAT = 1 }; /* of the document; a reader of an older one may not understand it */

/* One line. vm NULL: messages only. -ENOMEM; -EIO: the stream does not take it. */
int vm_json_print(FILE *to, const struct conf *conf, struct vm *vm) MUST_CHECK;

#endif
