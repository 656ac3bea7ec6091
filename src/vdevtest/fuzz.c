/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/log.h"
#include "base/util.h"
#include "vdevtest/coverage.h"
#include "vdevtest/input.h"
#include "vdevtest/qtest.h"

enum {
	ARENA = 64 << 20, /* bytes of all inputs worth keeping */
	MAX_KEPT = 1 << 16,
	MAX_FOUND = 64,
	RUNS_A_WORKER = 20000, /* what a vdev leaks ends with its worker */
	PLAIN_KEPT = 64,       /* without coverage: inputs to change */
	LOOK_MS = 20,
	REPORT_S = 5,
	MAX_REPORT = 1 << 16,
	MAX_TRIES = 400, /* runs to make a script shorter */
	MAX_HANG_TRIES = 4,
	MAX_GROWTH_KIB = 64 << 10, /* of the process, by one input */
};

/* Worker and parent both have it. */
struct shared {
	_Atomic uint64_t runs, lines; /* `lines` shows that it goes on */
	_Atomic unsigned places, num_kept;
	_Atomic bool done; /* the worker ended because it had to */
	unsigned corpus_at, corpus_len;
	unsigned line; /* of `text` that is being run, from 1 on */
	uint64_t dice;
	char what[256]; /* of a crash */
	bool broken, started, covered;
	size_t len;
	char text[INPUT_MAX_TEXT + 1];
	uint8_t known[COVERAGE_SIZE];
	size_t used;
	size_t kept[MAX_KEPT]; /* offsets in arena, each a string */
	char arena[ARENA];
};

struct found {
	char *what;
};

struct fuzzer {
	const struct fuzz_setup *setup;
	struct shared *shared;
	struct target target;
	const char *corpus[MAX_KEPT]; /* as it was at the start */
	struct found found[MAX_FOUND];
	unsigned num_found;
	int report_fd; /* a worker's stderr */
	double start;
};

/* For the handlers of the worker. */
static struct shared *current;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void on_crash(const char *what)
{
	snprintf(current->what, sizeof(current->what), "%s", what);
}

static void on_line(void *ctx, const char *text, size_t len)
{
	struct shared *s = ctx;

	if (strncmp(text, "FAIL a vdev failed", 18) == 0)
		snprintf(s->what, sizeof(s->what), "%.*s", (int)MIN(len, sizeof(s->what) - 1) - 5,
			 text + 5);
}

/* The most memory that this process has had. */
static long most_kib(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_maxrss;
}

/* Run the text on a fresh bench. False: a vdev returned an error, or took too much memory. */
static bool run_text(struct shared *s, const struct command *command)
{
	struct vdevtest *t = command_start(command);
	long before = most_kib();
	bool fine = true;

	if (!t)
		return true;
	s->started = true;
	struct qtest *q = qtest_create(t, on_line, s);
	const char *at = s->text;

	for (s->line = 1; *at && fine; s->line++) {
		size_t len = strcspn(at, "\n");

		if (len && at[0] != '#')
			fine = qtest_line(q, at, len) != QTEST_BROKEN;
		at += len + (at[len] == '\n');
		atomic_fetch_add_explicit(&s->lines, 1, memory_order_relaxed);
	}
	if (fine && most_kib() - before > MAX_GROWTH_KIB) {
		snprintf(s->what, sizeof(s->what), "an input takes more than %d MiB of memory",
			 MAX_GROWTH_KIB >> 10);
		fine = false;
	}
	qtest_free(q);
	vdevtest_end(t);
	s->broken = !fine;
	return fine;
}

/* A file whose name is what is in it. */
static void write_input(const char *folder, const char *text, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	char path[PATH_MAX];

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	snprintf(path, sizeof(path), "%s/%016" PRIx64 ".qtest", folder, hash);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd >= 0) {
		(void)!write(fd, text, len);
		close(fd);
	}
}

static void keep(struct fuzzer *f, const char *text, size_t len)
{
	struct shared *s = f->shared;
	unsigned n = s->num_kept;

	if (n == MAX_KEPT || s->used + len + 1 > ARENA)
		return;
	memcpy(s->arena + s->used, text, len);
	s->arena[s->used + len] = '\0';
	s->kept[n] = s->used;
	s->used += len + 1;
	atomic_store(&s->num_kept, n + 1);
	if (f->setup->corpus)
		write_input(f->setup->corpus, text, len);
}

static const char *kept(struct shared *s, struct dice *d)
{
	return s->num_kept ? s->arena + s->kept[dice_roll(d, s->num_kept)] : NULL;
}

