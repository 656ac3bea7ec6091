/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of a fuzz target without libFuzzer: sample files as they are, then damaged at random from a
 * fixed seed, so that each run does the same. Usage: PROGRAM PATTERN ROUNDS [WORDS [SEED]]; PATTERN
 * is the samples', WORDS a file with a word of their language in each line.
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/fuzz.h"
#include "base/util.h"

enum { MAX_SIZE = 32768, MAX_WORDS = 256 };

struct sample {
	size_t len;
	uint8_t data[MAX_SIZE];
};

static uint64_t state = 0x9e3779b97f4a7c15u;
static char *words[MAX_WORDS];
static uint32_t num_words;

/* xorshift64*: the same numbers everywhere. */
static uint32_t roll(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 32) % below;
}

static void insert(struct sample *s, size_t at, const void *data, size_t len)
{
	if (len > MAX_SIZE - s->len)
		return;
	memmove(s->data + at + len, s->data + at, s->len - at);
	memcpy(s->data + at, data, len);
	s->len += len;
}

/* One of 1 to 8 bytes, in either order. */
static void put_number(struct sample *s, size_t at)
{
	static const uint64_t odd[] = { 0,	 1,	     7,		 8,	     0x7f,
					0x80,	 0xff,	     0x7fff,	 0xffff,     0x10000,
					1 << 20, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX };
	uint64_t value = odd[roll(ARRAY_LEN(odd))] + (roll(4) ? 0 : roll(32));
	size_t width = (size_t)1 << roll(4);
	bool swapped = roll(2);

	if (!roll(4))
		at &= ~(width - 1);
	for (size_t i = 0; i < width && at + i < s->len; i++)
		s->data[at + i] = (uint8_t)(value >> 8 * (swapped ? width - 1 - i : i));
}

static void damage(struct sample *s, const struct sample *other)
{
	size_t at = roll((uint32_t)s->len + 1), some = roll(64), from, len;
	const char *word;

	switch (roll(8)) {
	case 0: /* a bit */
		if (at < s->len)
			s->data[at] ^= (uint8_t)(1u << roll(8));
		break;
	case 1: /* a byte */
		if (at < s->len)
			s->data[at] = (uint8_t)roll(256);
		break;
	case 2: /* a number */
		put_number(s, at);
		break;
	case 3:
	case 4: /* a word of the language */
		if (num_words) {
			word = words[roll(num_words)];
			insert(s, at, word, MAX(strlen(word), (size_t)1));
		} else {
			put_number(s, at);
		}
		break;
	case 5: /* without some bytes */
		len = MIN(s->len - at, some % 12);
		memmove(s->data + at, s->data + at + len, s->len - at - len);
		s->len -= len;
		break;
	case 6: /* cut off */
		s->len = at;
		break;
	default: /* a part of another file */
		if (!other->len)
			break;
		from = roll((uint32_t)other->len);
		insert(s, at, other->data + from, MIN(other->len - from, some));
		break;
	}
}

static void sample_load(const char *path, struct sample *s)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return;
	s->len = fread(s->data, 1, sizeof(s->data), f);
	fclose(f);
}

/* \n, \t, \0 and \xHH in it stand for those bytes. */
static void unescape(char *text)
{
	char *to = text;
	unsigned byte;

	for (const char *from = text; *from; to++) {
		if (from[0] != '\\' || !from[1]) {
			*to = *from++;
		} else if (sscanf(from, "\\x%2x", &byte) == 1) {
			*to = (char)byte;
			from += 4;
		} else {
			*to = (char)(from[1] == 'n' ? '\n' : from[1] == 't' ? '\t' : from[1]);
			if (from[1] == '0')
				*to = '\0';
			from += 2;
		}
	}
	*to = '\0';
}

static bool words_load(const char *path)
{
	FILE *f = fopen(path, "re");
	size_t room = 0;

	if (!f)
		return false;
	while (num_words < MAX_WORDS && getline(&words[num_words], &room, f) > 0) {
		words[num_words][strcspn(words[num_words], "\n")] = '\0';
		unescape(words[num_words++]);
		room = 0;
	}
	fclose(f);
	return true;
}

/* An exact copy on the heap, so that reading over its end is seen. */
static void run(const struct sample *s)
{
	uint8_t *copy = malloc(MAX(s->len, (size_t)1));

	fuzz_require(copy);
	memcpy(copy, s->data, s->len);
	LLVMFuzzerTestOneInput(copy, s->len);
	free(copy);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	struct sample *samples;
	static struct sample work;
	glob_t found = { 0 };
	uint32_t count;

	if (!rounds || (argc > 3 && !words_load(argv[3])) || glob(argv[1], 0, NULL, &found)) {
		fprintf(stderr, "usage: %s PATTERN ROUNDS [WORDS [SEED]]\n", argv[0]);
		return 1;
	}
	if (argc > 4)
		state ^= strtoull(argv[4], NULL, 0) << 8;
	count = (uint32_t)found.gl_pathc;
	samples = calloc(count, sizeof(*samples));
	fuzz_require(samples);
	for (uint32_t i = 0; i < count; i++) {
		sample_load(found.gl_pathv[i], &samples[i]);
		run(&samples[i]);
	}
	for (unsigned i = 0; i < rounds; i++) {
		work = samples[roll(count)];
		for (unsigned n = 1 + roll(4); n; n--)
			damage(&work, &samples[roll(count)]);
		run(&work);
	}
	printf("%u samples, %u damaged ones\n", count, rounds);
	for (uint32_t i = 0; i < num_words; i++)
		free(words[i]);
	free(samples);
	globfree(&found);
	return 0;
}
