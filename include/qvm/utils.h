/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers for the arguments of a vdev's own options, in the notation of the configuration language.
 * All take a text and return a pointer to the first character that they did not take, or NULL if
 * the text does not begin with what they look for; results are untouched then. Any stage, any
 * thread. qvm_parse_intr follows the documented QNX Hypervisor 8.0 vdev API; the others are ours.
 */
#ifndef QVM_UTILS_H
#define QVM_UTILS_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An interrupt "PIC:LINE": a controller that stands in the configuration before the vdev whose
 * option this is, and a line that it has. ip->src_id is 0 until guest_intr_assign.
 */
#if QVM_VDEV_API < 80
char *qvm_parse_intr(const struct guest_system *gsp, const char *str, struct guest_intr *ip)
	QVM_API_71(qvm_parse_intr);
#else
char *qvm_parse_intr(const char *str, guest_intr_t *ip);
#endif

/* A number: decimal, or hexadecimal behind 0x. */
char *qvm_parse_num(const char *str, uint64_t *ret_value);

/* A length in bytes: as qvm_parse_num, with an optional K, M or G (powers of 1024). */
char *qvm_parse_size(const char *str, uint64_t *ret_bytes);

/* An address: hexadecimal, decimal behind 0d or with a K, M or G. */
char *qvm_parse_addr(const char *str, uint64_t *ret_addr);

/* A place: "mem:ADDRESS", "io:PORT", "pci:BUS:DEV[.FUNC]", or an address alone, which is of
 * blk's type. Sets blk's location and type. */
char *qvm_parse_loc(const char *str, struct qvm_state_block *blk);

#ifdef __cplusplus
}
#endif

#endif
