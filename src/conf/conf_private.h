/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of src/conf share: the words that the lexer makes, the arena that owns all memory,
 * the parser's state and the readers of single arguments.
 *
 * Only src/conf includes this. Functions that return int give 0 or -ENOMEM and record mistakes in
 * the conf; those that return bool give false after they recorded a mistake or ran out of memory
 * (then priv->no_memory is set, and conf_parse returns -ENOMEM).
 */
#ifndef CONF_CONF_PRIVATE_H
#define CONF_CONF_PRIVATE_H

#include "conf/conf.h"

/* One white-space-separated word, quotes removed and substitutions done. */
struct conf_word {
	const char *text;
	struct conf_pos pos;
	bool plain;  /* the text stands in the source byte by byte: a part of it has a place of its
			own */
	bool quoted; /* some of it stood in quotes */
	bool bad;    /* a mistake was recorded for it: do not judge it again */
};

struct conf_source {
	const char *name;
	const char *text; /* not NUL-terminated; NULL for the command line */
	size_t len;
	unsigned first_number; /* command line: number of words[0] */
	const char **words;    /* command line: as given */
	unsigned num_words;
};

enum conf_context {
	CONF_IN_NONE,
	CONF_IN_VDEV,
	CONF_IN_CPU,
	CONF_IN_RESERVE,
	CONF_IN_PASS,
	CONF_IN_UNKNOWN
};

struct conf_block;

struct conf_priv {
	struct conf_env env;
	struct conf_block *blocks;
	bool no_memory;

	struct conf_source *sources;
	unsigned num_sources;
	unsigned num_files;
	struct conf_word *words;
	unsigned num_words;
	bool words_full;

	unsigned next; /* the parser: index of the next word */
	enum conf_context context;
	unsigned vdev;		/* in the context of a vdev: which */
	unsigned last_expected; /* the diag that conf_expected is about: index + 1, 0: dropped */
};

/* conf.c: memory. NULL sets no_memory. */
void *conf_alloc(struct conf *c, size_t size) MUST_CHECK;
char *conf_strndup(struct conf *c, const char *text, size_t len) MUST_CHECK;
/* A new zeroed item at the end of an array (address of the pointer, its count), or NULL. Items may
 * move. */
void *conf_append(struct conf *c, void *array, unsigned *count, size_t size) MUST_CHECK;

/* conf_lex.c */
int conf_lex_text(struct conf *c, uint32_t source);
int conf_lex_argument(struct conf *c, uint32_t source, uint32_t number, const char *text);

/* conf_near.c: the candidate that `word` was probably meant to be. */
struct conf_near {
	const char *word;
	size_t limit; /* of the distance */
	const char *best;
	size_t best_distance;
};
void conf_near_start(struct conf_near *near, const char *word);
void conf_near_offer(struct conf_near *near, const char *candidate);
/* As above for names separated by '|'; the result is copied into the conf. */
const char *conf_near_choice(struct conf *c, const char *word, const char *choices);

/* conf_text.c: making text of the user harmless, and its width on a terminal. */
struct conf_glyph {
	unsigned bytes; /* that it takes in the text */
	unsigned width; /* columns of what is shown */
	char shown[16];
};
/* The next character of text (len > 0). Tabs come as one blank. */
struct conf_glyph conf_text_glyph(const char *text, size_t len);
void conf_text_clean(struct strbuf *out, const char *text, size_t len);

/* conf_number.c: 0, -EINVAL or -ERANGE (above 64 bits). */
enum conf_radix { CONF_DECIMAL, CONF_HEXADECIMAL };
int conf_number_parse(const char *text, size_t len, enum conf_radix radix, bool units,
		      uint64_t *ret_value);
int conf_bool_parse(const char *text, uint64_t *ret_value);
/* Index of text among choices separated by '|', or -1. */
int conf_choice_index(const char *choices, const char *text, size_t len);
/* What an option's argument looks like, for "expected:". */
void conf_option_describe(const struct qvmx_option *opt, struct strbuf *out);

/* conf_args.c: single arguments. `what` names it in messages. */
struct conf_part {
	const char *text;
	size_t len;
};
struct conf_pos conf_word_part(const struct conf_word *w, const char *start, size_t len);
/* The next word as the argument of `option`, or NULL after recording that it is missing. */
const struct conf_word *conf_take_argument(struct conf *c, const struct conf_word *option,
					   const char *expected);
bool conf_read_address(struct conf *c, const struct conf_word *w, struct conf_part part,
		       uint64_t *ret);
bool conf_read_length(struct conf *c, const struct conf_word *w, struct conf_part part,
		      uint64_t *ret);
bool conf_read_number(struct conf *c, const struct conf_word *w, struct conf_part part,
		      uint64_t min, uint64_t max, uint64_t *ret);
bool conf_read_loc(struct conf *c, const struct conf_word *w, enum conf_space by_default,
		   struct conf_loc *ret);
bool conf_read_loc_part(struct conf *c, const struct conf_word *w, struct conf_part part,
			enum conf_space by_default, struct conf_loc *ret);
bool conf_read_intr(struct conf *c, const struct conf_word *w, struct conf_part part,
		    struct conf_intr *ret);
bool conf_read_sched(struct conf *c, const struct conf_word *w, struct conf_sched *ret);
bool conf_read_name(struct conf *c, const struct conf_word *w, const char *what,
		    struct conf_text *ret);
bool conf_read_logger(struct conf *c, const struct conf_word *option, struct conf_logger *ret);
bool conf_check_option(struct conf *c, const struct conf_word *option, const struct conf_word *arg,
		       const struct qvmx_option *opt, const char *owner);
/* Cut the first part, up to `separator`, off *rest. */
struct conf_part conf_split(struct conf_part *rest, char separator);
bool conf_part_is(struct conf_part part, const char *text);

/* conf_words.c: the words that stand anywhere, and what they do. */
struct conf_keyword {
	const char *name;
	/* False: something is wrong, and unknown words up to the end of the line probably belong to
	 * it. */
	bool (*read)(struct conf *c, const struct conf_word *w);
};
const struct conf_keyword *conf_keyword_find(const char *name);
void conf_keyword_offer_all(struct conf_near *near);

/* conf_context.c: the options of cpu, reserve and pass. False: not an option of the open context.
 */
bool conf_context_option(struct conf *c, const struct conf_word *w);
void conf_context_offer_all(struct conf *c, struct conf_near *near);

/* conf_vdev.c */
bool conf_vdev_open(struct conf *c, const struct conf_word *w);
bool conf_vdev_option(struct conf *c, const struct conf_word *w);
void conf_vdev_offer_all(struct conf *c, struct conf_near *near);
void conf_vdev_check_all(struct conf *c);
/* An unknown option of the open vdev is this one, misspelt. */
void conf_vdev_meant(struct conf *c, const char *option);
/* The vdev that is there without a line: number 0. Before any word. */
void conf_vdev_add_implicit(struct conf *c);

/* `intr` of the vdev with that number, or of something behind all of them: finds the PIC. */
void conf_vdev_check_intr(struct conf *c, unsigned index, struct conf_intr *intr);

/* conf_dump.c: a place as the file has it. */
void conf_place_dump(struct strbuf *out, const struct conf_loc *loc);

/* conf_pass.c */
bool conf_pass_option(struct conf *c, const struct conf_word *w);
void conf_pass_check_all(struct conf *c);
void conf_pass_dump(const struct conf_pass *pass, struct strbuf *out);

/* conf_set.c */
bool conf_set_read(struct conf *c, const struct conf_word *w);

#endif