static void next_text(struct fuzzer *f, struct dice *d, struct strbuf *text)
{
	struct shared *s = f->shared;
	const char *base = kept(s, d);

	strbuf_reset(text);
	if (!base || dice_roll(d, 10) == 0)
		input_make(d, &f->target, text);
	else
		input_change(d, &f->target, base, kept(s, d), text);
	s->len = MIN(text->len, (size_t)INPUT_MAX_TEXT);
	memcpy(s->text, strbuf_text(text), s->len);
	s->text[s->len] = '\0';
}

static bool is_over(const struct fuzzer *f)
{
	const struct fuzz_setup *setup = f->setup;

	if (setup->corpus_only)
		return f->shared->corpus_at == f->shared->corpus_len;
	return (setup->runs && f->shared->runs >= setup->runs) ||
	       (setup->seconds && now_s() - f->start >= setup->seconds);
}

static void worker_begin(struct fuzzer *f)
{
	static const struct log_sink nowhere = { .dest = LOG_TO_NONE };

	(void)!log_set_sinks(&nowhere, 1);
	(void)!ftruncate(f->report_fd, 0);
	lseek(f->report_fd, 0, SEEK_SET);
	dup2(f->report_fd, STDERR_FILENO);
	dup2(f->report_fd, STDOUT_FILENO);
	current = f->shared;
	crash_watch(on_crash);
}

/* Of a build that counts branches: the counts are written where a process ends by exit. */
__attribute__((weak)) void __gcov_dump(void);

_Noreturn static void worker_end(int status)
{
	if (__gcov_dump)
		exit(status);
	_exit(status);
}

static int by_length(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	size_t m = strlen(*x), n = strlen(*y);

	return m != n ? (m > n) - (m < n) : strcmp(*x, *y);
}

/* Run what the corpus has, once each, short ones first, from where the last worker ended. What
 * reaches new code is written to `minimal`. */
static void work_corpus(struct fuzzer *f)
{
	struct shared *s = f->shared;
	unsigned places;

	while (s->corpus_at < s->corpus_len) {
		const char *text = f->corpus[s->corpus_at++];

		s->len = strlen(text);
		memcpy(s->text, text, s->len + 1);
		coverage_reset();
		if (!run_text(s, f->setup->command))
			worker_end(1);
		if (coverage_merge(s->known, !f->setup->minimal, &places) && f->setup->minimal)
			write_input(f->setup->minimal, s->text, s->len);
		s->covered = coverage_is_there();
		if (places > s->places)
			s->places = places;
		atomic_fetch_add(&s->runs, 1);
	}
}

/* Make and run inputs until it is over. */
static void work(struct fuzzer *f)
{
	struct shared *s = f->shared;
	struct dice d = { s->dice };
	struct strbuf text = { 0 };

	work_corpus(f);
	for (unsigned i = 0; i < RUNS_A_WORKER && !is_over(f); i++) {
		unsigned places;

		next_text(f, &d, &text);
		s->dice = d.state;
		coverage_reset();
		if (!run_text(s, f->setup->command))
			worker_end(1);
		bool fresh = coverage_merge(s->known, true, &places);

		s->covered = coverage_is_there();
		if (!s->covered)
			fresh = s->num_kept < PLAIN_KEPT;
		if (places > s->places)
			s->places = places;
		if (fresh)
			keep(f, s->text, s->len);
		atomic_fetch_add(&s->runs, 1);
	}
	s->done = true;
	worker_end(0);
}

/* Wait for the child; true if it hung and was killed. */
static bool watch(struct fuzzer *f, pid_t child, int *ret_status)
{
	uint64_t lines = f->shared->lines;
	double moved = now_s(), said = moved;

	while (waitpid(child, ret_status, WNOHANG) == 0) {
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
		double now = now_s();

		if (f->shared->lines != lines) {
			lines = f->shared->lines;
			moved = now;
		} else if (now - moved > f->setup->limit_s) {
			kill(child, SIGKILL);
			waitpid(child, ret_status, 0);
			return true;
		}
		if (!f->setup->quiet && now - said > REPORT_S) {
			said = now;
			fprintf(stderr, "vdev-fuzz: %" PRIu64 " runs, %.0f a second, %u kept\n",
				f->shared->runs, (double)f->shared->runs / (now - f->start),
				f->shared->num_kept);
		}
	}
	return false;
}

/* The line of a sanitizer's report that says what it is, without addresses. */
static bool report_line(struct fuzzer *f, char *ret, size_t size)
{
	static char report[MAX_REPORT];
	ssize_t n = pread(f->report_fd, report, sizeof(report) - 1, 0);
	char *at;

	report[MAX(n, 0)] = '\0';
	at = strstr(report, "SUMMARY: ");
	if (!at)
		at = strstr(report, "runtime error: ");
	if (!at)
		return false;
	snprintf(ret, size, "%.*s", (int)strcspn(at, "\n"), at);
	return true;
}

