/* SPDX-License-Identifier: Apache-2.0 */
/* Reading single arguments: numbers, places, interrupts, names. Each records what is wrong with it.
 */
#include "conf/conf_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define PORT_MAX 0xffffu
#define PRIO_MAX 255u

static const char expect_address[] =
	"an address (hexadecimal, or decimal with 0d; K, M or G may follow)";
static const char expect_length[] =
	"a length in bytes (decimal, or hexadecimal with 0x; K, M or G may follow)";

struct conf_part conf_split(struct conf_part *rest, char separator)
{
	struct conf_part part = *rest;
	const char *at = memchr(rest->text, separator, rest->len);

	if (at) {
		part.len = (size_t)(at - rest->text);
		rest->text = at + 1;
		rest->len -= part.len + 1;
	} else {
		*rest = (struct conf_part){ 0 };
	}
	return part;
}

bool conf_part_is(struct conf_part part, const char *text)
{
	return part.len == strlen(text) && !memcmp(part.text, text, part.len);
}

/* The place of a part of a word's text: of all of the word where substitutions or quotes hide it.
 */
struct conf_pos conf_word_part(const struct conf_word *w, const char *start, size_t len)
{
	struct conf_pos pos = w->pos;

	if (!w->plain || !len)
		return pos;
	pos.col += (uint32_t)(start - w->text);
	pos.length = (uint32_t)len;
	return pos;
}

static void args_fail(struct conf *c, const struct conf_word *w, struct conf_part part,
		      const char *what)
{
	struct conf_pos pos = conf_word_part(w, part.text, part.len);

	if (part.len)
		conf_error(c, &pos, "'%.*s' is not %s", (int)MIN(part.len, 200), part.text, what);
	else
		conf_error(c, &pos, "%s is missing in '%s'", what, w->text);
}

/* True if w may be an argument: else the line was left, and a word that opens something new stands
 * there. */
static bool args_looks_like_option(struct conf *c, const struct conf_word *option,
				   const struct conf_word *w)
{
	struct conf_near near;

	if (w->quoted || w->pos.line == option->pos.line || w->pos.source != option->pos.source)
		return false;
	if (!c->priv->sources[w->pos.source - 1].text)
		return false;
	if (conf_keyword_find(w->text))
		return true;
	conf_near_start(&near, w->text);
	near.best_distance = 1; /* only the very word */
	conf_context_offer_all(c, &near);
	return near.best && !strcmp(near.best, w->text);
}

const struct conf_word *conf_take_argument(struct conf *c, const struct conf_word *option,
					   const char *expected)
{
	struct conf_priv *p = c->priv;
	const struct conf_word *w = p->next < p->num_words ? &p->words[p->next] : NULL;

	if (!w || w->pos.source != option->pos.source) {
		conf_error(c, &option->pos, "'%s' needs an argument", option->text);
		if (w)
			conf_expected(c, "%s, directly after the word and in the same file",
				      expected);
		else
			conf_expected(c, "%s", expected);
		return NULL;
	}
	if (args_looks_like_option(c, option, w)) {
		conf_error(c, &option->pos, "'%s' needs an argument", option->text);
		conf_expected(c, "%s; if '%s' on line %u is meant, put it in quotes", expected,
			      w->text, w->pos.line);
		return NULL;
	}
	p->next++;
	return w;
}

static bool args_number(struct conf *c, const struct conf_word *w, struct conf_part part,
			enum conf_radix radix, bool units, const char *what, const char *expected,
			uint64_t *ret)
{
	int r;

	if (w->bad)
		return false;
	r = conf_number_parse(part.text, part.len, radix, units, ret);
	if (r == -ERANGE) {
		struct conf_pos pos = conf_word_part(w, part.text, part.len);

		conf_error(c, &pos, "'%.*s' is too large: it does not fit into 64 bits",
			   (int)MIN(part.len, 200), part.text);
	} else if (r) {
		args_fail(c, w, part, what);
		conf_expected(c, "%s", expected);
	}
	return !r;
}

bool conf_read_address(struct conf *c, const struct conf_word *w, struct conf_part part,
		       uint64_t *ret)
{
	return args_number(c, w, part, CONF_HEXADECIMAL, true, "an address", expect_address, ret);
}

