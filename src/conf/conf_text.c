/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of the user on the user's terminal: what is not a printable UTF-8 character is shown as \xNN
 * (a byte) or \u{N} (a character that changes the direction or hides), and its width in columns is
 * known, so that a caret stands under what it means.
 */
#include "conf/conf_private.h"

#include <stdio.h>
#include <string.h>

struct range {
	uint32_t first, last;
};

/* Characters that take two columns (East Asian wide and emoji). */
static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },	  { 0xac00, 0xd7a3 },
	{ 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },	  { 0xffe0, 0xffe6 },
	{ 0x1f300, 0x1f64f }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};

/* Combining marks: no column of their own. */
static const struct range combining[] = {
	{ 0x0300, 0x036f }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },
	{ 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
};

/* Controls, and what changes the direction of text, hides in it or ends a line. */
static const struct range unsafe[] = {
	{ 0x80, 0x9f },	    { 0xad, 0xad },	{ 0x061c, 0x061c }, { 0x200b, 0x200f },
	{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xfeff, 0xfeff }, { 0xe0000, 0xe0fff },
};

static bool range_holds(const struct range *ranges, size_t count, uint32_t ch)
{
	if (ch < ranges[0].first)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (ch >= ranges[i].first && ch <= ranges[i].last)
			return true;
	}
	return false;
}

/* The length of the valid UTF-8 sequence at text, or 0. */
static unsigned utf8_decode(const unsigned char *text, size_t len, uint32_t *ret_ch)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned n = text[0] < 0x80   ? 1
		     : text[0] < 0xc0 ? 0
		     : text[0] < 0xe0 ? 2
		     : text[0] < 0xf0 ? 3
		     : text[0] < 0xf8 ? 4
				      : 0;
	uint32_t ch;

	if (!n || n > len)
		return 0;
	ch = n == 1 ? text[0] : text[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		ch = ch << 6 | (text[i] & 0x3fu);
	}
	if (n > 1 && (ch < least[n] || ch > 0x10ffff || (ch >= 0xd800 && ch <= 0xdfff)))
		return 0;
	*ret_ch = ch;
	return n;
}

struct conf_glyph conf_text_glyph(const char *text, size_t len)
{
	struct conf_glyph g = { .bytes = 1, .width = 1 };
	uint32_t ch = 0;
	unsigned n = utf8_decode((const unsigned char *)text, len, &ch);

	if (text[0] == '\t') {
		g.shown[0] = ' ';
	} else if (!n || ch < 0x20 || ch == 0x7f) {
		g.width = (unsigned)snprintf(g.shown, sizeof(g.shown), "\\x%02x",
					     (unsigned char)text[0]);
	} else if (range_holds(unsafe, ARRAY_LEN(unsafe), ch)) {
		g.bytes = n;
		g.width = (unsigned)snprintf(g.shown, sizeof(g.shown), "\\u{%x}", ch);
	} else {
		g.bytes = n;
		memcpy(g.shown, text, n);
		if (range_holds(combining, ARRAY_LEN(combining), ch))
			g.width = 0;
		else if (range_holds(wide, ARRAY_LEN(wide), ch))
			g.width = 2;
	}
	return g;
}

void conf_add_clean(struct strbuf *out, const char *text)
{
	conf_text_clean(out, text, strlen(text));
}

void conf_text_clean(struct strbuf *out, const char *text, size_t len)
{
	while (len) {
		struct conf_glyph g = conf_text_glyph(text, len);

		strbuf_add_text(out, g.shown);
		text += g.bytes;
		len -= g.bytes;
	}
}
