/* SPDX-License-Identifier: Apache-2.0 */
/* A device tree as source, in the notation of dtc. A tree does not say of what kind a value is, so
 * kinds are guessed as dtc guesses them: texts, numbers of 32 bits, bytes. */
#include "boot/devtree.h"

#include <ctype.h>
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

/* One text or several, each with something in it. */
static bool is_text(const char *value, int len)
{
	int since = 0;

	for (int i = 0; i < len; i++) {
		if (value[i] ? !isprint((unsigned char)value[i]) : !since)
			return false;
		since = value[i] ? since + 1 : 0;
	}
	return len > 0 && !since;
}

/* The user's tree may have anything in a name. */
static void print_name(struct strbuf *out, const char *name)
{
	for (; *name; name++)
		strbuf_add_char(out, isprint((unsigned char)*name) ? *name : '?');
}

static void print_texts(struct strbuf *out, const char *value, int len)
{
	for (const char *p = value; p < value + len; p += strlen(p) + 1) {
		strbuf_add_text(out, p == value ? "\"" : ", \"");
		for (const char *c = p; *c; c++) {
			if (*c == '"' || *c == '\\')
				strbuf_add_char(out, '\\');
			strbuf_add_char(out, *c);
		}
		strbuf_add_char(out, '"');
	}
}

static void print_value(struct strbuf *out, const char *value, int len)
{
	if (is_text(value, len)) {
		print_texts(out, value, len);
		return;
	}
	const bool cells = len % (int)sizeof(fdt32_t) == 0;

	strbuf_add_char(out, cells ? '<' : '[');
	for (int i = 0; i < len; i += cells ? (int)sizeof(fdt32_t) : 1) {
		if (i)
			strbuf_add_char(out, ' ');
		if (cells)
			strbuf_printf(out, "0x%02" PRIx32, fdt32_ld((const fdt32_t *)&value[i]));
		else
			strbuf_printf(out, "%02x", (unsigned char)value[i]);
	}
	strbuf_add_char(out, cells ? '>' : ']');
}

static void print_properties(struct strbuf *out, const void *fdt, int node, int depth)
{
	int at;

	fdt_for_each_property_offset(at, fdt, node)
	{
		const char *name;
		int len;
		const char *value = fdt_getprop_by_offset(fdt, at, &name, &len);

		if (!value)
			continue;
		strbuf_fill(out, '\t', (size_t)depth);
		print_name(out, name);
		if (len) {
			strbuf_add_text(out, " = ");
			print_value(out, value, len);
		}
		strbuf_add_text(out, ";\n");
	}
}

static void close_nodes(struct strbuf *out, int from, int to)
{
	for (int depth = from; depth >= to; depth--) {
		strbuf_fill(out, '\t', (size_t)depth);
		strbuf_add_text(out, "};\n");
	}
}

void devtree_print(const void *blob, struct strbuf *out)
{
	int depth = 0, last = -1;

	strbuf_add_text(out, "/dts-v1/;\n");
	for (int i = 0; i < fdt_num_mem_rsv(blob); i++) {
		uint64_t start, len;

		if (!fdt_get_mem_rsv(blob, i, &start, &len))
			strbuf_printf(out, "/memreserve/ 0x%" PRIx64 " 0x%" PRIx64 ";\n", start,
				      len);
	}
	for (int node = 0; node >= 0 && depth >= 0; node = fdt_next_node(blob, node, &depth)) {
		close_nodes(out, last, depth);
		strbuf_fill(out, '\t', (size_t)depth);
		print_name(out, depth ? fdt_get_name(blob, node, NULL) : "/");
		strbuf_add_text(out, " {\n");
		print_properties(out, blob, node, depth + 1);
		last = depth;
	}
	close_nodes(out, last, 0);
}