/* Why the child ended; false: it did well. */
static bool verdict(struct fuzzer *f, bool hung, int status, char *ret, size_t size)
{
	const struct shared *s = f->shared;

	if (s->done && !hung)
		return false;
	if (hung)
		snprintf(ret, size, "no answer within %u s", f->setup->limit_s);
	else if (report_line(f, ret, size))
		return true;
	else if (WIFSIGNALED(status) || *s->what)
		snprintf(ret, size, "%s", *s->what ? s->what : "a signal");
	else
		snprintf(ret, size, "the process ended with status %d", WEXITSTATUS(status));
	return true;
}

static void child_prepare(struct fuzzer *f)
{
	f->shared->done = false;
	f->shared->what[0] = '\0';
}

/* Does the text end as `what` says? *ret_line: in which line. */
static bool ends_as(struct fuzzer *f, const char *text, size_t len, const char *what,
		    unsigned *ret_line)
{
	struct shared *s = f->shared;
	char why[256] = "";
	int status = 0;

	child_prepare(f);
	s->len = len;
	memcpy(s->text, text, len);
	s->text[len] = '\0';
	pid_t child = fork();

	if (child == 0) {
		worker_begin(f);
		s->done = run_text(s, f->setup->command);
		_exit(0);
	}
	bool hung = watch(f, child, &status);

	if (!verdict(f, hung, status, why, sizeof(why)) || strcmp(why, what) != 0)
		return false;
	*ret_line = s->line;
	return true;
}

