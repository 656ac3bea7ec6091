/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's core dump: an ELF64 core file with notes of the vCPUs' registers and the guest's
 * memory, addresses guest-physical. Into a folder, or to a command's standard input.
 *
 * On one thread, while every vCPU is held. Memory that is all zero takes no place in a file.
 */
#ifndef VM_DUMP_H
#define VM_DUMP_H

#include <time.h>
#include "base/strbuf.h"
#include "base/util.h"
#include "engine/memory.h"

enum {
	DUMP_MAX_CLASH = 9, /* numbers that are tried if there is a file of that second */
	DUMP_STALL_S = 30   /* a command that takes nothing for so long is given up */
};

struct dump_job {
	const char *where;  /* a directory, or "|COMMAND" for the shell */
	const char *prefix; /* of the file's name */
	time_t now;
	const struct memory *mem;
	const struct strbuf *notes;  /* of all vCPUs */
	bool (*must_end)(void *ctx); /* asked now and then: true gives up */
	void *ctx;
};

/*
 * Write PREFIX-YYYYMMDD-hhmmss.gcore (local time), or feed the command and wait for it. *ret_path:
 * the file's path for people, also after a failure; the caller frees. What is incomplete is
 * removed. -EEXIST: all names are taken; -ECANCELED: must_end said so; -ETIMEDOUT: the command took
 * nothing; -EPIPE: the command ended with another status than 0; others of open(2) and write(2).
 */
int dump_write(const struct dump_job *job, char **ret_path) MUST_CHECK;

/* Append the vdevs' report as a note of an ELF file: "BULKHEAD", type 2 (1 is a vCPU's). */
void dump_report_note(struct strbuf *notes, const struct strbuf *report);

#endif
