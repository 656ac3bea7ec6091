/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a row's cases over the vdevs and kinds of rings, by one transport. */
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "hostile.h"

enum { CASE_SECONDS = 30, MAX_NAMES = 8192, LEAST_CASES = 400, MAX_COMMON = 64, SEED = 7 };

#define PICS   "vdev ioapic name ioapic vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0 "
#define MEMORY "ram 0,0xa0000 reserve loc 0xa0000,0x20000 rom 0xc0000,0x40000 ram 1m,7m "

/* DISK, FULL: a file of 64 KiB; a pipe that nobody reads and that is soon full. */
static const struct subject subjects[] = {
	{ "virtio-entropy", "vdev virtio-entropy", true, 0 },
	{ "virtio-blk", "vdev virtio-blk hostdev DISK", true, 0 },
	{ "virtio-net", "vdev virtio-net tapdev tap0", true, 1 },
	{ "virtio-console", "vdev virtio-console hostdev >/dev/null", true, 1 },
	{ "virtio-console full", "vdev virtio-console hostdev >FULL", false, 0 },
	{ "ser8250", "vdev ser8250 intr ioapic:4 hostdev >FULL", false, 0 },
	{ "mc146818", "vdev mc146818 intr ioapic:8", false, 0 },
	{ "timer8254", "vdev timer8254 intr ioapic:0", false, 0 },
	{ "hpet", "vdev hpet intr ioapic:0,ioapic:8,ioapic:11", false, 0 },
	{ "pckeyboard", "vdev pckeyboard", false, 0 },
	{ "wdt-ib700", "vdev wdt-ib700", false, 0 },
	{ "pci-dummy", "vdev pci-dummy vendor 8086 device 2918", false, 0 },
	{ "trace", "vdev trace loc 0xfa000000", false, 0 },
};

static const struct transport *const transports[] = { &transport_pci, &transport_mmio };

static const struct row {
	const char *id;
	void (*run)(struct guest *g);
	bool virtio_only;
} rows[] = {
	{ "B1", row_b1, true },	   { "B2", row_b2, true },   { "B3", row_b3, true },
	{ "B4", row_b4, true },	   { "B5", row_b5, true },   { "B6", row_b6, true },
	{ "B7", row_b7, true },	   { "B8", row_b8, false },  { "B9", row_b9, true },
	{ "B10", row_b10, true },  { "B11", row_b11, true }, { "B12", row_b12, true },
	{ "B16", row_b16, false }, { "C", row_c, true },
};

static char folder[] = "/tmp/hostile-XXXXXX";
static struct guest guest;
static struct vdevtest_region common[MAX_COMMON];
static unsigned num_common;
/* Which cases: a part of their names; one of so many; what they are reached by. */
static const char *only;
static unsigned every = 1;
static unsigned num_here; /* cases of this row and vdev so far */
static const struct transport *transport = &transport_pci;
static struct {
	const char *row;
	char *name;
} names[MAX_NAMES];
static unsigned num_names;

long rss_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Of the sanitizers, where the program is built with them. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*func)(void));
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

size_t heap_bytes(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static void say_where(void)
{
	dprintf(STDERR_FILENO, "hostile %s, %s, %s, %s ring: %s\n", guest.row, guest.subject->name,
		guest.transport->name, guest.packed ? "packed" : "split", guest.name);
}

static void on_alarm(int number)
{
	(void)number;
	say_where();
	dprintf(STDERR_FILENO, "    it hangs\n");
	_exit(1);
}

void fail(struct guest *g, const char *fmt, ...)
{
	va_list args;

	if (!g->failed)
		say_where();
	va_start(args, fmt);
	fputs("    ", stderr);
	vfprintf(stderr, fmt, args);
	fputs("\n", stderr);
	va_end(args);
	g->num_failed += !g->failed;
	g->failed = true;
}

static void remember(const char *row, const char *name)
{
	for (unsigned i = num_names; i-- > 0 && strcmp(names[i].row, row) == 0;)
		if (strcmp(names[i].name, name) == 0)
			return;
	if (num_names == MAX_NAMES)
		exit(1);
	names[num_names].row = row;
	names[num_names++].name = strdup(name);
}

static char *words_of(const struct subject *s, const char *place)
{
	static char words[1024];
	char *at = words + sprintf(words, MEMORY PICS);

	for (const char *p = s->words; *p;) {
		if (strncmp(p, "DISK", 4) == 0 || strncmp(p, "FULL", 4) == 0) {
			at += sprintf(at, "%s/%.4s", folder, p);
			p += 4;
		} else {
			*at++ = *p++;
		}
	}
	sprintf(at, " %s", place);
	return words;
}

void bench_again(struct guest *g)
{
	g->t = vdevtest_start_stepped(words_of(g->subject, g->transport->place), SEED);
	if (!g->t) {
		fprintf(stderr, "%s: %s\n", g->subject->name, vdevtest_errors());
		exit(1);
	}
	for (unsigned dev = 1; dev < 32; dev++)
		vdevtest_pci_write(g->t, dev, 4, 2, 7); /* without that their BARs are nowhere */
	if (g->subject->virtio && !g->transport->find(g)) {
		fprintf(stderr, "%s: not found\n", g->subject->name);
		exit(1);
	}
	if (g->subject->virtio) {
		(void)reset(g);
		(void)negotiate(g, UINT64_MAX);
		(void)reset(g);
	}
}

/* The first of a row, and other ones for each vdev and kind of ring. */
static bool in_sample(const struct guest *g)
{
	unsigned shift = 2 * (unsigned)(g->subject - subjects) + g->packed;

	return !num_here++ || (num_here + shift) % every == 0;
}

bool case_begin(struct guest *g, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(g->name, sizeof(g->name), fmt, args);
	va_end(args);
	remember(g->row, g->name);
	if (g->listing || (only && !strstr(g->name, only)) || !in_sample(g))
		return false;
	g->failed = false;
	g->num_cases++;
	alarm(CASE_SECONDS);
	return true;
}

/* A request like any driver's comes back. */
static void serves(struct guest *g)
{
	unsigned id, got = 0;
	uint32_t len;

	start(g);
	unsigned want = offer_plain(g, g->subject->queue);

	kick(g, g->subject->queue);
	run(g);
	for (unsigned i = 0; i < 100 && !got; i++) {
		got = used(g, g->subject->queue, &id, &len);
		if (!got)
			(void)vdevtest_wait(g->t);
	}
	if (!got || id != want || status(g) != STATUS_RUNNING)
		fail(g, "afterwards the device does not serve a proper driver");
}

void case_end(struct guest *g)
{
	if (g->subject->virtio)
		serves(g);
	alarm(0);
	if (!g->failed)
		return;
	vdevtest_end(g->t);
	bench_again(g);
}

static void common_find(void)
{
	struct vdevtest *t = vdevtest_start_stepped(MEMORY PICS, SEED);

	if (!t)
		exit(1);
	num_common = vdevtest_regions(t, common, MAX_COMMON);
	vdevtest_end(t);
}

bool is_common(const struct vdevtest_region *r)
{
	for (unsigned i = 0; i < num_common; i++)
		if (common[i].space == r->space && common[i].start == r->start)
			return true;
	return false;
}

static void files_make(void)
{
	char path[64];
	int fd;

	if (!mkdtemp(folder))
		exit(1);
	snprintf(path, sizeof(path), "%s/DISK", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 1 << 16))
		exit(1);
	close(fd);
	snprintf(path, sizeof(path), "%s/FULL", folder);
	/* Held open for reading and writing, so that the vdev finds a reader; and full. */
	fd = mkfifo(path, 0600) ? -1 : open(path, O_RDWR | O_NONBLOCK);
	if (fd < 0)
		exit(1);
	while (write(fd, path, 1) == 1)
		;
}

