/* SPDX-License-Identifier: Apache-2.0 */
/* qvm: one VM. The command line, the exit status. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "conf/conf.h"
#include "vdev/implicit/builtin.h"
#include "vdev/types.h"
#include "vm/json.h"
#include "vm/vm.h"

/*
 * Stacks of all threads. With the usual 8 MiB the kernel backs the first touch of a stack with a
 * huge page; a thread here needs a few kilobytes.
 */
enum { MAX_VDEV_DIRS = 16, STACK_SIZE = 512 << 10 };

static void set_thread_defaults(void)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

static const char usage[] =
	"usage: qvm [OPTION]... @FILE... [WORD]...\n"
	"\n"
	"Puts a virtual machine together from configuration files (@FILE) and words, runs it,\n"
	"and ends when the guest does. The words are those of a configuration file:\n"
	"  qvm @linux.qvmconf cpu cmdline \"console=ttyS0\"\n"
	"\n"
	"  --help                this text\n"
	"  --help vdevs          the vdevs that are there\n"
	"  --help vdev NAME      the options of a vdev\n"
	"  --version             the version\n"
	"  --vdev-dir DIR        look for vdev-NAME.so in DIR first; repeatable\n"
	"  --format=text|json    how messages and the machine of a dryrun are printed\n"
	"\n"
	"`dryrun` as a word prints the machine and ends. Exit status: 0 the guest shut down or "
	"rebooted;\n"
	"3 power cut; 4 watchdog; 5 unsupported operation; 6 a vdev failed; 7 unexpected error; "
	"32-63 a vdev's own;\n"
	"64 the start failed; 65 wrong configuration; 96 failed after the start; 2 wrong options.\n"
	"See qvm(1) and qvmconf(5).\n";

struct arguments {
	const char *vdev_dirs[MAX_VDEV_DIRS];
	unsigned num_vdev_dirs;
	int first_word;
	const char *help; /* "": usage; "vdevs"; "vdev" */
	const char *help_vdev;
	bool version, json;
};

static int usage_error(const char *what, const char *arg)
{
	fprintf(stderr, "qvm: %s%s%s%s\nTry 'qvm --help'.\n", what, arg ? " '" : "", arg ? arg : "",
		arg ? "'" : "");
	return 2;
}

/* 0: go on; else the exit status. Options end at the first word that is none. */
static int arguments_parse(int argc, char **argv, struct arguments *ret)
{
	int i = 1;

	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			ret->help = i + 1 < argc ? argv[i + 1] : "";
			ret->help_vdev = i + 2 < argc ? argv[i + 2] : NULL;
			return 0;
		}
		if (strcmp(argv[i], "--version") == 0) {
			ret->version = true;
		} else if (strcmp(argv[i], "--vdev-dir") == 0 ||
			   strncmp(argv[i], "--vdev-dir=", 11) == 0) {
			const char *dir = argv[i][10]	 ? argv[i] + 11
					  : i + 1 < argc ? argv[++i]
							 : NULL;

			if (!dir)
				return usage_error("--vdev-dir needs a folder", NULL);
			if (ret->num_vdev_dirs == MAX_VDEV_DIRS)
				return usage_error("too many --vdev-dir", NULL);
			ret->vdev_dirs[ret->num_vdev_dirs++] = dir;
		} else if (strcmp(argv[i], "--format") == 0 ||
			   strncmp(argv[i], "--format=", 9) == 0) {
			const char *format = argv[i][8]	    ? argv[i] + 9
					     : i + 1 < argc ? argv[++i]
							    : "";

			ret->json = strcmp(format, "json") == 0;
			if (!ret->json && strcmp(format, "text") != 0)
				return usage_error("--format is text or json, not", format);
		} else {
			return usage_error("unknown option", argv[i]);
		}
	}
	ret->first_word = i;
	return 0;
}

static const char *type_name(const struct qvmx_option *o)
{
	static const char *const names[] = {
		[QVMX_OPT_FLAG] = "",
		[QVMX_OPT_STRING] = " TEXT",
		[QVMX_OPT_NUMBER] = " NUMBER",
		[QVMX_OPT_SIZE] = " SIZE",
		[QVMX_OPT_ADDRESS] = " ADDRESS",
		[QVMX_OPT_BOOL] = " on|off",
		[QVMX_OPT_CHOICE] = " ",
		[QVMX_OPT_PATH] = " [<|>]PATH",
		[QVMX_OPT_MAC] = " XX:XX:XX:XX:XX:XX",
		[QVMX_OPT_SECONDS] = " SECONDS|forever",
	};

	return names[o->type];
}

