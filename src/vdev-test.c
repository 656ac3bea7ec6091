/* SPDX-License-Identifier: Apache-2.0 */
/* vdev-test: any vdev without a VM, in virtual time, driven by qtest lines. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vdevtest/command.h"
#include "vdevtest/measure.h"
#include "vdevtest/qtest.h"
#include "vdevtest/script.h"

enum { STATUS_DIVERGED = 1, STATUS_USAGE = 2, STATUS_START_FAILED = 65 };

static const char usage[] =
	"usage: vdev-test [OPTION]... [WORD]... DIR/vdev-NAME.so [WORD]...\n"
	"       vdev-test [OPTION]... @FILE... [WORD]...\n"
	"\n"
	"Runs vdevs without a VM, without KVM, in virtual time, and answers the lines of QEMU's "
	"qtest\n"
	"and more on standard input and output. The words are those of a configuration file: "
	"behind\n"
	"the shared object the vdev's options, before it what it needs (`vdev ioapic name "
	"ioapic`).\n"
	"There are 16 MiB of RAM if they do not say otherwise.\n"
	"\n"
	"  --script FILE         take the lines from FILE; # is a comment. A wrong line ends it\n"
	"  --connect PATH        speak on a unix socket that somebody listens on (as QEMU does)\n"
	"  --listen PATH         listen on a unix socket, for one peer\n"
	"  --quiet               with --script: do not print what comes back\n"
	"  --seed N              of all random numbers (default 1)\n"
	"  --trace FILE          write requests and what came back; same script and seed, same "
	"bytes\n"
	"  --replay FILE         make the requests of a trace again, up to the first difference\n"
	"  --fail CALL:NTH:ERRNO[:TIMES]   the NTH call of the host by a vdev fails, from the "
	"start on\n"
	"  --limit SECONDS       end if a request takes longer (default 60; 0: never)\n"
	"  --vdev-dir DIR        look for other vdevs in DIR first; repeatable\n"
	"  --stand-in [block:]PATH=FILE, char:PATH   what vdevs find at PATH; repeatable\n"
	"  --measure             print how fast this is, with this vdev\n"
	"  --list                print the requests\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 all well; 1 x-expect failed or the trace differs; 2 wrong options or a "
	"wrong\n"
	"line; 65 the vdevs did not start; 124 no answer within the limit.\n"
	"See vdev-test(1).\n";

struct arguments {
	const char *script, *connect, *listen, *trace, *replay;
	unsigned limit_s;
	bool quiet, measure;
	struct command command;
};

static int wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int wrong(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("vdev-test: ", stderr);
	vfprintf(stderr, fmt, args);
	fputs("\nSee vdev-test --help.\n", stderr);
	va_end(args);
	return STATUS_USAGE;
}

enum {
	OPT_SCRIPT = 256,
	OPT_CONNECT,
	OPT_LISTEN,
	OPT_QUIET,
	OPT_SEED,
	OPT_TRACE,
	OPT_REPLAY,
	OPT_FAIL,
	OPT_LIMIT,
	OPT_VDEV_DIR,
	OPT_STAND_IN,
	OPT_MEASURE,
	OPT_LIST,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{ "script", required_argument, NULL, OPT_SCRIPT },
	{ "connect", required_argument, NULL, OPT_CONNECT },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "replay", required_argument, NULL, OPT_REPLAY },
	{ "fail", required_argument, NULL, OPT_FAIL },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "vdev-dir", required_argument, NULL, OPT_VDEV_DIR },
	{ "stand-in", required_argument, NULL, OPT_STAND_IN },
	{ "measure", no_argument, NULL, OPT_MEASURE },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static int list(void)
{
	const char *name;

	for (unsigned i = 0; (name = qtest_name(i)); i++)
		puts(name);
	return 0;
}

/* -1: go on; else the exit status. */
static int option(struct arguments *args, int opt, char *value)
{
	uint64_t number;

	switch (opt) {
	case OPT_SCRIPT:
		args->script = value;
		return -1;
	case OPT_CONNECT:
		args->connect = value;
		return -1;
	case OPT_LISTEN:
		args->listen = value;
		return -1;
	case OPT_QUIET:
		args->quiet = true;
		return -1;
	case OPT_SEED:
		args->command.has_seed = command_number(value, UINT64_MAX, &args->command.seed);
		return args->command.has_seed ? -1 : wrong("--seed: '%s' is no number", value);
	case OPT_TRACE:
		args->trace = value;
		return -1;
	case OPT_REPLAY:
		args->replay = value;
		return -1;
	case OPT_FAIL:
		return command_fail(&args->command, value)
			       ? wrong("--fail CALL:NTH:ERRNO[:TIMES], not '%s'", value)
			       : -1;
	case OPT_LIMIT:
		if (!command_number(value, UINT32_MAX, &number))
			return wrong("--limit: '%s' is no number of seconds", value);
		args->limit_s = (unsigned)number;
		return -1;
	case OPT_VDEV_DIR:
		return command_dir(&args->command, value) ? wrong("%s", "too many --vdev-dir") : -1;
	case OPT_STAND_IN:
		return command_standin(&args->command, value)
			       ? wrong("--stand-in [block:]PATH=FILE or char:PATH, not '%s'", value)
			       : -1;
	case OPT_MEASURE:
		args->measure = true;
		return -1;
	case OPT_LIST:
		return list();
	case OPT_HELP:
		fputs(usage, stdout);
		return 0;
	case OPT_VERSION:
		puts("vdev-test (Bulkhead) " QVM_VERSION);
		return 0;
	default:
		fputs("See vdev-test --help.\n", stderr);
		return STATUS_USAGE;
	}
}

