/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings in the format of `evemu-record`: lines of a letter and a colon. N: name. I: bus,
 * vendor, product, version. P: properties and B: type and codes, 8 bytes of a bitmap a line, which
 * go on where the last line ended. A: axis, min, max, fuzz, flat, resolution. E: seconds, type,
 * code, value. Ids, types, codes and bitmaps are hexadecimal. # and other letters are skipped.
 */
#include "input.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/x/conf.h>

enum { MAX_LINE = 512, BITMAP_STEP = 8, MAX_SECONDS = 1000000 };

struct reader {
	struct input_recording *r;
	struct input_identity *id;
	unsigned props_at, bits_at[INPUT_NUM_TYPES], capacity;
	uint64_t first_us, last_us;
	bool open; /* the last event was no SYN_REPORT */
};

/* A number in that base, behind blanks; up to max. */
static bool take_number(const char **text, int base, unsigned long max, unsigned long *ret)
{
	char *end;

	while (**text == ' ' || **text == '\t')
		(*text)++;
	if (**text == '-' || **text == '+')
		return false;
	errno = 0;
	*ret = strtoul(*text, &end, base);
	if (end == *text || errno || *ret > max)
		return false;
	*text = end;
	return true;
}

static bool take_value(const char **text, int32_t *ret)
{
	unsigned long magnitude;
	bool negative;

	while (**text == ' ' || **text == '\t')
		(*text)++;
	negative = **text == '-';
	*text += negative;
	if (!take_number(text, 10, (unsigned long)INT32_MAX + negative, &magnitude))
		return false;
	*ret = (int32_t)(negative ? -(int64_t)magnitude : (int64_t)magnitude);
	return true;
}

static const char *line_name(struct reader *rd, const char *text)
{
	size_t len;

	text += strspn(text, " \t");
	len = strcspn(text, "\r\n");
	if (len > INPUT_MAX_TEXT)
		return "the name is longer than 127 bytes";
	memcpy(rd->id->name, text, len);
	rd->id->name[len] = '\0';
	return NULL;
}

static const char *line_ids(struct reader *rd, const char *text)
{
	uint16_t *const ids[] = { &rd->id->bus, &rd->id->vendor, &rd->id->product,
				  &rd->id->version };
	unsigned long n;

	for (unsigned i = 0; i < 4; i++) {
		if (!take_number(&text, 16, UINT16_MAX, &n))
			return "it takes four hexadecimal ids";
		*ids[i] = (uint16_t)n;
	}
	return NULL;
}

static const char *line_bitmap(uint8_t *bitmap, unsigned *at, const char *text)
{
	unsigned long n;

	for (unsigned i = 0; i < BITMAP_STEP; i++) {
		if (!take_number(&text, 16, UINT8_MAX, &n))
			return "it takes 8 hexadecimal bytes";
		if (*at == INPUT_BITMAP)
			return "there are more bits than a device may have";
		bitmap[(*at)++] = (uint8_t)n;
	}
	return NULL;
}

static const char *line_bits(struct reader *rd, const char *text)
{
	uint8_t types[INPUT_BITMAP];
	unsigned long type;

	if (!take_number(&text, 16, INPUT_NUM_TYPES - 1, &type))
		return "it takes a type up to 1f";
	/* The list of types is told by the others. */
	return line_bitmap(type ? rd->id->bits[type] : types, &rd->bits_at[type], text);
}

static const char *line_axis(struct reader *rd, const char *text)
{
	struct input_absinfo *abs;
	unsigned long axis;

	if (!take_number(&text, 16, ABS_MAX, &axis))
		return "it takes an axis up to 3f";
	abs = &rd->id->abs[axis];
	if (!take_value(&text, &abs->minimum) || !take_value(&text, &abs->maximum) ||
	    !take_value(&text, &abs->fuzz) || !take_value(&text, &abs->flat))
		return "it takes min, max, fuzz and flat of the axis";
	if (!take_value(&text, &abs->resolution))
		abs->resolution = 0; /* older recordings have none */
	return NULL;
}

static const char *event_add(struct reader *rd, uint64_t us, const struct input_event_le *event)
{
	struct input_recording *r = rd->r;

	if (r->num == rd->capacity) {
		unsigned more = rd->capacity ? 2 * rd->capacity : 64;
		struct input_recorded *events =
			more > INPUT_MAX_EVENTS ? NULL : realloc(r->events, more * sizeof(*events));

		if (!events)
			return "there are too many events";
		r->events = events;
		rd->capacity = more;
	}
	r->events[r->num++] = (struct input_recorded){ .us = us, .event = *event };
	return NULL;
}

static const char *line_event(struct reader *rd, const char *text)
{
	unsigned long seconds, fraction, type, code;
	struct input_event_le event;
	const char *digits;
	int32_t value;
	uint64_t us;

	if (!take_number(&text, 10, MAX_SECONDS, &seconds) || *text++ != '.')
		return "it takes a time such as 0.000250";
	digits = text;
	if (*text < '0' || *text > '9' || !take_number(&text, 10, 999999, &fraction) ||
	    text - digits != 6)
		return "it takes a time with 6 digits behind the point";
	if (!take_number(&text, 16, INPUT_NUM_TYPES - 1, &type) ||
	    !take_number(&text, 16, UINT16_MAX, &code) || !take_value(&text, &value))
		return "it takes type, code and value of an event";
	us = seconds * 1000000 + fraction;
	if (!rd->r->num)
		rd->first_us = rd->last_us = us;
	if (us < rd->last_us)
		return "its time is before that of the event above it";
	rd->last_us = us;
	rd->open = type != EV_SYN || code != SYN_REPORT;
	event = (struct input_event_le){
		.type = htole16((uint16_t)type),
		.code = htole16((uint16_t)code),
		.value = htole32((uint32_t)value),
	};
	return event_add(rd, us - rd->first_us, &event);
}

static const char *line_read(struct reader *rd, const char *line)
{
	const char *text = line + 2;

	if (line[0] == '\0' || line[1] != ':')
		return NULL;
	switch (line[0]) {
	case 'N':
		return line_name(rd, text);
	case 'I':
		return line_ids(rd, text);
	case 'P':
		return line_bitmap(rd->id->props, &rd->props_at, text);
	case 'B':
		return line_bits(rd, text);
	case 'A':
		return line_axis(rd, text);
	case 'E':
		return line_event(rd, text);
	default: /* lights and switches as they were */
		return NULL;
	}
}

int input_recording_read(struct input_recording *r, const char *path, vdev_t *vdp,
			 struct input_identity *ret_identity)
{
	static const struct input_event_le report = { 0 }; /* EV_SYN, SYN_REPORT */
	struct reader rd = { .r = r, .id = ret_identity };
	char line[MAX_LINE];
	const char *why = NULL;
	unsigned number = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return qvmx_refuse(vdp, "hostdev '%s' cannot be opened: %s", path, strerror(errno));
	while (!why && fgets(line, sizeof(line), f)) {
		number++;
		why = strchr(line, '\n') || feof(f) ? line_read(&rd, line)
						    : "it is longer than 510 bytes";
	}
	fclose(f);
	if (why)
		return qvmx_refuse(vdp, "hostdev '%s', line %u: %s", path, number, why);
	if (rd.open && event_add(&rd, rd.last_us - rd.first_us, &report))
		return qvmx_refuse(vdp, "hostdev '%s': there are too many events", path);
	if (!rd.id->name[0])
		return qvmx_refuse(
			vdp,
			"hostdev '%s' is no recording of evemu-record: it has no line N: "
			"with the device's name",
			path);
	return EOK;
}
