/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of vm_load: what the common part (boot.c) and the one of the architecture (x86_64/,
 * aarch64/: tables.c and guest.c) share. Main thread, before the guest. Failures are recorded in
 * the configuration at the place of the `load`.
 */
#ifndef VM_LOADER_H
#define VM_LOADER_H

#include "boot/image.h"
#include "boot/raw.h"
#include "vdev/gasp.h"
#include "vm/vm.h"

enum { MAX_RANGES = 640 };

/* The guest's memory as it is told of it, sorted. */
struct ranges {
	struct boot_range list[MAX_RANGES];
	size_t num;
	bool full; /* something did not fit */
};

/* What was put into the guest's memory, so that nothing is put over it. */
struct placed {
	uint64_t start, end;
	const char *what;
	const struct conf_pos *pos; /* NULL: not the user's */
};

struct loader {
	struct vm *vm;
	struct ranges ranges;
	struct placed placed[VM_MAX_LOADS + BOOT_MAX_SEGMENTS + REGIONS_MAX + 1];
	size_t num_placed;
	uint64_t rsdp; /* x86-64; 0: no tables */
	const struct conf_load *initrds[BOOT_MAX_MODULES];
	unsigned num_initrds;
};

void ranges_add(struct ranges *r, uint64_t start, uint64_t end, enum boot_range_type type);
/* Take what [start, end) shares with RAM out of it. */
void ranges_carve(struct ranges *r, uint64_t start, uint64_t end, enum boot_range_type type);

struct boot_memory loader_memory(struct vm *vm, const struct ranges *r);
int loader_open(struct vm *vm, const struct conf_load *load);
int loader_failed(struct vm *vm, const struct conf_load *load, const char *why, int rc);
/* Bytes of a file that is to be loaded; 0 if it is not there (which is reported when it is opened).
 */
uint64_t loader_file_size(const struct conf_load *load);
/* Note that [start, end) is taken. -EEXIST: it was; both are named. */
int loader_place(struct loader *ld, uint64_t start, uint64_t end, const char *what,
		 const struct conf_pos *pos);
/* What is at a given address must not be lost, so look before reading the file. */
int loader_place_file(struct loader *ld, const struct conf_load *load);
/* For boot vdevs: these bytes of the load's file lie there. */
int loader_loaded(struct loader *ld, const struct conf_load *load, uint64_t gpa, uint64_t offset,
		  uint64_t len);
int loader_raw(struct loader *ld, const struct conf_load *load, int fd, struct raw_entry *ret);

/* Per architecture. What of the plan the guest is told to be its memory. */
void loader_arch_ranges(const struct vm *vm, struct ranges *ret);
/* Tables that the guest finds by itself: before any file, so that they have their place. */
int loader_arch_tables(struct loader *ld);
/* The guest's file, its initrds, what it is handed at its entry. */
int loader_arch_guest(struct loader *ld, const struct conf_load *guest,
		      struct engine_boot *ret_boot);

#endif
