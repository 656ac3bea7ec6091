/* SPDX-License-Identifier: Apache-2.0 */
/* The options of an open `pass`. */
#include "conf/conf_private.h"

#include <ctype.h>
#include <string.h>

enum { WINDOW_DEFAULT = CONF_PAGE, ATTRS_DEFAULT = CONF_PASS_READ | CONF_PASS_WRITE };

static const char loc_form[] = "[mem:]ADDRESS[,LENGTH][,ATTRIBUTES][=HOST_ADDRESS], "
			       "io:PORT[,LENGTH], or [pci:BUS:DEV[.FUNC]=]HOST, where HOST is "
			       "pci:BUS:DEV.FUNC or pci:VID/DID[/INDEX]";

/* In the order of enum conf_pass_attr. */
static const char attr_letters[] = "rwxcemdn";

/* Cut the attributes off: what stands behind the last comma, if it is no number. */
static struct conf_part pass_attrs_cut(struct conf_part *place)
{
	size_t at = place->len;

	while (at && place->text[at - 1] != ',')
		at--;
	struct conf_part attrs = { place->text + at, place->len - at };

	if (!at || (attrs.len && isdigit((unsigned char)attrs.text[0])))
		return (struct conf_part){ 0 };
	place->len = at - 1;
	return attrs;
}

/* Letters are added, from a `-` on taken away, from a `+` on added again. */
static bool pass_attrs_read(struct conf *c, const struct conf_word *w, struct conf_part part,
			    unsigned *attrs)
{
	bool add = true;
	unsigned got = part.len && part.text[0] != '-' && part.text[0] != '+' ? 0 : *attrs;

	for (size_t i = 0; i < part.len; i++) {
		const char letter = part.text[i];
		const char *known = strchr(attr_letters, letter);
		unsigned bit = known ? 1u << (known - attr_letters) : 0;

		if (letter == '+' || letter == '-') {
			add = letter == '+';
		} else if (bit) {
			got = add ? got | bit : got & ~bit;
		} else {
			const struct conf_pos pos = conf_word_part(w, part.text + i, 1);

			conf_error(c, &pos, "'%c' is not an attribute of a passed place", letter);
			conf_expected(c, "of r w x c e m d n, with + before those that are added "
					 "to 'rw' and - before those that are taken away");
			return false;
		}
	}
	if ((got & CONF_PASS_DMA) && (got & CONF_PASS_NO_DMA)) {
		const struct conf_pos pos = conf_word_part(w, part.text, part.len);

		conf_error(c, &pos, "a device does DMA (d) or not (n), not both");
		return false;
	}
	*attrs = got;
	return true;
}

/* No page of the host's is passed unless the file says how many. */
static void pass_length_default(struct conf_loc *loc)
{
	if (loc->has_len)
		return;
	loc->has_len = true;
	loc->len = loc->space == CONF_SPACE_MEM ? WINDOW_DEFAULT : 1;
}

static bool pass_host_read(struct conf *c, const struct conf_word *w, struct conf_part part,
			   struct conf_pass_loc *item)
{
	const struct conf_loc *guest = &item->guest;
	struct conf_loc *host = &item->host;
	const bool pci = guest->space == CONF_SPACE_PCI;

	if (!conf_read_loc_part(c, w, part, CONF_SPACE_MEM, host))
		return false;
	const bool host_pci = host->space == CONF_SPACE_PCI || host->space == CONF_SPACE_PCI_ID;

	if (pci != host_pci || (!pci && guest->space != host->space)) {
		conf_error(c, &host->pos,
			   "the place in the host is of another kind than the "
			   "guest's");
		conf_expected(c, "%s",
			      pci ? "pci:BUS:DEV.FUNC or pci:VID/DID[/INDEX]" : "an address");
		return false;
	}
	if (!pci && host->has_len) {
		conf_error(c, &host->pos,
			   "the length stands before the '=': it is the same on "
			   "both sides");
		return false;
	}
	if (guest->space == CONF_SPACE_IO) {
		conf_error(c, &host->pos, "ports are the same in the host and in the guest");
		conf_expected(c, "io:PORT[,LENGTH] without '='");
		return false;
	}
	host->has_len = guest->has_len;
	host->len = guest->len;
	return true;
}