static int help_vdev(struct vdev_types *types, const char *name)
{
	const char *why = "";
	const struct conf_vdev_type *conf = vdev_types_find(types, name, &why);

	if (!conf) {
		fprintf(stderr, "qvm: %s\n", why);
		return 2;
	}
	const struct vdev_type *t = vdev_type_of(conf);

	printf("vdev %s%s%s\nfrom %s\n\n", t->name, t->info ? ": " : "",
	       t->info ? t->info->summary : "", t->path);
	for (unsigned i = 0; i < conf->num_options; i++) {
		const struct qvmx_option *o = &conf->options[i];

		printf("  %s%s%s%s%s\n", o->name, type_name(o),
		       o->type == QVMX_OPT_CHOICE ? o->choices : "",
		       o->flags & QVMX_OPTF_REQUIRED ? "  (required)" : "",
		       o->flags & QVMX_OPTF_REPEAT ? "  (repeatable)" : "");
		if (o->help)
			printf("        %s\n", o->help);
	}
	printf("\nand the common options loc, intr, name, log, sched%s%s: see qvmconf(5).\n",
	       conf->pic ? ", hostvector" : "", conf->accel ? ", accel" : "");
	return 0;
}

static int help(struct vdev_types *types, const struct arguments *args)
{
	const char *name;

	if (strcmp(args->help, "vdev") == 0)
		return args->help_vdev ? help_vdev(types, args->help_vdev)
				       : usage_error("--help vdev needs the name of one", NULL);
	if (strcmp(args->help, "vdevs") == 0) {
		for (unsigned i = 0; (name = vdev_types_name(types, i)); i++)
			puts(name);
		return 0;
	}
	if (*args->help)
		return usage_error("there is no help about", args->help);
	fputs(usage, stdout);
	return 0;
}

/* As JSON there is a document on `json` even if there is nothing to say: whoever asked waits for
 * one. */
static void print_diagnostics(const struct conf *conf, FILE *json)
{
	struct strbuf out = { 0 };

	if (json) {
		if (vm_json_print(json, conf, NULL))
			log_write(LOG_SEV_ERROR, "the messages cannot be printed as JSON");
		return;
	}
	conf_render(conf, &out);
	fputs(strbuf_text(&out), stderr);
	strbuf_free(&out);
}

static void set_loggers(const struct conf *conf)
{
	struct log_sink sinks[LOG_MAX_SINKS];
	unsigned n = conf->num_loggers;

	for (unsigned i = 0; i < n; i++)
		sinks[i] = (struct log_sink){ .mask = conf->loggers[i].mask,
					      .dest = (enum log_dest)conf->loggers[i].dest };
	if (conf->debug) {
		if (!n)
			sinks[n++] = (struct log_sink){ LOG_SEV_DEFAULT, LOG_TO_STDERR };
		for (unsigned i = 0; i < n; i++)
			if (sinks[i].mask & LOG_SEV_INFO && sinks[i].dest != LOG_TO_NONE)
				sinks[i].mask |= LOG_SEV_DEBUG;
	}
	(void)!log_set_sinks(sinks, n);
	if (conf->system.text)
		log_set_name(conf->system.text);
}