bool conf_read_length(struct conf *c, const struct conf_word *w, struct conf_part part,
		      uint64_t *ret)
{
	return args_number(c, w, part, CONF_DECIMAL, true, "a length", expect_length, ret);
}

static bool args_in_range(struct conf *c, const struct conf_word *w, struct conf_part part,
			  uint64_t value, uint64_t min, uint64_t max)
{
	struct conf_pos pos = conf_word_part(w, part.text, part.len);

	if (value >= min && value <= max)
		return true;
	conf_error(c, &pos, "'%.*s' is out of range", (int)MIN(part.len, 200), part.text);
	return false;
}

bool conf_read_number(struct conf *c, const struct conf_word *w, struct conf_part part,
		      uint64_t min, uint64_t max, uint64_t *ret)
{
	char expected[96];

	snprintf(expected, sizeof(expected), "a number from %llu to %llu", (unsigned long long)min,
		 (unsigned long long)max);
	if (!args_number(c, w, part, CONF_DECIMAL, false, "a number", expected, ret))
		return false;
	if (args_in_range(c, w, part, *ret, min, max))
		return true;
	conf_expected(c, "%s", expected);
	return false;
}

/* pci:VID/DID[/INDEX]; what is behind "pci:". Identifiers are hexadecimal, as everybody writes
 * them. */
static bool args_pci_id(struct conf *c, const struct conf_word *w, struct conf_part rest,
			struct conf_loc *loc)
{
	uint64_t ids[2], index;

	loc->space = CONF_SPACE_PCI_ID;
	for (unsigned i = 0; i < 2; i++) {
		struct conf_part part =
			rest.text ? conf_split(&rest, '/') : (struct conf_part){ 0 };

		if (!args_number(c, w, part, CONF_HEXADECIMAL, false, "a PCI vendor or device id",
				 "pci:VID/DID[/INDEX]", &ids[i]))
			return false;
		if (!args_in_range(c, w, part, ids[i], 0, 0xffff)) {
			conf_expected(c, "a number up to 0xffff");
			return false;
		}
	}
	loc->vendor = (uint16_t)ids[0];
	loc->device = (uint16_t)ids[1];
	loc->has_index = rest.text != NULL;
	if (!loc->has_index)
		return true;
	if (!conf_read_number(c, w, rest, 0, 0xffff, &index))
		return false;
	loc->index = (uint32_t)index;
	return true;
}

/* pci:BUS:DEV[.FUNC] */
static bool args_pci_place(struct conf *c, const struct conf_word *w, struct conf_part rest,
			   struct conf_loc *loc)
{
	struct conf_part bus = conf_split(&rest, ':');
	uint64_t b, d, f = 0;
	struct conf_part dev;

	loc->space = CONF_SPACE_PCI;
	if (!rest.text) {
		args_fail(c, w, bus, "a place on the PCI bus");
		conf_expected(c, "pci:BUS:DEV[.FUNC] or pci:VID/DID[/INDEX]");
		return false;
	}
	dev = conf_split(&rest, '.');
	loc->has_func = rest.text != NULL;
	if (!conf_read_number(c, w, bus, 0, 255, &b) || !conf_read_number(c, w, dev, 0, 31, &d))
		return false;
	if (loc->has_func && !conf_read_number(c, w, rest, 0, 7, &f))
		return false;
	loc->bus = (uint8_t)b;
	loc->dev = (uint8_t)d;
	loc->func = (uint8_t)f;
	return true;
}

static bool args_pci(struct conf *c, const struct conf_word *w, struct conf_part rest,
		     struct conf_loc *loc)
{
	if (memchr(rest.text, '/', rest.len))
		return args_pci_id(c, w, rest, loc);
	return args_pci_place(c, w, rest, loc);
}

static bool args_address_loc(struct conf *c, const struct conf_word *w, struct conf_part rest,
			     struct conf_loc *loc)
{
	struct conf_part addr = conf_split(&rest, ',');
	uint64_t last;

	if (!conf_read_address(c, w, addr, &loc->addr))
		return false;
	loc->has_len = rest.text != NULL;
	if (loc->has_len) {
		if (!conf_read_length(c, w, rest, &loc->len))
			return false;
		if (!loc->len) {
			args_fail(c, w, rest, "a length: nothing would be left");
			return false;
		}
	}
	if (__builtin_add_overflow(loc->addr, loc->has_len ? loc->len - 1 : 0, &last) ||
	    (loc->space == CONF_SPACE_IO && last > PORT_MAX)) {
		conf_error(c, &w->pos, "'%s' reaches behind the last %s", w->text,
			   loc->space == CONF_SPACE_IO ? "port, 0xffff" : "address");
		return false;
	}
	return true;
}

