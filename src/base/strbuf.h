/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A string that grows while it is written to. Failure sticks: after a failed allocation nothing
 * more is added and `failed` is set, so a writer of many pieces checks once, at the end.
 *
 * Start with `struct strbuf b = { 0 };`. The owner calls strbuf_free. Not for several threads at
 * once.
 */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct strbuf {
	char *data; /* NUL-terminated once something was added; use strbuf_text to read */
	size_t len;
	size_t capacity;
	bool failed;
};

void strbuf_free(struct strbuf *b);

/* Empty it, keeping the memory. */
void strbuf_reset(struct strbuf *b);

/* Never NULL. Valid until the next change. */
const char *strbuf_text(const struct strbuf *b);

void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_add_text(struct strbuf *b, const char *text);
void strbuf_add_char(struct strbuf *b, char ch);
void strbuf_fill(struct strbuf *b, char ch, size_t count);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_vprintf(struct strbuf *b, const char *fmt, va_list args) PRINTF_LIKE(2, 0);

#endif
