/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for liburing, for tests: what the vdev hands over is done here, by the calls that the
 * test gives, at the moment that the test chooses. The test's executable exports liburing's names,
 * so that the shared object finds these; one ring at a time. Submitting and completing is on the
 * vdev's thread; the functions below may be called on the test's thread while the vdev sleeps.
 */
#ifndef VIRTIO_BLK_FAKERING_H
#define VIRTIO_BLK_FAKERING_H

#include <liburing.h>
#include <stdbool.h>

/*
 * Does one request and returns what io_uring would: a count or a negative errno. n counts the
 * requests since fakering_use, from 0. Called on the vdev's thread when it submits.
 */
typedef int fakering_do_fn(void *opaque, unsigned n, const struct io_uring_sqe *sqe);
void fakering_use(fakering_do_fn *fn, void *opaque);
/* From now on requests wait and are done in any order, by this seed; 0: at once, in theirs. */
void fakering_shuffle(unsigned seed);
unsigned fakering_count(void);

/* As the kernel would do it. */
int fakering_really(const struct io_uring_sqe *sqe);
/* As much of a read or write as `most` bytes. */
int fakering_part(const struct io_uring_sqe *sqe, size_t most);
/* The bytes of a read or write, 0 of anything else. */
size_t fakering_length(const struct io_uring_sqe *sqe);
/* The n-th piece of a read or write. False: there is none. */
bool fakering_piece(const struct io_uring_sqe *sqe, unsigned n, struct iovec *ret_piece);

#endif
