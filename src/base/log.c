/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static const char *const severity_names[LOG_NUM_SEV + 1] = {
	"fatal", "internal", "error", "warn", "info", "debug", "verbose", NULL,
};

static const char *const dest_names[] = { "stdout", "stderr", "slog", "none", NULL };

/* By bit of a severity: a mask of 1 << enum log_dest. */
static unsigned char routes[LOG_NUM_SEV] = {
	1u << LOG_TO_STDERR, 1u << LOG_TO_STDERR | 1u << LOG_TO_SLOG,
	1u << LOG_TO_STDERR, 1u << LOG_TO_STDERR,
	1u << LOG_TO_STDERR,
};

static char program_name[65] = "qvm";

const char *log_severity_name(unsigned bit)
{
	return bit < LOG_NUM_SEV ? severity_names[bit] : NULL;
}

const char *log_dest_name(unsigned dest)
{
	return dest < ARRAY_LEN(dest_names) ? dest_names[dest] : NULL;
}

int log_set_sinks(const struct log_sink *sinks, unsigned count)
{
	static const struct log_sink by_default = { LOG_SEV_DEFAULT, LOG_TO_STDERR };

	if (count > LOG_MAX_SINKS)
		return -E2BIG;
	if (!count) {
		sinks = &by_default;
		count = 1;
	}
	for (unsigned bit = 0; bit < LOG_NUM_SEV; bit++) {
		unsigned to = 1u << bit == LOG_SEV_INTERNAL ? 1u << LOG_TO_SLOG : 0;

		for (unsigned i = 0; i < count; i++) {
			if (sinks[i].mask & 1u << bit)
				to |= 1u << sinks[i].dest;
		}
		routes[bit] = to & 1u << LOG_TO_NONE ? 0 : (unsigned char)to;
	}
	return 0;
}

void log_set_name(const char *name)
{
	snprintf(program_name, sizeof(program_name), "%s", name);
}

static unsigned log_bit(enum log_severity severity)
{
	return (unsigned)__builtin_ctz(severity | 1u << (LOG_NUM_SEV - 1));
}

bool log_wanted(enum log_severity severity)
{
	return routes[log_bit(severity)] != 0;
}

static int log_syslog_priority(enum log_severity severity)
{
	switch (severity) {
	case LOG_SEV_FATAL:
	case LOG_SEV_INTERNAL:
		return LOG_CRIT;
	case LOG_SEV_ERROR:
		return LOG_ERR;
	case LOG_SEV_WARN:
		return LOG_WARNING;
	case LOG_SEV_INFO:
		return LOG_INFO;
	case LOG_SEV_DEBUG:
	case LOG_SEV_VERBOSE:
		return LOG_DEBUG;
	}
	return LOG_INFO;
}

static void log_write_fd(int fd, const char *line, size_t len)
{
	while (len) {
		ssize_t n = write(fd, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* there is no other place to complain at */
		line += n;
		len -= (size_t)n;
	}
}

void log_vwrite(const struct log_sink *sink, enum log_severity severity, const char *fmt,
		va_list args)
{
	unsigned bit = log_bit(severity);
	unsigned to = routes[bit];
	int saved_errno = errno;
	char line[LOG_MAX_LINE];
	size_t start, len;
	int n;

	if (sink)
		to = sink->mask & severity && sink->dest != LOG_TO_NONE ? 1u << sink->dest : 0;
	if (!to)
		return;
	n = snprintf(line, sizeof(line), "%s: %s: ", program_name, severity_names[bit]);
	start = len = MIN((size_t)MAX(n, 0), sizeof(line) - 1);
	errno = saved_errno; /* for %m */
	n = vsnprintf(line + len, sizeof(line) - len, fmt, args);
	if ((size_t)MAX(n, 0) >= sizeof(line) - len) {
		len = sizeof(line) - 1;
		memcpy(line + len - 3, "...", 3);
	} else {
		len += (size_t)MAX(n, 0);
	}
	while (len > start && line[len - 1] == '\n')
		len--;
	line[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)line[i];

		if (ch < 0x20 || ch == 0x7f)
			line[i] = ch == '\n' || ch == '\t' ? ' ' : '?';
		else if (ch == 0xc2 && (unsigned char)line[i + 1] >= 0x80 &&
			 (unsigned char)line[i + 1] < 0xa0)
			line[i] = line[i + 1] = '?'; /* a C1 control in UTF-8 */
	}
	if (to & 1u << LOG_TO_SLOG)
		syslog(log_syslog_priority(severity), "%s", line);
	line[len++] = '\n';
	if (to & 1u << LOG_TO_STDOUT)
		log_write_fd(STDOUT_FILENO, line, len);
	if (to & 1u << LOG_TO_STDERR)
		log_write_fd(STDERR_FILENO, line, len);
	errno = saved_errno;
}

void log_write(enum log_severity severity, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vwrite(NULL, severity, fmt, args);
	va_end(args);
}

bool log_limit_pass(struct log_limit *limit, uint32_t *ret_suppressed)
{
	struct timespec ts;
	uint64_t now, seen;

	*ret_suppressed = 0;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (uint64_t)ts.tv_sec + 1; /* never the 0 of a fresh limit */
	seen = atomic_load_explicit(&limit->second, memory_order_relaxed);
	/* Of the threads that see a new second one wins the exchange, starts the count anew and
	 * tells the old one. */
	if (seen != now && atomic_compare_exchange_strong(&limit->second, &seen, now)) {
		uint32_t before = atomic_exchange(&limit->count, 0);

		if (before > LOG_LIMIT_PER_SECOND)
			*ret_suppressed = before - LOG_LIMIT_PER_SECOND;
	}
	return atomic_fetch_add(&limit->count, 1) < LOG_LIMIT_PER_SECOND;
}

void log_write_suppressed(enum log_severity severity, uint32_t count)
{
	log_write(severity, "%u messages suppressed", count);
}
