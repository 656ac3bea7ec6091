/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has what of the host: one ledger on a host, whatever QVM_RUN_DIR says. Each owner has a file
 * in it, locked as long as the owner's process lives; a file without a lock is a dead owner's and
 * is removed by whoever meets it.
 */
#ifndef PASS_LEDGER_H
#define PASS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

#define LEDGER_FOLDER "/run/qvm-ledger"

enum ledger_space {
	LEDGER_MEM,  /* host-physical addresses */
	LEDGER_IO,   /* ports */
	LEDGER_PCI,  /* domain << 16 | bus << 8 | devfn */
	LEDGER_INTR, /* interrupts, by their numbers in the host */
	LEDGER_NUM_SPACES
};

enum { LEDGER_OWNER_LEN = 256 };

struct ledger_item {
	enum ledger_space space;
	uint64_t start, len;
	bool shared;		      /* others may have it too that say so */
	char owner[LEDGER_OWNER_LEN]; /* for people: "VM 'rail' (rail.qvmconf:12)" */
};

struct ledger;

/*
 * Take all items or none. -EBUSY: *ret_item overlaps *ret_other, which another process has. -errno
 * of the file system.
 */
int ledger_take(const struct ledger_item *items, unsigned num, struct ledger **ret_ledger,
		unsigned *ret_item, struct ledger_item *ret_other) MUST_CHECK;
void ledger_release(struct ledger *ledger);

/* The first item of a living owner that overlaps; false: there is none. */
bool ledger_find(const struct ledger_item *wanted, struct ledger_item *ret_other);

/* "0000:00:03.0" as LEDGER_PCI has it. False: it is no such place. */
bool ledger_pci(const char *bdf, uint64_t *ret_start);

#endif