static void files_remove(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/DISK", folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/FULL", folder);
	unlink(path);
	rmdir(folder);
}

static void row_run(struct guest *g, const struct row *row, const struct subject *subject,
		    bool packed)
{
	g->row = row->id;
	g->subject = subject;
	g->transport = transport;
	g->packed = packed;
	num_here = 0;
	bench_again(g);
	row->run(g);
	vdevtest_end(g->t);
}

static void row_over_all(struct guest *g, const struct row *row)
{
	for (unsigned s = 0; s < sizeof(subjects) / sizeof(subjects[0]); s++) {
		const struct subject *subject = &subjects[s];

		if (subject->virtio) {
			row_run(g, row, subject, false);
			row_run(g, row, subject, true);
		} else if (!row->virtio_only && transport == transports[0]) {
			row_run(g, row, subject, false);
		}
	}
}

static const struct transport *transport_find(const char *name)
{
	for (unsigned i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (strcmp(transports[i]->name, name) == 0)
			return transports[i];
	return NULL;
}

/* False: it makes no sense. */
static bool arguments(int argc, char **argv, const char **ret_row)
{
	static const struct option options[] = { { "transport", required_argument, NULL, 't' },
						 { "every", required_argument, NULL, 'e' },
						 { "list", no_argument, NULL, 'l' },
						 { NULL, 0, NULL, 0 } };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 't')
			transport = transport_find(optarg);
		else if (opt == 'e')
			every = (unsigned)atoi(optarg);
		else if (opt == 'l')
			guest.listing = true;
		else
			return false;
	}
	*ret_row = optind < argc ? argv[optind] : NULL;
	only = optind + 1 < argc ? argv[optind + 1] : NULL;
	return transport && every && !*ret_row == guest.listing;
}

int main(int argc, char **argv)
{
	static const struct log_sink nowhere = { .dest = LOG_TO_NONE };
	const char *wanted;

	if (!arguments(argc, argv, &wanted)) {
		fprintf(stderr,
			"usage: hostile [--transport PCI|MMIO] [--every N] ROW|all [PART OF A "
			"CASE'S NAME]\n"
			"       hostile --list\n");
		return 2;
	}
	bool list = guest.listing, found = list;

	/* What devices say of a driver like this would hide what the cases say. */
	(void)!log_set_sinks(&nowhere, 1);
	signal(SIGALRM, on_alarm);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_where);
	files_make();
	atexit(files_remove);
	common_find();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned before = num_names;

		if (!list && strcmp(wanted, "all") != 0 && strcmp(wanted, rows[i].id) != 0)
			continue;
		found = true;
		row_over_all(&guest, &rows[i]);
		printf("hostile %s: %u cases, ", rows[i].id, num_names - before);
		printf(list ? "not run\n" : "%u runs, %u failed\n", guest.num_cases,
		       guest.num_failed);
	}
	if (list) {
		for (unsigned i = 0; i < num_names; i++)
			printf("%s %s\n", names[i].row, names[i].name);
		printf("%u cases\n", num_names);
		return num_names < LEAST_CASES;
	}
	for (unsigned i = 0; i < num_names; i++)
		free(names[i].name);
	return !found || guest.num_failed || !guest.num_cases;
}
