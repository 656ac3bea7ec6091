/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/load: which files the core has put into the guest's memory, and where. For boot vdevs. Ours,
 * not part of the documented API.
 */
#ifndef QVM_X_LOAD_H
#define QVM_X_LOAD_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One piece of a file: len bytes from `offset` of it on lie at guest-physical gpa, unchanged. A
 * file whose headers say so has several pieces; what of it no piece holds is not in the guest. An
 * empty file is one piece of no bytes.
 */
struct qvmx_load {
	const char *path; /* as in the configuration; lasts as long as the VM */
	unsigned line;	  /* pieces of one `load` have the same number, counted from 0 */
	uint64_t gpa, offset, len;
};

/*
 * Piece number index, counted from 0; the pieces of one file follow each other. In
 * VDEV_CTRL_GUEST_STARTING. Returns EOK, or ENOENT: there are no more.
 */
int qvmx_load_piece(const vdev_t *vdp, unsigned index, struct qvmx_load *ret_piece);

#ifdef __cplusplus
}
#endif

#endif
