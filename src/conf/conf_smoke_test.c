/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short run of the fuzz target without libFuzzer: the configuration files of a folder, damaged at
 * random from a fixed seed, so that each run does the same. Usage: conf_smoke_test FOLDER [ROUNDS]
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "conf/conf_fuzz.h"

#define MAX_SIZE 4096u

struct sample {
	size_t len;
	uint8_t data[MAX_SIZE];
};

static uint64_t state = 0x9e3779b97f4a7c15u;

/* xorshift64*: the same numbers everywhere. */
static uint32_t smoke_random(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 32) % below;
}

static void smoke_insert(struct sample *s, size_t at, const void *data, size_t len)
{
	if (len > MAX_SIZE - s->len)
		return;
	memmove(s->data + at + len, s->data + at, s->len - at);
	memcpy(s->data + at, data, len);
	s->len += len;
}

static void smoke_mutate(struct sample *s, const struct sample *other)
{
	static const char *const pieces[] = {
		"\"",	 "$env{",  "}",
		"#",	 "\n",	   "\\\n",
		"\t",	 " vdev ", " cpu ",
		":",	 ",",	   "0x",
		"0d",	 "K",	   "pci:",
		"/",	 "@",	   "\0",
		"\xff",	 "\x1b[",  "\xe2\x80\xae",
		" loc ", " intr ", "18446744073709551616",
	};
	size_t at = smoke_random((uint32_t)s->len + 1), some = smoke_random(64), from, len;
	const char *piece;

	switch (smoke_random(6)) {
	case 0: /* a bit */
		if (at < s->len)
			s->data[at] ^= (uint8_t)(1u << smoke_random(8));
		break;
	case 1: /* a byte */
		if (at < s->len)
			s->data[at] = (uint8_t)smoke_random(256);
		break;
	case 2: /* a piece of the language */
		piece = pieces[smoke_random(ARRAY_LEN(pieces))];
		smoke_insert(s, at, piece, MAX(strlen(piece), (size_t)1));
		break;
	case 3: /* without some bytes */
		len = MIN(s->len - at, some % 12);
		memmove(s->data + at, s->data + at + len, s->len - at - len);
		s->len -= len;
		break;
	case 4: /* cut off */
		s->len = at;
		break;
	default: /* a part of another file */
		if (!other->len)
			break;
		from = smoke_random((uint32_t)other->len);
		smoke_insert(s, at, other->data + from, MIN(other->len - from, some));
		break;
	}
}

static size_t smoke_load(const char *path, struct sample *s)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	s->len = fread(s->data, 1, sizeof(s->data), f);
	fclose(f);
	return s->len;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 10000;
	struct sample *samples, work;
	glob_t found = { 0 };
	uint32_t count;

	if (argc < 2 || chdir(argv[1]) || glob("*.qvmconf", 0, NULL, &found) || !found.gl_pathc) {
		fprintf(stderr, "usage: %s FOLDER [ROUNDS]\n", argv[0]);
		return 1;
	}
	count = (uint32_t)found.gl_pathc;
	samples = calloc(count, sizeof(*samples));
	if (!samples)
		return 1;
	for (uint32_t i = 0; i < count; i++) {
		smoke_load(found.gl_pathv[i], &samples[i]);
		LLVMFuzzerTestOneInput(samples[i].data, samples[i].len);
	}
	for (unsigned i = 0; i < rounds; i++) {
		work = samples[smoke_random(count)];
		for (unsigned n = 1 + smoke_random(4); n; n--)
			smoke_mutate(&work, &samples[smoke_random(count)]);
		/* An exact copy on the heap, so that reading over its end is seen. */
		uint8_t *copy = malloc(MAX(work.len, (size_t)1));

		if (!copy)
			return 1;
		memcpy(copy, work.data, work.len);
		LLVMFuzzerTestOneInput(copy, work.len);
		free(copy);
	}
	printf("%u files, %u damaged ones\n", count, rounds);
	free(samples);
	globfree(&found);
	return 0;
}