static void pass_loc(struct conf *c, const struct conf_word *w, struct conf_pass *pass)
{
	const struct conf_word *arg = conf_take_argument(c, w, loc_form);
	struct conf_pass_loc item = { .attrs = ATTRS_DEFAULT }, *kept;
	struct conf_part host, place;

	if (!arg || arg->bad)
		return;
	host = (struct conf_part){ arg->text, strlen(arg->text) };
	place = conf_split(&host, '=');
	item.pos = arg->pos;
	struct conf_part attrs = pass_attrs_cut(&place);

	if (!conf_read_loc_part(c, arg, place, CONF_SPACE_MEM, &item.guest) ||
	    !pass_attrs_read(c, arg, attrs, &item.attrs))
		return;
	item.has_guest = item.guest.space != CONF_SPACE_PCI_ID;
	if (!item.has_guest && host.text) {
		conf_error(c, &item.guest.pos,
			   "'%.*s' is a kind of device, not a place in the "
			   "guest",
			   (int)MIN(place.len, 200), place.text);
		conf_expected(c, "%s", loc_form);
		return;
	}
	if (item.guest.space == CONF_SPACE_MEM || item.guest.space == CONF_SPACE_IO)
		pass_length_default(&item.guest);
	if (item.has_guest && item.guest.space == CONF_SPACE_PCI && item.guest.bus && host.text) {
		conf_error(c, &item.guest.pos, "the guest has PCI bus 0 only");
		return;
	}
	item.host = item.guest;
	if (host.text && !pass_host_read(c, arg, host, &item))
		return;
	/* A device of the host's other buses, named once, goes to the next free place. */
	if (item.guest.space == CONF_SPACE_PCI && item.guest.bus)
		item.has_guest = false;
	kept = conf_append(c, &pass->locs, &pass->num_locs, sizeof(*kept));
	if (kept)
		*kept = item;
}

static void pass_intr(struct conf *c, const struct conf_word *w, struct conf_pass *pass)
{
	const struct conf_word *arg = conf_take_argument(c, w, "PIC:LINE[,t|,u][=HOST_VECTOR]");
	struct conf_pass_intr item = { .pos = w->pos }, *kept;
	struct conf_part host, guest, how;
	uint64_t vector;

	if (!arg || arg->bad)
		return;
	host = (struct conf_part){ arg->text, strlen(arg->text) };
	how = conf_split(&host, '=');
	guest = conf_split(&how, ',');
	if (how.text && !conf_part_is(how, "t") && !conf_part_is(how, "u")) {
		const struct conf_pos pos = conf_word_part(arg, how.text, how.len);

		conf_error(c, &pos, "'%.*s' is no way to pass an interrupt", (int)MIN(how.len, 200),
			   how.text);
		conf_expected(c, "t: by a thread, as all are here; u: unmask it at once, for an "
				 "edge");
		return;
	}
	if (!conf_read_intr(c, arg, guest, &item.guest))
		return;
	if (!item.guest.has_line) {
		conf_error(c, &item.guest.pos, "a passed interrupt needs a line of a controller");
		conf_expected(c, "PIC:LINE[,t|,u][=HOST_VECTOR]");
		return;
	}
	item.at_once = how.text && how.text[0] == 'u';
	item.has_host = host.text != NULL;
	if (item.has_host && !conf_read_number(c, arg, host, 0, UINT32_MAX, &vector))
		return;
	item.host = item.has_host ? (uint32_t)vector : 0;
	kept = conf_append(c, &pass->intrs, &pass->num_intrs, sizeof(*kept));
	if (kept)
		*kept = item;
}

bool conf_pass_option(struct conf *c, const struct conf_word *w)
{
	struct conf_pass *pass = &c->passes[c->num_passes - 1];
	const unsigned items = pass->num_locs + pass->num_intrs;

	if (!strcmp(w->text, "loc")) {
		pass_loc(c, w, pass);
	} else if (!strcmp(w->text, "intr")) {
		pass_intr(c, w, pass);
	} else if (!strcmp(w->text, "shared")) {
		pass->shared_pos = w->pos;
		return true;
	} else {
		return false;
	}
	pass->incomplete |= pass->num_locs + pass->num_intrs == items;
	return true;
}

void conf_pass_check_all(struct conf *c)
{
	for (unsigned i = 0; i < c->num_passes; i++) {
		struct conf_pass *pass = &c->passes[i];

		for (unsigned k = 0; k < pass->num_intrs; k++)
			conf_vdev_check_intr(c, c->num_vdevs, &pass->intrs[k].guest);
	}
}

void conf_pass_dump(const struct conf_pass *pass, struct strbuf *out)
{
	strbuf_add_text(out, "pass");
	for (unsigned i = 0; i < pass->num_locs; i++) {
		const struct conf_pass_loc *l = &pass->locs[i];
		struct conf_loc host = l->host;

		strbuf_add_text(out, " loc ");
		if (l->has_guest) {
			conf_place_dump(out, &l->guest);
			strbuf_add_char(out, ',');
			for (unsigned bit = 0; attr_letters[bit]; bit++)
				if (l->attrs >> bit & 1)
					strbuf_add_char(out, attr_letters[bit]);
			if (host.space == CONF_SPACE_IO)
				continue;
			strbuf_add_char(out, '=');
		}
		host.has_len = false;
		conf_place_dump(out, &host);
	}
	for (unsigned i = 0; i < pass->num_intrs; i++) {
		const struct conf_pass_intr *intr = &pass->intrs[i];

		strbuf_printf(out, " intr %s%s", intr->guest.text, intr->at_once ? ",u" : "");
		if (intr->has_host)
			strbuf_printf(out, "=%u", intr->host);
	}
	strbuf_printf(out, "%s\n", pass->shared_pos.source ? " shared" : "");
}
