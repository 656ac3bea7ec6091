/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host end of a serial-like vdev: where its characters come from and go to (`hostdev
 * [<|>]DEV`). DEV is a character device, terminal, named pipe or file; "-" is qvm's own standard
 * input and output. Reads and writes never block. A terminal is put into raw mode while the VM
 * runs. On qvm's own terminal, when qvm is in its foreground, Ctrl-] is an escape: Ctrl-] q ends
 * the VM, Ctrl-] twice sends one Ctrl-] to the guest.
 *
 * A vdev holds one `struct hostend` in its state. Everything runs in the start-up stage, on the
 * vdev's loop thread or in VDEV_CTRL_TERMINATE. hostend_end frees what hostend_option and
 * hostend_start took.
 */
#ifndef HOSTEND_H
#define HOSTEND_H

#include <stdbool.h>
#include <sys/uio.h>
#include <termios.h>
#include <qvm/x/loop.h>

struct hostend_side {
	char *path; /* NULL: this direction goes nowhere */
	int fd;	    /* -1: not open */
	struct qvmx_watch *watch;
	bool restore_mode;  /* `saved` is to be put back */
	bool restore_block; /* O_NONBLOCK was set on a descriptor that others share */
	bool failing;	    /* the last transfer failed, which was logged */
	struct termios saved;
};

struct hostend {
	vdev_t *vdp;
	struct hostend_side in, out;
	bool delayed, opened;
	bool escapes;  /* input is qvm's own terminal */
	bool escaped;  /* Ctrl-] was the last character */
	bool in_ended; /* end of input was seen */
	bool in_wanted;
	bool ending;		   /* the loop thread is gone */
	qvmx_watch_func_t *input;  /* input may be read with hostend_read */
	qvmx_watch_func_t *output; /* output may be written again after -EAGAIN */
};

/* In VDEV_CTRL_OPTIONS_START. The callbacks run on the loop thread. */
void hostend_init(struct hostend *he, vdev_t *vdp, qvmx_watch_func_t *input,
		  qvmx_watch_func_t *output);

/* The argument of one `hostdev` option. Returns EOK, or EINVAL after it was reported. */
int hostend_option(struct hostend *he, const char *text);

/* In VDEV_CTRL_OPTIONS_END: without any `hostdev`, use qvm's own terminal. Returns EOK or ENOMEM.
 */
int hostend_default(struct hostend *he);

/* In VDEV_CTRL_GUEST_CONFIGURED: open, unless `delayed`. Returns EOK, or an errno after the reason
 * was reported. */
int hostend_start(struct hostend *he);

/* Open now if that was delayed. On the loop thread. A failure is logged; the next call tries again.
 */
void hostend_use(struct hostend *he);

/* From now on (not any more) call `input` whenever there is something to read. */
void hostend_want_input(struct hostend *he, bool wanted);

/* Is output qvm's own terminal? From VDEV_CTRL_OPTIONS_END on. */
bool hostend_is_own_terminal(const struct hostend *he);

/* The size of the terminal that output goes to; false if it is none or has none. */
bool hostend_size(const struct hostend *he, uint16_t *ret_cols, uint16_t *ret_rows);

/* Read up to len bytes. Returns 0 if there are none now. */
size_t hostend_read(struct hostend *he, void *buf, size_t len);

/*
 * Write. Returns the number of bytes taken: all of them if the host end cannot take any at all (no
 * output is configured, or it fails: logged), -EAGAIN if it can take none just now: then `output`
 * is called when it can.
 */
ssize_t hostend_writev(struct hostend *he, const struct iovec *iov, unsigned n);

/*
 * In VDEV_CTRL_TERMINATE, before each hostend_writev: wait until it can take something, at most
 * timeout_ms. False: it cannot.
 */
bool hostend_poll_output(struct hostend *he, int timeout_ms);

/* In VDEV_CTRL_TERMINATE: restore the terminal, close, free. */
void hostend_end(struct hostend *he);

#endif
