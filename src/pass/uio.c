/* SPDX-License-Identifier: Apache-2.0 */
#include "pass/uio.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pass/host.h"

#define CLASS "/sys/class/uio"
#define IRQS  "/sys/kernel/irq"

bool uio_map_read(unsigned uio, unsigned number, struct uio_map *ret)
{
	char path[PATH_MAX];
	const struct {
		const char *name;
		uint64_t *value;
	} files[] = { { "addr", &ret->addr }, { "size", &ret->size }, { "offset", &ret->offset } };

	*ret = (struct uio_map){ .uio = uio, .number = number };
	for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), CLASS "/uio%u/maps/map%u/%s", uio, number,
			 files[i].name);
		if (host_number(path, files[i].value))
			return false;
	}
	return true;
}

/* Call `each` with the number of every UIO device until it returns true. */
static bool each_uio(bool (*each)(void *ctx, unsigned uio), void *ctx)
{
	struct dirent **names;
	int n = scandir(CLASS, &names, NULL, alphasort);
	bool done = false;
	unsigned uio;

	for (int i = 0; i < n; i++) {
		if (!done && sscanf(names[i]->d_name, "uio%u", &uio) == 1)
			done = each(ctx, uio);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return done;
}

struct memory_search {
	uint64_t addr, len;
	struct uio_map *found;
};

static bool memory_each(void *ctx, unsigned uio)
{
	struct memory_search *s = ctx;

	for (unsigned i = 0; i < UIO_MAX_MAPS; i++)
		if (uio_map_read(uio, i, s->found) &&
		    range_inside(s->addr, s->len, s->found->addr + s->found->offset,
				 s->found->size))
			return true;
	return false;
}

bool uio_find_memory(uint64_t addr, uint64_t len, struct uio_map *ret)
{
	struct memory_search s = { addr, len, ret };

	return each_uio(memory_each, &s);
}

static bool ports_each(void *ctx, unsigned uio)
{
	const struct memory_search *s = ctx;
	char path[PATH_MAX];
	uint64_t start, size;

	for (unsigned i = 0; i < UIO_MAX_MAPS; i++) {
		snprintf(path, sizeof(path), CLASS "/uio%u/portio/port%u/start", uio, i);
		if (host_number(path, &start))
			continue;
		snprintf(path, sizeof(path), CLASS "/uio%u/portio/port%u/size", uio, i);
		if (!host_number(path, &size) && range_inside(s->addr, s->len, start, size))
			return true;
	}
	return false;
}

bool uio_has_ports(uint64_t port, uint64_t len)
{
	struct memory_search s = { port, len, NULL };

	return each_uio(ports_each, &s);
}

/* A line of text, without its end. */
static bool line_read(const char *path, char *text, size_t len)
{
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	bool ok = fgets(text, (int)len, file) != NULL;

	fclose(file);
	if (ok)
		text[strcspn(text, "\n")] = 0;
	return ok;
}

struct caller {
	void (*each)(void *ctx, unsigned uio, const char *name);
	void *ctx;
};

static bool call_each(void *ctx, unsigned uio)
{
	const struct caller *c = ctx;
	char path[PATH_MAX], name[UIO_NAME_LEN];

	snprintf(path, sizeof(path), CLASS "/uio%u/name", uio);
	c->each(c->ctx, uio, line_read(path, name, sizeof(name)) ? name : "-");
	return false;
}

void uio_each(void (*each)(void *ctx, unsigned uio, const char *name), void *ctx)
{
	struct caller c = { each, ctx };

	(void)each_uio(call_each, &c);
}

struct name_search {
	const char *actions; /* names separated by commas */
	unsigned uio, num;   /* the first one, how many */
};

static bool is_among(const char *actions, const char *name)
{
	const size_t len = strlen(name);

	for (const char *at = actions; len && at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, name, len) && (!at[len] || at[len] == ','))
			return true;
	}
	return false;
}

static bool name_each(void *ctx, unsigned uio)
{
	struct name_search *s = ctx;
	char path[PATH_MAX], name[UIO_NAME_LEN];

	snprintf(path, sizeof(path), CLASS "/uio%u/name", uio);
	if (line_read(path, name, sizeof(name)) && is_among(s->actions, name) && !s->num++)
		s->uio = uio;
	return false;
}

unsigned uio_find_interrupt(uint32_t number, unsigned *ret_uio)
{
	struct dirent **names;
	char path[PATH_MAX], actions[256];
	uint64_t hwirq;
	int n = scandir(IRQS, &names, NULL, alphasort);
	unsigned found = 0;

	for (int i = 0; i < n; i++) {
		struct name_search s = { .actions = actions };

		snprintf(path, sizeof(path), IRQS "/%s/hwirq", names[i]->d_name);
		if (!found && names[i]->d_name[0] != '.' && !host_number(path, &hwirq) &&
		    hwirq == number) {
			snprintf(path, sizeof(path), IRQS "/%s/actions", names[i]->d_name);
			if (line_read(path, actions, sizeof(actions)))
				(void)each_uio(name_each, &s);
			found = s.num;
			*ret_uio = s.uio;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return found;
}

/* /proc/iomem or /proc/ioports: what has part of the range; inner ones come after what they are in.
 */
static bool resource_find(const char *path, uint64_t start, uint64_t len,
			  bool (*counts)(const char *name), char ret_name[UIO_NAME_LEN],
			  uint64_t *ret_last)
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	while (file && fgets(line, sizeof(line), file)) {
		uint64_t first, last;
		int at = 0;

		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, " %" SCNx64 "-%" SCNx64 " : %n", &first, &last, &at) != 2 || !at ||
		    last < first || !range_overlaps(first, last - first + 1, start, len) ||
		    !counts(line + at))
			continue;
		snprintf(ret_name, UIO_NAME_LEN, "%.*s", UIO_NAME_LEN - 1, line + at);
		*ret_last = last;
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static bool is_ram(const char *name)
{
	return !strncmp(name, "System RAM", strlen("System RAM")) ||
	       !strncmp(name, "Kernel", strlen("Kernel"));
}

static bool is_any(const char *name)
{
	return name[0] != 0;
}

/* A bus, a BAR, a firmware's list: they reserve a place for a driver to come. */
static bool is_driver(const char *name)
{
	unsigned a, b, c, d;

	return name[0] && strncmp(name, "PCI ", 4) != 0 && strncmp(name, "pnp ", 4) != 0 &&
	       sscanf(name, "%x:%x:%x.%x", &a, &b, &c, &d) != 4;
}

enum host_use host_use_memory(uint64_t addr, uint64_t len, char ret_name[UIO_NAME_LEN])
{
	uint64_t last;

	if (resource_find("/proc/iomem", addr, len, is_ram, ret_name, &last))
		return HOST_USE_RAM;
	return resource_find("/proc/iomem", addr, len, is_any, ret_name, &last) ? HOST_USE_NAMED
										: HOST_USE_NOTHING;
}

bool host_memory_at(uint64_t addr, char ret_name[UIO_NAME_LEN], uint64_t *ret_last)
{
	return resource_find("/proc/iomem", addr, 1, is_any, ret_name, ret_last);
}

enum host_use host_use_ports(uint64_t port, uint64_t len, char ret_name[UIO_NAME_LEN])
{
	uint64_t last;

	return resource_find("/proc/ioports", port, len, is_driver, ret_name, &last)
		       ? HOST_USE_NAMED
		       : HOST_USE_NOTHING;
}