bool conf_read_loc_part(struct conf *c, const struct conf_word *w, struct conf_part part,
			enum conf_space by_default, struct conf_loc *ret)
{
	struct conf_part rest = part, space = rest;
	struct conf_loc loc = { .space = by_default,
				.pos = conf_word_part(w, part.text, part.len) };

	if (w->bad)
		return false;
	if (memchr(rest.text, ':', rest.len)) {
		space = conf_split(&rest, ':');
		if (conf_part_is(space, "mem")) {
			loc.space = CONF_SPACE_MEM;
		} else if (conf_part_is(space, "io")) {
			loc.space = CONF_SPACE_IO;
		} else if (conf_part_is(space, "pci")) {
			loc.space = CONF_SPACE_PCI;
		} else if (by_default == CONF_SPACE_PCI && isdigit((unsigned char)part.text[0])) {
			loc.space = CONF_SPACE_PCI;
			rest = part;
		} else {
			args_fail(c, w, space, "a kind of place");
			conf_expected(
				c,
				"mem:ADDRESS, io:PORT, pci:BUS:DEV[.FUNC] or pci:VID/DID[/INDEX]");
			return false;
		}
		if (!(loc.space == CONF_SPACE_PCI ? args_pci(c, w, rest, &loc)
						  : args_address_loc(c, w, rest, &loc)))
			return false;
	} else {
		/* A VirtIO vdev's `loc 0x1c0d0000`: its default place is on PCI, but an address is
		 * one in memory. */
		if (by_default == CONF_SPACE_PCI || by_default == CONF_SPACE_PCI_ID)
			loc.space = CONF_SPACE_MEM;
		if (!args_address_loc(c, w, rest, &loc))
			return false;
	}
	*ret = loc;
	return true;
}

bool conf_read_loc(struct conf *c, const struct conf_word *w, enum conf_space by_default,
		   struct conf_loc *ret)
{
	return conf_read_loc_part(c, w, (struct conf_part){ w->text, strlen(w->text) }, by_default,
				  ret);
}

bool conf_read_intr(struct conf *c, const struct conf_word *w, struct conf_part part,
		    struct conf_intr *ret)
{
	struct conf_part rest = part, pic;
	uint64_t line = 0;

	if (w->bad)
		return false;
	pic = conf_split(&rest, ':');
	*ret = (struct conf_intr){ .pic_vdev = -1, .pos = conf_word_part(w, part.text, part.len) };
	ret->has_line = rest.text != NULL;
	if (!pic.len || (!ret->has_line && !conf_part_is(pic, "apic"))) {
		args_fail(c, w, part, "a guest interrupt");
		conf_expected(c, "PIC:LINE with the name of an interrupt controller, such as "
				 "ioapic:4, or apic");
		return false;
	}
	if (ret->has_line && !conf_read_number(c, w, rest, 0, UINT32_MAX, &line))
		return false;
	ret->line = (uint32_t)line;
	ret->text = conf_strndup(c, part.text, part.len);
	ret->pic = conf_strndup(c, pic.text, pic.len);
	return ret->text && ret->pic;
}

/* PRIO[r|f|o]; the sporadic form HIGH,LOW,...s is known, and Linux has nothing like it. */
bool conf_read_sched(struct conf *c, const struct conf_word *w, struct conf_sched *ret)
{
	struct conf_part part = { w->text, strlen(w->text) };
	char policy = 0;
	uint64_t prio;

	if (w->bad)
		return false;
	if (memchr(part.text, ',', part.len)) {
		conf_error(c, &w->pos,
			   "'%s' asks for sporadic scheduling, which Linux does not have", w->text);
		conf_expected(c, "PRIO, PRIOr (round robin) or PRIOf (first in, first out)");
		return false;
	}
	if (part.len && strchr("rfo", part.text[part.len - 1]))
		policy = part.text[--part.len];
	if (!conf_read_number(c, w, part, 1,
			      policy == 'r' || policy == 'f' ? CONF_MAX_RT_PRIO : PRIO_MAX, &prio))
		return false;
	*ret = (struct conf_sched){
		.given = true, .prio = (unsigned)prio, .policy = policy, .pos = w->pos
	};
	return true;
}

