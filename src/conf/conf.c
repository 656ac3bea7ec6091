/* SPDX-License-Identifier: Apache-2.0 */
/* The conf as an object: its memory, and the reading of sources into words. */
#include "conf/conf_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE (16u << 10)

/* The arena: blocks that are freed together. */
struct conf_block {
	struct conf_block *next;
	size_t used, size;
	_Alignas(max_align_t) unsigned char data[];
};

void *conf_alloc(struct conf *c, size_t size)
{
	struct conf_block *block = c->priv->blocks;
	void *item;

	size = (size_t)align_up(size, _Alignof(max_align_t));
	if (!block || block->size - block->used < size) {
		size_t room = MAX(size, (size_t)BLOCK_SIZE);

		block = calloc(1, sizeof(*block) + room);
		if (!block) {
			c->priv->no_memory = true;
			return NULL;
		}
		block->size = room;
		block->next = c->priv->blocks;
		c->priv->blocks = block;
	}
	item = block->data + block->used;
	block->used += size;
	return item;
}

char *conf_strndup(struct conf *c, const char *text, size_t len)
{
	char *copy = conf_alloc(c, len + 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

void *conf_append(struct conf *c, void *array, unsigned *count, size_t size)
{
	unsigned n = *count;
	unsigned char *items;

	memcpy(&items, array, sizeof(items));
	/* The room is always a power of two, so it is used up when the count is one. */
	if (!(n & (n - 1))) {
		unsigned char *larger = conf_alloc(c, size * (n ? 2 * (size_t)n : 1));

		if (!larger)
			return NULL;
		if (n)
			memcpy(larger, items, size * n);
		items = larger;
		memcpy(array, &items, sizeof(items));
	}
	(*count)++;
	return items + size * n;
}

struct conf *conf_new(const struct conf_env *env)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->priv = calloc(1, sizeof(*c->priv));
	if (!c->priv) {
		free(c);
		return NULL;
	}
	if (env)
		c->priv->env = *env;
	c->unsupported[CONF_UNSUP_INSTRUCTION] = CONF_ACTION_FAIL;
	c->unsupported[CONF_UNSUP_REFERENCE] = CONF_ACTION_IGNORE;
	c->unsupported[CONF_UNSUP_REGISTER] = CONF_ACTION_FAIL;
	return c;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	while (c->priv->blocks) {
		struct conf_block *block = c->priv->blocks;

		c->priv->blocks = block->next;
		free(block);
	}
	free(c->priv);
	free(c);
}

static struct conf_source *conf_source_add(struct conf *c, const char *name)
{
	struct conf_source *source;

	source = conf_append(c, &c->priv->sources, &c->priv->num_sources, sizeof(*source));
	if (!source)
		return NULL;
	source->name = conf_strndup(c, name, strlen(name));
	return source->name ? source : NULL;
}

int conf_read_text(struct conf *c, const char *name, const char *text, size_t len)
{
	struct conf_source *source;
	char *copy;

	if (len > CONF_MAX_FILE) {
		conf_error(c, NULL, "'%s' is larger than a configuration file may be (%u bytes)",
			   name, CONF_MAX_FILE);
		return 0;
	}
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3; /* a byte order mark, as some editors write it */
		len -= 3;
	}
	source = conf_source_add(c, name);
	copy = conf_strndup(c, text, len);
	if (!source || !copy)
		return -ENOMEM;
	source->text = copy;
	source->len = len;
	return conf_lex_text(c, c->priv->num_sources);
}

/* The content of a file: 0, -EFBIG above the limit, or what the system said. */
static int conf_load_file(const char *path, char **ret_text, size_t *ret_len)
{
	const size_t room = CONF_MAX_FILE + 1;
	size_t len = 0;
	char *text;
	int fd, r = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	text = malloc(room);
	if (!text) {
		close(fd);
		return -ENOMEM;
	}
	while (len < room) {
		ssize_t n = read(fd, text + len, room - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	if (!r && len > CONF_MAX_FILE)
		r = -EFBIG;
	if (r) {
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}

static int conf_read_file(struct conf *c, const char *path, const struct conf_pos *pos)
{
	char *text = NULL;
	size_t len = 0;
	int r;

	if (!*path) {
		conf_error(c, pos, "'@' without the name of a file");
		conf_expected(c, "@FILE, for example @linux.qvmconf");
		return 0;
	}
	if (c->priv->num_files++ >= CONF_MAX_FILES) {
		conf_error(c, pos, "too many files (more than %u)", CONF_MAX_FILES);
		return 0;
	}
	r = conf_load_file(path, &text, &len);
	c->memory_seen |= r != 0;
	if (r == -EFBIG) {
		conf_error(c, pos, "'%s' is larger than a configuration file may be (%u bytes)",
			   path, CONF_MAX_FILE);
		return 0;
	}
	if (r) {
		conf_error(c, pos, "cannot read configuration file '%s': %s", path, strerror(-r));
		return 0;
	}
	r = conf_read_text(c, path, text, len);
	free(text);
	return r;
}

int conf_read_words(struct conf *c, unsigned first_number, char *const *words, unsigned count)
{
	struct conf_source *source = conf_source_add(c, "command line");
	uint32_t index = c->priv->num_sources;

	if (!source)
		return -ENOMEM;
	source->first_number = first_number;
	source->words = conf_alloc(c, sizeof(*source->words) * count);
	if (!source->words)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		const char *copy = conf_strndup(c, words[i], strlen(words[i]));

		if (!copy)
			return -ENOMEM;
		source->words[i] = copy;
	}
	source->num_words = count;
	for (unsigned i = 0; i < count; i++) {
		struct conf_pos pos = { index, first_number + i, 1, (uint32_t)strlen(words[i]) };
		int r;

		if (words[i][0] == '@')
			r = conf_read_file(c, words[i] + 1, &pos);
		else
			r = conf_lex_argument(c, index, first_number + i, words[i]);
		if (r)
			return r;
	}
	return 0;
}
