/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host end of a disk: a regular file or a block device, worked by io_uring. It knows nothing of
 * VirtIO: it moves bytes between iovecs and the file, and calls back when that is done.
 *
 * backend_check, backend_create, backend_drain and backend_destroy belong to the thread that sets
 * up and ends the device. backend_open may be called on any thread, by one caller at a time, before
 * the first request. The rest is the request thread's, and so is `done`; `warn` is called wherever
 * there is something to say. A struct backend_io and the iovecs that it names are the caller's and
 * stay untouched by him from backend_start until `done`.
 */
#ifndef VIRTIO_BLK_BACKEND_H
#define VIRTIO_BLK_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct backend;

enum backend_op {
	BACKEND_READ,
	BACKEND_WRITE,
	BACKEND_WRITE_STABLE,
	BACKEND_FLUSH,
	BACKEND_ZERO,	     /* the range reads 0 afterwards, and keeps its place on the host */
	BACKEND_ZERO_STABLE, /* and that is on stable storage */
	BACKEND_DISCARD,     /* advice: the content of the range is not needed */
};

struct backend_io {
	/* Set by the caller. */
	enum backend_op op;
	uint64_t offset;   /* bytes from the start of the disk */
	struct iovec *iov; /* changed while the request runs; of reads and writes only */
	unsigned num_iov;
	uint64_t range; /* bytes; of BACKEND_ZERO and BACKEND_DISCARD */
	bool unmap;	/* BACKEND_ZERO: the host may free the range's place */
	/* The backend's. */
	size_t left, done; /* bytes */
	size_t bounced;	   /* bytes that are under way by way of bounce */
	void *bounce;
	bool direct; /* what is under way goes by the O_DIRECT file */
	enum { ZERO_FAST, ZERO_WRITE, ZERO_SYNC } zero; /* how a BACKEND_ZERO is done now */
	struct backend_io *next;
};

struct backend_config {
	const char *path; /* without '<'; lives as long as the backend */
	bool read_only, direct;
	unsigned threads; /* most worker threads of io_uring at a time, 0: its own choice */
	/*
	 * io is over. res: bytes moved, or a negative errno; then io->done bytes from the start of
	 * the iovecs were moved. Called inside backend_run and backend_drain only.
	 */
	void (*done)(void *owner, struct backend_io *io, ptrdiff_t res);
	/* Something that the user should know; a sentence. */
	void (*warn)(void *owner, const char *text);
	void *owner;
};

/* What the file is, in bytes; valid after backend_open. */
struct backend_geometry {
	uint64_t capacity; /* a multiple of 512 */
	uint64_t ignored;  /* bytes behind it that make no sector (read-only files) */
	uint32_t logical_block, physical_block;
	uint32_t alignment_offset, min_io, opt_io; /* 0: not known */
};

/* Long enough for a sentence with a path. */
enum { BACKEND_WHY_SIZE = 512 };

/*
 * Without opening it: is there something at config->path that could be opened? Returns 0, or a
 * negative errno and a sentence part in why.
 */
int backend_check(const struct backend_config *config, char why[BACKEND_WHY_SIZE]);

/* Set up io_uring. As backend_check; -ENOSYS, -EPERM: the host has none, or does not allow it. */
int backend_create(const struct backend_config *config, struct backend **ret_backend,
		   char why[BACKEND_WHY_SIZE]);

/* After backend_drain. NULL is ignored. */
void backend_destroy(struct backend *b);

/*
 * Open and lock the file. As backend_check; -EBUSY: somebody else has it. After a failure it may be
 * tried again.
 */
int backend_open(struct backend *b, struct backend_geometry *ret_geometry,
		 char why[BACKEND_WHY_SIZE]);

/* Readable when backend_run has something to do. */
int backend_fd(const struct backend *b);

/* Prepare a request; nothing happens before backend_run. */
void backend_start(struct backend *b, struct backend_io *io);

/*
 * Hand over what was prepared, in one system call as a rule, and collect what is finished. True:
 * there is more to do that will not make backend_fd readable; call it again soon.
 */
bool backend_run(struct backend *b);

/*
 * Wait, up to timeout_ms, for what is under way; `done` is called as ever, with -ECANCELED for what
 * was not begun. When the request thread has ended, on the thread that ends the device. False:
 * something is still under way.
 */
bool backend_drain(struct backend *b, int timeout_ms);

#endif