/* A name becomes part of a path in the run directory, and stands before a colon in `intr`. */
bool conf_read_name(struct conf *c, const struct conf_word *w, const char *what,
		    struct conf_text *ret)
{
	if (w->bad)
		return false;
	if (!*w->text || strlen(w->text) > CONF_MAX_NAME || strpbrk(w->text, "/:") ||
	    w->text[0] == '.') {
		conf_error(c, &w->pos, "'%s' cannot be the name of a %s", w->text, what);
		conf_expected(c, "at most %u bytes without '/' and ':', not starting with '.'",
			      CONF_MAX_NAME);
		return false;
	}
	for (const char *p = w->text; *p; p++) {
		if (iscntrl((unsigned char)*p) || isspace((unsigned char)*p)) {
			conf_error(c, &w->pos, "'%s' cannot be the name of a %s", w->text, what);
			conf_expected(c, "a name without white space and control characters");
			return false;
		}
	}
	*ret = (struct conf_text){ w->text, w->pos };
	return true;
}

static int args_dest(struct conf_part part)
{
	for (int i = 0; log_dest_name((unsigned)i); i++) {
		if (conf_part_is(part, log_dest_name((unsigned)i)))
			return i;
	}
	return -1;
}

static bool args_filters(struct conf *c, const struct conf_word *w, unsigned *ret_mask)
{
	static const char names[] = "fatal|internal|error|warn|info|debug|verbose";
	struct conf_part rest = { w->text, strlen(w->text) };
	bool ok = true;

	*ret_mask = 0;
	while (rest.text) {
		struct conf_part one = conf_split(&rest, ',');
		int bit = conf_choice_index(names, one.text, one.len);
		const char *copy;

		if (bit >= 0) {
			*ret_mask |= 1u << bit;
			continue;
		}
		ok = false;
		args_fail(c, w, one, "a kind of message");
		copy = conf_strndup(c, one.text, one.len);
		if (copy)
			conf_suggest(c, conf_near_choice(c, copy, names));
		conf_expected(c, "some of fatal, internal, error, warn, info, debug and verbose, "
				 "separated by commas");
		if (!one.len)
			break;
	}
	return ok;
}

/* FILTER[,FILTER...] stdout|stderr|slog|none. Both words are taken even if the first is wrong. */
bool conf_read_logger(struct conf *c, const struct conf_word *option, struct conf_logger *ret)
{
	const struct conf_word *filters, *dest;
	struct conf_logger logger = { .given = true, .pos = option->pos };
	bool ok;

	filters = conf_take_argument(
		c, option, "kinds of messages and where they go, such as error,warn stderr");
	if (!filters)
		return false;
	ok = !filters->bad && args_filters(c, filters, &logger.mask);
	dest = conf_take_argument(c, option, "stdout, stderr, slog or none");
	if (!dest || dest->bad)
		return false;
	logger.dest = args_dest((struct conf_part){ dest->text, strlen(dest->text) });
	if (logger.dest < 0) {
		conf_error(c, &dest->pos, "messages cannot go to '%s'", dest->text);
		conf_suggest(c, conf_near_choice(c, dest->text, "stdout|stderr|slog|none"));
		conf_expected(c, "stdout, stderr, slog or none");
		return false;
	}
	if (!ok)
		return false;
	*ret = logger;
	return true;
}

bool conf_check_option(struct conf *c, const struct conf_word *option, const struct conf_word *arg,
		       const struct qvmx_option *opt, const char *owner)
{
	struct strbuf expected = { 0 };
	uint64_t value;
	int r;

	if (arg->bad)
		return false;
	r = conf_option_value(opt, arg->text, &value);
	if (!r)
		return true;
	if (r == -ERANGE)
		conf_error(c, &arg->pos, "'%s' is out of range for '%s' of %s", arg->text,
			   option->text, owner);
	else
		conf_error(c, &arg->pos, "'%s' does not fit '%s' of %s", arg->text, option->text,
			   owner);
	if (opt->type == QVMX_OPT_CHOICE)
		conf_suggest(c, conf_near_choice(c, arg->text, opt->choices));
	conf_option_describe(opt, &expected);
	conf_expected(c, "%s", strbuf_text(&expected));
	strbuf_free(&expected);
	return false;
}