static int parse(int argc, char **argv, struct arguments *args)
{
	const char *why;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		status = option(args, opt, optarg);
		if (status >= 0)
			return status;
	}
	if (!!args->script + !!args->connect + !!args->listen + !!args->replay + args->measure > 1)
		return wrong("%s", "one of --script, --connect, --listen, --replay, --measure");
	if (args->replay) {
		why = command_from_trace(&args->command, args->replay, optind == argc);
		if (why)
			return wrong("%s", why);
	}
	why = command_words(&args->command, argv + optind, (unsigned)(argc - optind));
	return why ? wrong("%s", why) : -1;
}

static int socket_open(const struct arguments *args)
{
	const char *path = args->connect ? args->connect : args->listen;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer = -1;

	if (strlen(path) >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
	} else if (fd >= 0) {
		strcpy(at.sun_path, path);
		if (args->connect) {
			if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
				return fd;
		} else if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
			   listen(fd, 1) == 0) {
			peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
			(void)unlink(path);
		}
	}
	if (peer < 0)
		fprintf(stderr, "vdev-test: %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return peer;
}

/* Streams of the protocol. A vdev's own terminal is none: input is at its end, output is stderr. */
static bool streams(const struct arguments *args, FILE **ret_in, FILE **ret_out)
{
	const char *path = args->script ? args->script : args->replay;
	int fd, in = -1, out = -1;

	if (args->connect || args->listen) {
		fd = socket_open(args);
		if (fd < 0)
			return false;
		in = fd;
		out = dup(fd);
	} else if (path && strcmp(path, "-") != 0) {
		*ret_in = fopen(path, "re");
		if (!*ret_in) {
			fprintf(stderr, "vdev-test: %s: %s\n", path, strerror(errno));
			return false;
		}
	} else {
		in = dup(STDIN_FILENO);
	}
	if (in >= 0)
		*ret_in = fdopen(in, "r");
	if (out < 0)
		out = dup(STDOUT_FILENO);
	*ret_out = fdopen(out, "w");
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)!dup2(fd, STDIN_FILENO);
	(void)!dup2(STDERR_FILENO, STDOUT_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	return *ret_in && *ret_out;
}

static int drive(const struct arguments *args, struct vdevtest *t, FILE *in, FILE *out, FILE *trace)
{
	const struct script_setup setup = {
		.out = (args->quiet && args->script) || args->replay ? NULL : out,
		.trace = trace,
		.limit_s = args->limit_s,
		.lenient = !args->script && !args->replay,
	};
	struct script *s = script_create(t, &setup);
	enum script_end end = args->replay ? script_replay(s, in, args->replay)
					   : script_run(s, in, args->script ? args->script : "-");

	script_free(s);
	return end == SCRIPT_DONE ? 0 : end == SCRIPT_DIVERGED ? STATUS_DIVERGED : STATUS_USAGE;
}

/* False, with a message: not all that was written is there. */
static bool written(FILE *out, const char *name)
{
	bool good = !ferror(out);

	if (fclose(out) == 0 && good)
		return true;
	fprintf(stderr, "vdev-test: %s: not all could be written\n", name);
	return false;
}

static int run(const struct arguments *args)
{
	FILE *in = NULL, *out = NULL, *trace = NULL;
	int status = STATUS_USAGE;

	if (args->trace && !(trace = fopen(args->trace, "we"))) {
		fprintf(stderr, "vdev-test: %s: %s\n", args->trace, strerror(errno));
		return STATUS_USAGE;
	}
	if (streams(args, &in, &out)) {
		struct vdevtest *t = command_start(&args->command);

		if (trace)
			command_to_trace(&args->command, trace);
		if (t) {
			status = drive(args, t, in, out, trace);
			vdevtest_end(t);
		} else {
			fprintf(stderr, "%s", vdevtest_errors());
			status = STATUS_START_FAILED;
		}
	}
	if (in)
		fclose(in);
	/* A peer need not wait for the last reply. */
	if (out && (args->connect || args->listen))
		fclose(out);
	else if (out && !written(out, "standard output") && !status)
		status = STATUS_USAGE;
	if (trace && !written(trace, args->trace) && !status)
		status = STATUS_USAGE;
	return status;
}

int main(int argc, char **argv)
{
	struct arguments args = { .limit_s = SCRIPT_LIMIT_S, .command = { .seed = 1 } };
	int status = parse(argc, argv, &args);

	/* A huge page costs more to clear than such a guest ever uses. */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (status < 0)
		status = args.measure ? measure(&args.command) : run(&args);
	command_free(&args.command);
	return status;
}
