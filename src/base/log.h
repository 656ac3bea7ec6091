/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the running program: severities that are switched on and off one by one (a mask, not
 * a level), each sent to any of stdout, stderr and syslog.
 *
 * log_write and its relatives may be called on any thread: the line is formatted on the caller's
 * stack and leaves in one write(2) (or syslog(3)), no lock is held meanwhile. log_set_sinks and
 * log_set_name belong to the start-up, before there are other threads. A message is one line;
 * control bytes in it are replaced, so text that a guest chose can neither forge a line nor steer a
 * terminal. errno is kept.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

enum log_severity {
	LOG_SEV_FATAL = 1u << 0,
	LOG_SEV_INTERNAL = 1u << 1,
	LOG_SEV_ERROR = 1u << 2,
	LOG_SEV_WARN = 1u << 3,
	LOG_SEV_INFO = 1u << 4,
	LOG_SEV_DEBUG = 1u << 5,
	LOG_SEV_VERBOSE = 1u << 6,
};

#define LOG_NUM_SEV 7
#define LOG_SEV_DEFAULT \
	(LOG_SEV_FATAL | LOG_SEV_INTERNAL | LOG_SEV_ERROR | LOG_SEV_WARN | LOG_SEV_INFO)

enum log_dest {
	LOG_TO_STDOUT,
	LOG_TO_STDERR,
	LOG_TO_SLOG, /* syslog(3) */
	LOG_TO_NONE, /* the severities of the mask go nowhere, whatever other sinks say */
};

struct log_sink {
	unsigned mask; /* of enum log_severity */
	enum log_dest dest;
};

#define LOG_MAX_SINKS	     16	  /* more are refused */
#define LOG_MAX_LINE	     1024 /* a longer line is cut */
#define LOG_LIMIT_PER_SECOND 10u  /* of one call site of log_limited */

/* "fatal" ... "verbose", by the number of the bit; NULL behind the last. */
const char *log_severity_name(unsigned bit);

/* "stdout" "stderr" "slog" "none" by enum log_dest; NULL behind the last. */
const char *log_dest_name(unsigned dest);

/*
 * Where messages go from now on; count 0 is the default: LOG_SEV_DEFAULT to stderr. `internal` goes
 * to syslog in addition, unless a sink with LOG_TO_NONE names it. Returns 0, or -E2BIG: more than
 * LOG_MAX_SINKS.
 */
int log_set_sinks(const struct log_sink *sinks, unsigned count) MUST_CHECK;

/* The name before each message; "qvm" until this is called. Copied, cut at 64 bytes. */
void log_set_name(const char *name);

/* True if a message of this severity would go anywhere: to spare the work of making it. */
bool log_wanted(enum log_severity severity);

void log_write(enum log_severity severity, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* As log_write; sink overrides where it goes (NULL: as usual). */
void log_vwrite(const struct log_sink *sink, enum log_severity severity, const char *fmt,
		va_list args) PRINTF_LIKE(3, 0);

/* The state of one limited call site; all zero at first. */
struct log_limit {
	_Atomic uint64_t second;
	_Atomic uint32_t count;
};

/*
 * True if another message may go out in this second. *ret_suppressed is the number of those held
 * back before, to be told once, else 0.
 */
bool log_limit_pass(struct log_limit *limit, uint32_t *ret_suppressed);

void log_write_suppressed(enum log_severity severity, uint32_t count);

/* log_write, at most LOG_LIMIT_PER_SECOND times a second from this line of source. For what a guest
 * can cause. */
#define log_limited(severity, ...)                                             \
	do {                                                                   \
		static struct log_limit log_limit_here;                        \
		uint32_t log_held_back;                                        \
                                                                               \
		if (log_limit_pass(&log_limit_here, &log_held_back)) {         \
			if (log_held_back)                                     \
				log_write_suppressed(severity, log_held_back); \
			log_write(severity, __VA_ARGS__);                      \
		}                                                              \
	} while (0)

#endif
