/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, and the checked values of options. */
#include "conf/conf_private.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static int digit_value(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return 16;
}

int conf_number_parse(const char *text, size_t len, enum conf_radix radix, bool units,
		      uint64_t *ret_value)
{
	unsigned shift = 0;
	uint64_t base = radix == CONF_HEXADECIMAL ? 16 : 10, value = 0;
	bool prefix = false, large = false;

	if (len >= 2 && text[0] == '0' &&
	    (text[1] == 'x' || text[1] == 'X' || text[1] == 'd' || text[1] == 'D')) {
		base = text[1] == 'x' || text[1] == 'X' ? 16 : 10;
		prefix = true;
		text += 2;
		len -= 2;
	}
	if (units && len) {
		char unit = (char)tolower((unsigned char)text[len - 1]);

		shift = unit == 'k' ? 10 : unit == 'm' ? 20 : unit == 'g' ? 30 : 0;
		if (shift) {
			len--;
			/* 4096M can only be meant as decimal, also where 4096 alone is hexadecimal.
			 */
			if (!prefix)
				base = 10;
		}
	}
	if (!len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)digit_value(text[i]);

		if (digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			large = true;
	}
	if (large || value > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_value = value << shift;
	return 0;
}

int conf_bool_parse(const char *text, uint64_t *ret_value)
{
	static const char *const words[] = { "off",  "on", "no", "yes",	    "false",
					     "true", "0",  "1",	 "disable", "enable" };

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (!strcasecmp(text, words[i])) {
			*ret_value = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

int conf_choice_index(const char *choices, const char *text, size_t len)
{
	struct conf_part rest = { choices, strlen(choices) };

	for (int i = 0; rest.text; i++) {
		struct conf_part one = conf_split(&rest, '|');

		if (one.len == len && !memcmp(one.text, text, len))
			return i;
	}
	return -1;
}

static bool option_is_mac(const char *text)
{
	for (unsigned i = 0; i < 17; i++) {
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return !text[17];
}

static int option_number(const struct qvmx_option *opt, const char *text, enum conf_radix radix,
			 bool units, uint64_t *ret_value)
{
	uint64_t value;
	int r = conf_number_parse(text, strlen(text), radix, units, &value);

	if (r)
		return r;
	if (opt->max && (value < opt->min || value > opt->max))
		return -ERANGE;
	*ret_value = value;
	return 0;
}

static int option_path(const char *text)
{
	if (*text == '<' || *text == '>')
		text++;
	return *text ? 0 : -EINVAL;
}

int conf_option_value(const struct qvmx_option *opt, const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	int index, r = 0;

	switch (opt->type) {
	case QVMX_OPT_FLAG:
	case QVMX_OPT_STRING:
		break;
	case QVMX_OPT_NUMBER:
		r = option_number(opt, text, CONF_DECIMAL, false, &value);
		break;
	case QVMX_OPT_SIZE:
		r = option_number(opt, text, CONF_DECIMAL, true, &value);
		break;
	case QVMX_OPT_ADDRESS:
		r = option_number(opt, text, CONF_HEXADECIMAL, true, &value);
		break;
	case QVMX_OPT_BOOL:
		r = conf_bool_parse(text, &value);
		break;
	case QVMX_OPT_CHOICE:
		index = conf_choice_index(opt->choices, text, strlen(text));
		r = index < 0 ? -EINVAL : 0;
		value = (uint64_t)MAX(index, 0);
		break;
	case QVMX_OPT_PATH:
		r = option_path(text);
		break;
	case QVMX_OPT_MAC:
		r = option_is_mac(text) ? 0 : -EINVAL;
		break;
	case QVMX_OPT_SECONDS:
		if (!strcmp(text, "forever"))
			value = UINT64_MAX;
		else
			r = option_number(opt, text, CONF_DECIMAL, false, &value);
		break;
	}
	if (!r)
		*ret_value = value;
	return r;
}

static void describe_bounds(const struct qvmx_option *opt, bool hexadecimal, struct strbuf *out)
{
	if (!opt->max)
		return;
	if (hexadecimal)
		strbuf_printf(out, ", from 0x%llx to 0x%llx", (unsigned long long)opt->min,
			      (unsigned long long)opt->max);
	else
		strbuf_printf(out, ", from %llu to %llu", (unsigned long long)opt->min,
			      (unsigned long long)opt->max);
}

void conf_option_describe(const struct qvmx_option *opt, struct strbuf *out)
{
	switch (opt->type) {
	case QVMX_OPT_FLAG:
		strbuf_add_text(out, "no argument");
		break;
	case QVMX_OPT_STRING:
		strbuf_add_text(out, "a text");
		break;
	case QVMX_OPT_NUMBER:
		strbuf_add_text(out, "a number (decimal, or hexadecimal with 0x)");
		describe_bounds(opt, false, out);
		break;
	case QVMX_OPT_SIZE:
		strbuf_add_text(out, "a number of bytes (decimal, or hexadecimal with 0x; K, M or "
				     "G may follow)");
		describe_bounds(opt, false, out);
		break;
	case QVMX_OPT_ADDRESS:
		strbuf_add_text(
			out, "an address (hexadecimal, or decimal with 0d; K, M or G may follow)");
		describe_bounds(opt, true, out);
		break;
	case QVMX_OPT_BOOL:
		strbuf_add_text(out, "on, off, yes, no, true, false, 1, 0, enable or disable");
		break;
	case QVMX_OPT_CHOICE:
		strbuf_add_text(out, "one of ");
		strbuf_add_text(out, opt->choices);
		break;
	case QVMX_OPT_PATH:
		strbuf_add_text(out, "a file, a device or '-', after '<' for reading only or '>' "
				     "for writing only");
		break;
	case QVMX_OPT_MAC:
		strbuf_add_text(out, "a MAC address XX:XX:XX:XX:XX:XX");
		break;
	case QVMX_OPT_SECONDS:
		strbuf_add_text(out, "a number of seconds (decimal), or forever");
		describe_bounds(opt, false, out);
		break;
	}
}