static size_t lines_length(const char *text, unsigned n)
{
	const char *at = text;

	for (; n && *at; n--)
		at += strcspn(at, "\n") + 1;
	return (size_t)(at - text);
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* Take away what is not needed: halves, quarters, ... single lines. text is changed in place. */
static void shorten(struct fuzzer *f, char *text, const char *what, unsigned tries)
{
	char *trial = malloc(INPUT_MAX_TEXT + 1);
	unsigned line;

	for (unsigned chunk = MAX(count_lines(text) / 2, 1u); trial && tries;) {
		bool less = false;

		for (unsigned from = 0; from < count_lines(text) && tries; tries--) {
			size_t a = lines_length(text, from), b = lines_length(text, from + chunk),
			       len = strlen(text);

			memcpy(trial, text, a);
			memcpy(trial + a, text + b, len - b);
			if (ends_as(f, trial, a + len - b, what, &line)) {
				trial[a + len - b] = '\0';
				strcpy(text, trial);
				less = true;
			} else {
				from += chunk;
			}
		}
		if (chunk == 1 && !less)
			break;
		chunk = MAX(chunk / 2, 1u);
	}
	free(trial);
}

/* For a shell, on one line. */
static void quote(FILE *out, const char *word)
{
	fputs(" '", out);
	for (; *word; word++) {
		if (*word == '\n')
			fputs("'$'\\n''", out);
		else if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	}
	fputc('\'', out);
}

static void script_write(struct fuzzer *f, const char *text, const char *what, bool again)
{
	const struct command *c = f->setup->command;
	char path[PATH_MAX];
	unsigned number = f->num_found;
	FILE *out;

	/* What an earlier run has found stays. */
	do {
		snprintf(path, sizeof(path), "%s/crash-%u.qtest", f->setup->crashes, number++);
		out = fopen(path, "wxe");
	} while (!out && errno == EEXIST);
	printf("found: %s\n", what);
	if (!out) {
		printf("%s: %s\n%s", path, strerror(errno), text);
		return;
	}
	fprintf(out, "# %s\n# vdev-test --script FILE --seed %" PRIu64, what, c->seed);
	for (unsigned i = 0; i < c->num_dirs; i++)
		fprintf(out, " --vdev-dir %s", c->dirs[i]);
	for (unsigned i = 0; i < c->num_standins; i++)
		fprintf(out, " --stand-in %s", c->standins[i]);
	for (unsigned i = 0; i < c->num_words; i++)
		quote(out, c->words[i]);
	fprintf(out, "\n%s", text);
	fclose(out);
	printf("%s: %u lines%s\n", path, count_lines(text),
	       again ? "" : ", which did not do it a second time");
}

static void crashed(struct fuzzer *f, const char *what, bool hung)
{
	struct shared *s = f->shared;
	unsigned line = s->line;
	char *text;

	for (unsigned i = 0; i < f->num_found; i++)
		if (strcmp(f->found[i].what, what) == 0)
			return;
	if (f->num_found == MAX_FOUND)
		return;
	f->found[f->num_found++].what = strdup(what);
	text = malloc(INPUT_MAX_TEXT + 2);
	if (!text)
		return;
	memcpy(text, s->text, s->len + 1);
	text[lines_length(text, line)] = '\0';
	bool again = ends_as(f, text, strlen(text), what, &line);

	/* It may be the end of the bench that brings it. */
	if (!again) {
		memcpy(text, s->text, s->len + 1);
		again = ends_as(f, text, strlen(text), what, &line);
	}
	if (again)
		shorten(f, text, what, hung ? MAX_HANG_TRIES : MAX_TRIES);
	script_write(f, text, what, again);
	free(text);
}

/* Every file of the corpus is an input to begin with. */
static void corpus_read(struct fuzzer *f)
{
	DIR *dir = f->setup->corpus ? opendir(f->setup->corpus) : NULL;
	static char text[INPUT_MAX_TEXT + 1];
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		int fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
		ssize_t n = e->d_name[0] == '.' || fd < 0 ? -1 : read(fd, text, INPUT_MAX_TEXT - 1);
		struct shared *s = f->shared;

		if (n > 0 && s->num_kept < MAX_KEPT && s->used + (size_t)n + 2 < ARENA) {
			if (text[n - 1] != '\n')
				text[n++] = '\n';
			memcpy(s->arena + s->used, text, (size_t)n);
			s->kept[s->num_kept++] = s->used;
			s->used += (size_t)n + 1;
		}
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
	for (unsigned i = 0; i < f->shared->num_kept; i++)
		f->corpus[i] = f->shared->arena + f->shared->kept[i];
	f->shared->corpus_len = f->shared->num_kept;
	qsort(f->corpus, f->shared->corpus_len, sizeof(f->corpus[0]), by_length);
}

/* What is there, looked at in a process of its own, since looking changes it. False: no start. */
static bool look(struct fuzzer *f)
{
	struct target *target = mmap(NULL, sizeof(*target), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 1;

	if (target == MAP_FAILED)
		return false;
	fflush(stdout);
	pid_t child = fork();

	if (child == 0) {
		struct vdevtest *t = command_start(f->setup->command);

		if (!t) {
			fputs(vdevtest_errors(), stderr);
			_exit(FUZZ_START_FAILED);
		}
		target_look_at(t, target);
		_exit(0);
	}
	waitpid(child, &status, 0);
	f->target = *target;
	munmap(target, sizeof(*target));
	return status == 0;
}

static void summary(const struct fuzzer *f)
{
	const struct shared *s = f->shared;
	double took = now_s() - f->start;

	printf("%" PRIu64 " runs of %" PRIu64 " lines in %.1f s, %.0f a second; %u inputs kept, ",
	       s->runs, s->lines, took, (double)s->runs / MAX(took, 1e-9), s->num_kept);
	if (s->covered)
		printf("at most %u places in one; ", s->places);
	else
		printf("no coverage in the shared object; ");
	printf("%u found\n", f->num_found);
}

int fuzz(const struct fuzz_setup *setup)
{
	static struct fuzzer f;

	f = (struct fuzzer){ .setup = setup, .start = now_s() };

	if (!look(&f))
		return FUZZ_START_FAILED;
	f.shared = mmap(NULL, sizeof(*f.shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	f.report_fd = memfd_create("report", MFD_CLOEXEC);
	if (f.shared == MAP_FAILED || f.report_fd < 0) {
		fprintf(stderr, "vdev-fuzz: %s\n", strerror(errno));
		return FUZZ_START_FAILED;
	}
	f.shared->dice = setup->seed;
	corpus_read(&f);
	while (!is_over(&f) && (setup->keep_going || !f.num_found)) {
		char what[256] = "";
		int status = 0;

		child_prepare(&f);
		fflush(stdout);
		pid_t child = fork();

		if (child == 0) {
			worker_begin(&f);
			work(&f);
		}
		if (child < 0)
			break;
		bool hung = watch(&f, child, &status);

		/* The run that failed counts, and the next worker makes others. */
		if (verdict(&f, hung, status, what, sizeof(what))) {
			atomic_fetch_add(&f.shared->runs, 1);
			crashed(&f, what, hung);
			dice_roll((struct dice *)&f.shared->dice, 0);
		}
	}
	summary(&f);
	for (unsigned i = 0; i < f.num_found; i++)
		free(f.found[i].what);
	close(f.report_fd);
	munmap(f.shared, sizeof(*f.shared));
	return f.num_found ? FUZZ_FOUND : FUZZ_CLEAN;
}
