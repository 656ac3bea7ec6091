/* SPDX-License-Identifier: Apache-2.0 */
/* vdev-fuzz: look for what brings a vdev down, without any code of its author's. */
#include <getopt.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "vdevtest/command.h"
#include "vdevtest/fuzz.h"

enum { STATUS_USAGE = 2, DEFAULT_LIMIT_S = 20 };

static const char usage[] =
	"usage: vdev-fuzz [OPTION]... [WORD]... DIR/vdev-NAME.so [WORD]...\n"
	"       vdev-fuzz [OPTION]... @FILE... [WORD]...\n"
	"\n"
	"Drives vdevs with lines of vdev-test made at random: registers, PCI configuration, and "
	"VirtIO\n"
	"queues after a proper start, split and packed. Crashes, reports of sanitizers, errors "
	"that a\n"
	"vdev returns, and lines without an answer become short scripts for `vdev-test --script`. "
	"A\n"
	"shared object built with -fsanitize-coverage=trace-pc,trace-cmp (gcc) or trace-pc-guard "
	"or\n"
	"inline-8bit-counters (clang) guides it. The words are those of vdev-test.\n"
	"\n"
	"  --runs N              end after so many runs, each on a fresh bench\n"
	"  --seconds N           end after so many seconds (default 60 without --runs)\n"
	"  --corpus DIR          begin with the scripts in DIR, and keep new ones there\n"
	"  --corpus-only         run the scripts in DIR once each, short ones first, and end\n"
	"  --minimise DIR        with --corpus-only: write those to DIR that reach code that none "
	"before did\n"
	"  --crashes DIR         where scripts of crashes go (default: here)\n"
	"  --keep-going          do not end with the first\n"
	"  --seed N              of what is made (default 1)\n"
	"  --limit SECONDS       a line without an answer for so long is a hang (default 20)\n"
	"  --vdev-dir DIR        look for other vdevs in DIR first; repeatable\n"
	"  --stand-in [block:]PATH=FILE, char:PATH   what vdevs find at PATH; repeatable\n"
	"  --quiet               print only what was found, and the last line\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 nothing found; 1 something found; 2 wrong options; 65 the vdevs did not "
	"start.\n"
	"See vdev-fuzz(1).\n";

enum {
	OPT_RUNS = 256,
	OPT_SECONDS,
	OPT_CORPUS,
	OPT_CORPUS_ONLY,
	OPT_MINIMISE,
	OPT_CRASHES,
	OPT_KEEP_GOING,
	OPT_SEED,
	OPT_LIMIT,
	OPT_VDEV_DIR,
	OPT_STAND_IN,
	OPT_QUIET,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{ "runs", required_argument, NULL, OPT_RUNS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "corpus", required_argument, NULL, OPT_CORPUS },
	{ "corpus-only", no_argument, NULL, OPT_CORPUS_ONLY },
	{ "minimise", required_argument, NULL, OPT_MINIMISE },
	{ "crashes", required_argument, NULL, OPT_CRASHES },
	{ "keep-going", no_argument, NULL, OPT_KEEP_GOING },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "vdev-dir", required_argument, NULL, OPT_VDEV_DIR },
	{ "stand-in", required_argument, NULL, OPT_STAND_IN },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static int wrong(const char *what)
{
	fprintf(stderr, "vdev-fuzz: %s\nSee vdev-fuzz --help.\n", what);
	return STATUS_USAGE;
}

static int numbers(struct fuzz_setup *setup, int opt, const char *value)
{
	uint64_t number;

	if (!command_number(value, opt == OPT_RUNS || opt == OPT_SEED ? UINT64_MAX : INT32_MAX,
			    &number))
		return wrong("that option takes a number");
	if (!number && opt != OPT_SEED)
		return wrong("--runs, --seconds and --limit take at least 1");
	if (opt == OPT_RUNS)
		setup->runs = number;
	else if (opt == OPT_SEED)
		setup->seed = number;
	else if (opt == OPT_SECONDS)
		setup->seconds = (unsigned)number;
	else
		setup->limit_s = (unsigned)number;
	return -1;
}

/* -1: go on; else the exit status. */
static int option(struct fuzz_setup *setup, struct command *command, int opt, const char *value)
{
	switch (opt) {
	case OPT_RUNS:
	case OPT_SEED:
	case OPT_SECONDS:
	case OPT_LIMIT:
		return numbers(setup, opt, value);
	case OPT_CORPUS:
		setup->corpus = value;
		return -1;
	case OPT_CORPUS_ONLY:
		setup->corpus_only = true;
		return -1;
	case OPT_MINIMISE:
		setup->minimal = value;
		return -1;
	case OPT_CRASHES:
		setup->crashes = value;
		return -1;
	case OPT_KEEP_GOING:
		setup->keep_going = true;
		return -1;
	case OPT_VDEV_DIR:
		return command_dir(command, value) ? wrong("too many --vdev-dir") : -1;
	case OPT_STAND_IN:
		return command_standin(command, value)
			       ? wrong("--stand-in takes [block:]PATH=FILE or char:PATH")
			       : -1;
	case OPT_QUIET:
		setup->quiet = true;
		return -1;
	case OPT_HELP:
		fputs(usage, stdout);
		return 0;
	case OPT_VERSION:
		puts("vdev-fuzz (Bulkhead) " QVM_VERSION);
		return 0;
	default:
		return wrong("unknown option");
	}
}

static int is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int main(int argc, char **argv)
{
	struct command command = { .seed = 1 };
	struct fuzz_setup setup = {
		.command = &command, .seed = 1, .limit_s = DEFAULT_LIMIT_S, .crashes = "."
	};
	const char *why;
	int opt, status = -1;

	while (status < 0 && (opt = getopt_long(argc, argv, "+", long_options, NULL)) != -1)
		status = option(&setup, &command, opt, optarg);
	if (status >= 0)
		return status;
	why = command_words(&command, argv + optind, (unsigned)(argc - optind));
	if (!why && setup.corpus && !is_folder(setup.corpus))
		why = "--corpus is no folder";
	if (!why && setup.corpus_only && !setup.corpus)
		why = "--corpus-only needs --corpus";
	if (!why && setup.minimal && (!setup.corpus_only || !is_folder(setup.minimal)))
		why = "--minimise takes a folder, and --corpus-only";
	if (!why && !is_folder(setup.crashes))
		why = "--crashes is no folder";
	if (!setup.runs && !setup.seconds)
		setup.seconds = 60;
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	status = why ? wrong(why) : fuzz(&setup);
	command_free(&command);
	return status;
}
