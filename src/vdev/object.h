/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a file a shared object that can be loaded? dlopen(3) maps first and looks later: a file that
 * was cut short ends the process. Start-up, one thread.
 */
#ifndef VDEV_OBJECT_H
#define VDEV_OBJECT_H

/* NULL: so it seems; else a sentence part that says why not. Static. */
const char *object_refusal(const char *path);

#endif
