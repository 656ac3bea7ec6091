/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest known word: edit distance with swapped neighbours (optimal string alignment). */
#include "conf/conf_private.h"

#include <ctype.h>
#include <string.h>

#define NEAR_MAX 48 /* longer words get no suggestion */

static size_t near_distance(const char *a, const char *b)
{
	size_t rows[3][NEAR_MAX + 1], len_a = strlen(a), len_b = strlen(b);
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= len_b; j++)
		above[j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		size_t *oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t differs = tolower((unsigned char)a[i - 1]) !=
					 tolower((unsigned char)b[j - 1]);
			size_t d = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + differs);

			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = MIN(d, before[j - 2] + 1);
			row[j] = d;
		}
		before = above;
		above = row;
		row = oldest;
	}
	return above[len_b];
}

void conf_near_start(struct conf_near *near, const char *word)
{
	size_t len = strlen(word);

	/* One letter in three may be wrong, and one in a very short word. */
	*near = (struct conf_near){ .word = word,
				    .limit = len > NEAR_MAX ? 0 : MAX(len / 3, (size_t)1) };
	near->best_distance = near->limit + 1;
}

void conf_near_offer(struct conf_near *near, const char *candidate)
{
	size_t distance, len = strlen(candidate);

	if (!near->limit || len > NEAR_MAX)
		return;
	distance = near_distance(near->word, candidate);
	/* A word of which nothing stayed is no suggestion. */
	if (distance < near->best_distance && distance < MAX(len, strlen(near->word))) {
		near->best = candidate;
		near->best_distance = distance;
	}
}

const char *conf_near_choice(struct conf *c, const char *word, const char *choices)
{
	struct conf_part rest = { choices, strlen(choices) };
	struct conf_near near;

	conf_near_start(&near, word);
	while (rest.text) {
		struct conf_part one = conf_split(&rest, '|');
		const char *copy = conf_strndup(c, one.text, one.len);

		if (!copy)
			return NULL;
		conf_near_offer(&near, copy);
	}
	return near.best;
}