/* On standard output, all of it: 0, or -EIO with a message. */
static int printed(int rc)
{
	if (!rc && fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	log_write(LOG_SEV_ERROR, "standard output takes not all of it: %s", strerror(errno));
	return -EIO;
}

/* Name, type, context, value as the configuration has it, what it is about. */
static int list_variables(const struct conf *conf, bool json)
{
	const struct conf_variable *v;

	for (unsigned i = 0; (v = conf_variable(i)); i++) {
		const struct qvmx_option *o = &v->option;
		const struct conf_set *set = conf_set_find(conf, o->name, -1);
		const char *value = set ? set->value.text : v->initial;

		printf("%-22s %-11s %-7s %-18s  %s\n", o->name, type_name(o) + 1, v->context,
		       *value ? value : "-", o->help);
	}
	if (conf->num_errors)
		print_diagnostics(conf, json ? stderr : NULL);
	return printed(0) ? VM_STATUS_START_FAILED : conf->num_errors ? VM_STATUS_BAD_CONFIG : 0;
}

static int print_machine(const struct conf *conf, struct vm *vm, bool json)
{
	struct strbuf out = { 0 };

	if (json)
		return printed(vm_json_print(stdout, conf, vm));
	vm_print(vm, &out);
	fputs(strbuf_text(&out), stdout);
	strbuf_free(&out);
	return printed(0);
}

/* The status is that of a start, as far as one would come by what is done here. */
static int dryrun(struct conf *conf, struct vm *vm, bool json)
{
	int status = vm_tables_dump(vm) ? vm_start_failed(vm) : 0;

	if (!status)
		status = MAX(atomic_load(&vm->end), 0); /* a vdev has ended the VM */

	if (print_machine(conf, vm, json) && !status)
		status = VM_STATUS_START_FAILED;
	if (!json)
		print_diagnostics(conf, NULL);
	if (!status)
		log_write(LOG_SEV_INFO, "Exiting: dryrun completed");
	return status;
}

/* Until the VM starts JSON goes to standard output, which is the guest's console from then on. */
static int run(struct conf *conf, bool json)
{
	struct vm *vm = NULL;
	int rc = vm_plan(conf, &vm);
	int status = rc == -EINVAL ? VM_STATUS_BAD_CONFIG : VM_STATUS_START_FAILED;

	if (!rc && conf->dryrun) {
		status = dryrun(conf, vm, json);
	} else if (!rc) {
		if (conf->num_diags)
			print_diagnostics(conf, json ? stderr : NULL); /* warnings */
		status = vm_run(vm);
		if (conf->num_errors)
			print_diagnostics(conf, json ? stderr : NULL);
	} else {
		print_diagnostics(conf, json ? stdout : NULL);
		if (rc != -EINVAL || !conf->num_errors)
			log_write(LOG_SEV_FATAL, "the VM cannot be planned: %s", strerror(-rc));
	}
	vm_free(vm);
	return status;
}

/*
 * Text may come from a pipe that nobody writes to: while it is read, and no vdev's code is there
 * yet, these end the process. From then on they wait until the VM takes them.
 */
static void ends_mask(int how)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGQUIT);
	pthread_sigmask(how, &ends, NULL);
}

static int read_text(struct conf *conf, char **words, int num_words)
{
	ends_mask(SIG_UNBLOCK);
	int rc = conf_read_words(conf, 1, words, (unsigned)num_words);

	ends_mask(SIG_BLOCK);
	return rc;
}

static int configure(struct vdev_types *types, int argc, char **argv, int first_word, bool json)
{
	const struct conf_env env = { .ctx = types,
				      .find_vdev = vdev_types_find,
				      .vdev_name = vdev_types_name,
				      .implicit_vdev = vdev_builtin.name };
	struct conf *conf = conf_new(&env);
	int status = VM_STATUS_START_FAILED;

	if (!conf || read_text(conf, argv + first_word, argc - first_word) || conf_parse(conf)) {
		log_write(LOG_SEV_FATAL, "out of memory");
	} else if (conf->set_query.source) {
		status = list_variables(conf, json);
	} else if (conf->num_errors) {
		/* The rest of the mistakes is found by planning what could be understood. */
		struct vm *vm = NULL;

		(void)!vm_plan(conf, &vm);
		print_diagnostics(conf, json ? stdout : NULL);
		vm_free(vm);
		status = VM_STATUS_BAD_CONFIG;
	} else {
		set_loggers(conf);
		status = run(conf, json);
	}
	conf_free(conf);
	return status;
}

/* The log's lock may be held. */
static void last_words(const char *what)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "qvm: fatal: %s: the VM ends here\n", what);

	(void)!write(STDERR_FILENO, text, (size_t)n);
}

int main(int argc, char **argv)
{
	struct arguments args = { 0 };
	struct vdev_types *types;
	sigset_t all;
	int status = arguments_parse(argc, argv, &args);

	if (status)
		return status;
	if (args.version) {
		puts("qvm (Bulkhead) " QVM_VERSION);
		return 0;
	}
	crash_watch(last_words);
	/* Every thread inherits this; the main thread takes signals by signalfd. */
	sigfillset(&all);
	for (unsigned i = 0; i < CRASH_NUM_SIGNALS; i++)
		sigdelset(&all, crash_signals[i]);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	(void)signal(SIGCHLD, SIG_DFL); /* how a command ended that takes a dump */
	set_thread_defaults();
	/* Arenas for each thread would cost more memory than they save time. */
	mallopt(M_ARENA_MAX, 1);
	if (vdev_types_create(args.vdev_dirs, args.num_vdev_dirs, &types)) {
		log_write(LOG_SEV_FATAL, "out of memory");
		return VM_STATUS_START_FAILED;
	}
	if (args.help)
		status = help(types, &args);
	else if (args.first_word == argc)
		status = usage_error("no configuration: name a file as @FILE", NULL);
	else
		status = configure(types, argc, argv, args.first_word, args.json);
	vdev_types_free(types);
	return status;
}
