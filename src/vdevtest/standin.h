/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stand-ins for what a vdev opens of the host, on a stepped bench. /dev/net/tun always is one,
 * whose interface gives every frame back; others are asked for by path:
 *
 *     PATH=FILE        FILE is opened in its place
 *     block:PATH=FILE  the same, and it says that it is a block device
 *     char:PATH        a character device: it reads as what the test feeds it and takes all that is
 *                      written; a request (ioctl) that asks something is answered by the seed's
 *                      numbers
 *
 * One state a process, on the bench's thread.
 */
#ifndef VDEVTEST_STANDIN_H
#define VDEVTEST_STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "base/util.h"

enum { STANDIN_MAX = 16 };

/* Is the text as above? */
bool standin_is_proper(const char *text);
/* For this bench, before its vdevs have opened anything. -EINVAL: not as above; -ENOSPC: too many.
 * text must outlive the bench. */
int standin_add(const char *text) MUST_CHECK;
/* The bench has ended: nothing stands in for anything. */
void standin_end(void);

/* What the wrappers ask. False (NULL, 0): no stand-in, the call is the host's. */
bool standin_open(const char *path, int flags, int *ret_fd); /* -1 and errno, or a file */
const char *standin_file(const char *path);		     /* for a file's */
bool standin_is(const char *path);
bool standin_stat(const char *path, struct stat *ret, int *ret_rc);
void standin_fstat(int fd, struct stat *st); /* makes it what it stands for */
bool standin_ioctl(int fd, unsigned long request, void *arg);
int standin_gone(int fd); /* the errno with which reads and writes fail */
void standin_duplicated(int fd, int duplicate);
void standin_closed(int fd);

/* The tap gives back what it got, a device forgets it. True: something came back. */
bool standin_run(void);

/* The host's side of device number n, in the order in which they were opened: len bytes (a tap: a
 * frame) for the vdev; the device goes away. -ENODEV: there is none; -EAGAIN: the vdev has not read
 * what it got before. */
int standin_feed(unsigned n, const void *data, size_t len) MUST_CHECK;
int standin_remove(unsigned n) MUST_CHECK;
unsigned standin_count(void);

#endif
