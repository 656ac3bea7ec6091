/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration language: reads *.qvmconf files and command line words into `struct conf`, a
 * list of what the VM consists of, and collects every mistake with its place.
 *
 * Called by qvm's start-up (one thread, before the VM exists), by `qvm dryrun` and by tests. The
 * steps: conf_new, conf_read_words (opens the @FILEs, splits into words), conf_parse (asks
 * `env->find_vdev` for the option table of each vdev), then the later stages add what they find
 * with conf_error; conf_render makes the text that the user reads. Nothing here prints, and nothing
 * but the named files is read.
 *
 * All memory, also that behind every pointer in `struct conf`, belongs to the conf and lives until
 * conf_free. What `env` points to belongs to the caller and must live as long.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qvm/x/conf.h>

#include "base/strbuf.h"
#include "base/util.h"

#define CONF_MAX_FILE	  (1u << 20) /* bytes of one file */
#define CONF_MAX_FILES	  256u	     /* files of one VM */
#define CONF_MAX_WORDS	  65536u     /* words of all sources together */
#define CONF_MAX_WORD	  65536u     /* bytes of one word, substitutions done */
#define CONF_MAX_ERRORS	  100u	     /* errors that are kept; more are counted */
#define CONF_MAX_NAME	  64u	     /* bytes of a system's or a vdev's name */
#define CONF_MAX_CPUS	  1024u
#define CONF_MAX_VDEVS	  4096u
#define CONF_MAX_RT_PRIO  99u /* of `sched PRIOr` and `PRIOf`: what Linux has */
#define CONF_MAX_HOST_CPU 1023u
#define CONF_PAGE	  4096u /* memory is given in multiples of this */

struct conf;

/*
 * A place in what the user wrote: source is 1 + the index of a file or of the command line (0: no
 * place), line and col count from 1, col and length in bytes. In the command line, line is the
 * number of the word.
 */
struct conf_pos {
	uint32_t source, line, col, length;
};

/* A text of the user with its place. text is NULL if it was not given. */
struct conf_text {
	const char *text;
	struct conf_pos pos;
};

enum conf_space {
	CONF_SPACE_MEM,
	CONF_SPACE_IO,
	CONF_SPACE_PCI,	   /* pci:BUS:DEV[.FUNC] */
	CONF_SPACE_PCI_ID, /* pci:VID/DID[/INDEX] */
};

struct conf_loc {
	enum conf_space space;
	uint64_t addr; /* MEM, IO */
	bool has_len;
	uint64_t len;
	uint8_t bus, dev, func; /* PCI */
	bool has_func;
	uint16_t vendor, device; /* PCI_ID */
	bool has_index;
	uint32_t index;
	struct conf_pos pos;
};

/* `intr PIC:LINE`, or a word alone for the local APIC: then has_line is false. */
struct conf_intr {
	const char *text;
	const char *pic;
	bool has_line;
	uint32_t line;
	int pic_vdev; /* index of the vdev that is the PIC; -1: an implicit one */
	struct conf_pos pos;
};

struct conf_sched {
	bool given;
	unsigned prio;
	char policy; /* 'o', 'r', 'f', or 0: no letter */
	struct conf_pos pos;
};

/* mask holds LOG_SEV_* bits, dest is an `enum log_dest` (base/log.h). */
struct conf_logger {
	bool given;
	unsigned mask;
	int dest;
	struct conf_pos pos;
};

struct conf_memory {
	bool rom;
	bool has_addr; /* false: after the highest RAM or ROM so far */
	uint64_t addr, len;
	struct conf_pos pos;
};

struct conf_reserve {
	struct conf_loc *locs;
	unsigned num_locs;
	struct conf_intr *intrs; /* pic NULL: a plain number in `line` */
	unsigned num_intrs;
	struct conf_pos pos;
};

struct conf_cpu {
	struct conf_sched sched;
	unsigned *host_cpus; /* `runmask`: the host's CPUs that the thread may run on; none: all */
	unsigned num_host_cpus;
	struct conf_pos runmask_pos; /* of the argument */
	struct conf_pos pos;
};

enum conf_blob {
	CONF_BLOB_AUTO, /* no blob word: the file's content tells */
	CONF_BLOB_GUEST,
	CONF_BLOB_INITRD,
	CONF_BLOB_DATA,
	CONF_BLOB_FDT,
	CONF_BLOB_ACPI,
};

struct conf_load {
	enum conf_blob blob;
	bool has_addr;
	uint64_t addr;
	struct conf_pos addr_pos;
	struct conf_text path;
	struct conf_pos pos; /* of the word `load` */
};

/* What the caller knows about a type of vdev. */
struct conf_vdev_type {
	const char *name;
	const struct qvmx_option
		*options; /* a vdev with an option_list only: STRING or FLAG each */
	unsigned num_options;
	enum conf_space loc_space; /* of a `loc` without a prefix */
	unsigned max_intrs;   /* 0 and 1: one, the last `intr` wins; more: they add up (hpet) */
	bool pic;	      /* others' `intr` may name it */
	const char *pic_name; /* a PIC's name if it has no `name`, or NULL */
	bool accel;	      /* a platform chip that KVM also has: `accel` is allowed */
	bool safety;	      /* a safety variant: allowed in a VM with `safety` */
};

enum conf_accel { CONF_ACCEL_AUTO, CONF_ACCEL_ON, CONF_ACCEL_OFF };

enum conf_common {
	CONF_COMMON_NONE, /* one of the vdev's own */
	CONF_COMMON_LOC,
	CONF_COMMON_INTR,
	CONF_COMMON_NAME,
	CONF_COMMON_LOG,
	CONF_COMMON_HOSTVECTOR,
	CONF_COMMON_SCHED,
	CONF_COMMON_ACCEL,
};

/* One option as it was given. Of an option without QVMX_OPTF_REPEAT only the last is kept. */
struct conf_option {
	enum conf_common common;
	unsigned index;		       /* own: into type->options */
	const struct qvmx_option *opt; /* own, else NULL */
	const char *text;	       /* the argument; NULL for a flag */
	struct conf_pos pos;	       /* of the option's word */
	struct conf_pos text_pos;      /* of the argument, for a flag of the option */
};

struct conf_vdev {
	struct conf_text type_name;
	const struct conf_vdev_type *type; /* NULL only if an error was reported */
	struct conf_option *options;	   /* in the order of the text, own and common */
	unsigned num_options;
	bool has_loc;
	struct conf_loc loc;
	struct conf_intr *intrs;
	unsigned num_intrs;
	struct conf_text name;
	struct conf_logger log;
	bool has_hostvector;
	uint32_t hostvector;
	struct conf_sched sched;
	enum conf_accel accel;
	struct conf_pos accel_pos; /* source 0: not given */
	unsigned *bad;		   /* own options that are given, but wrong: into type->options */
	unsigned num_bad;
	bool wrong;	     /* an error is about an option, or about one that is missing */
	bool lacks;	     /* one that it needs may be among those */
	struct conf_pos pos; /* of the word `vdev` */
};

/* `set VAR VALUE`. In the context of a vdev or a cpu it is about that one (index), else both are
 * -1. */
struct conf_set {
	struct conf_text var, value;
	int vdev, cpu;
	struct conf_pos pos;
};

/* What `pass loc` says of a place: bits. */
enum conf_pass_attr {
	CONF_PASS_READ = 1,
	CONF_PASS_WRITE = 2,
	CONF_PASS_EXECUTE = 4,
	CONF_PASS_CACHEABLE = 8,
	CONF_PASS_REPORT = 16,
	CONF_PASS_MEMORY = 32,
	CONF_PASS_DMA = 64,
	CONF_PASS_NO_DMA = 128
};

struct conf_pass_loc {
	bool has_guest;	       /* false: the next free place on the PCI bus */
	struct conf_loc guest; /* MEM and IO have a length */
	struct conf_loc host;  /* of the same kind; the guest's, if the file does not say */
	unsigned attrs;
	struct conf_pos pos;
};

struct conf_pass_intr {
	struct conf_intr guest;
	bool at_once; /* the host's interrupt is unmasked when it has been sent */
	bool has_host;
	uint32_t host;
	struct conf_pos pos;
};

struct conf_pass {
	struct conf_pass_loc *locs;
	unsigned num_locs;
	struct conf_pass_intr *intrs;
	unsigned num_intrs;
	bool incomplete;	    /* a place or interrupt of it could not be read */
	struct conf_pos shared_pos; /* `shared`: other VMs may have it too; source 0: not given */
	struct conf_pos pos;
};

enum conf_unsupported {
	CONF_UNSUP_INSTRUCTION,
	CONF_UNSUP_REFERENCE,
	CONF_UNSUP_REGISTER,
	CONF_NUM_UNSUP
};
enum conf_action { CONF_ACTION_ABORT, CONF_ACTION_FAIL, CONF_ACTION_IGNORE };

/* What conf needs to know from outside. Only find_vdev is required. */
struct conf_env {
	void *ctx;
	/*
	 * The description of a type of vdev, NULL if there is none; then *ret_why may be set to a
	 * sentence part that says why ("no vdev-foo.so in LD_LIBRARY_PATH or /usr/lib/bulkhead"),
	 * which lives as long as ctx.
	 */
	const struct conf_vdev_type *(*find_vdev)(void *ctx, const char *type,
						  const char **ret_why);
	/* The name of the index-th type that there is, NULL behind the last: for "did you mean". */
	const char *(*vdev_name)(void *ctx, unsigned index);
	/* The type of a vdev that is there without a line, before all others; a line of it says
	 * more about it. NULL: there is none. */
	const char *implicit_vdev;
	/* PICs that are there without a vdev line; NULL-terminated. "apic" is always known. */
	const char *const *implicit_pics;
	/* The environment for $env{}; NULL: getenv. */
	const char *(*getenv)(void *ctx, const char *name);
};

enum conf_severity { CONF_ERROR, CONF_WARNING, CONF_NOTE };

/* One message. A note belongs to the error or warning before it. */
struct conf_diag {
	enum conf_severity severity;
	struct conf_pos pos;
	const char *text;     /* one line, UTF-8, free of control bytes; no full stop */
	const char *expected; /* what would be right here, or NULL */
	const char *suggest;  /* the nearest known word, or NULL */
	unsigned parent;      /* index of the message that a note belongs to, else its own */
};

struct conf {
	struct conf_text system;
	struct conf_memory *memories;
	unsigned num_memories;
	struct conf_reserve *reserves;
	unsigned num_reserves;
	struct conf_cpu *cpus; /* none: one with the defaults */
	unsigned num_cpus;
	struct conf_load *loads;
	unsigned num_loads;
	struct conf_text cmdline;
	struct conf_vdev *vdevs;
	unsigned num_vdevs;
	struct conf_pass *passes;
	unsigned num_passes;
	struct conf_set *sets;
	unsigned num_sets;
	struct conf_pos set_query; /* `set ?`: the caller lists conf_variables and ends; source 0:
				      not given */
	enum conf_action unsupported[CONF_NUM_UNSUP];
	struct conf_pos unsupported_pos[CONF_NUM_UNSUP]; /* source 0: the default */
	struct conf_logger *loggers;			 /* none: LOG_SEV_DEFAULT to stderr */
	unsigned num_loggers;
	struct conf_text dump;	      /* a directory, or "|COMMAND" */
	struct conf_text user, group; /* `user USER[:GROUP]` */
	bool memory_seen; /* a `ram` or `rom`: a wrong one, or in a file that cannot be read, maybe
			   */
	bool dryrun, debug, safety;
	struct conf_pos dryrun_pos, debug_pos, safety_pos;

	struct conf_diag *diags; /* in the order in which they were found */
	unsigned num_diags;
	unsigned num_errors; /* including those that were not kept */

	struct conf_priv *priv;
};

/* A conf with the documented defaults, or NULL: no memory. env may be NULL if there are no vdevs.
 */
struct conf *conf_new(const struct conf_env *env);
void conf_free(struct conf *c);

/*
 * Take words of the command line; a word `@FILE` stands for the content of the file. first_number
 * is the number of words[0] in messages. May be called several times. 0 also when mistakes were
 * recorded; -ENOMEM.
 */
int conf_read_words(struct conf *c, unsigned first_number, char *const *words,
		    unsigned count) MUST_CHECK;

/* Take a file's content from memory, under the name that messages show. Returns as conf_read_words.
 */
int conf_read_text(struct conf *c, const char *name, const char *text, size_t len) MUST_CHECK;

/* Understand all that was read; once. 0 also when mistakes were recorded (see num_errors); -ENOMEM.
 */
int conf_parse(struct conf *c) MUST_CHECK;

/*
 * Record a mistake at a place (NULL or source 0: none). The format gives a sentence part without a
 * full stop; what comes from the user is made harmless for terminals here. An error or warning may
 * be followed by one conf_expected or conf_suggest, and by notes that show a second place ("the
 * other owner is here").
 */
void conf_error(struct conf *c, const struct conf_pos *pos, const char *fmt, ...) PRINTF_LIKE(3, 4);
void conf_warning(struct conf *c, const struct conf_pos *pos, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void conf_note(struct conf *c, const struct conf_pos *pos, const char *fmt, ...) PRINTF_LIKE(3, 4);
void conf_expected(struct conf *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
void conf_suggest(struct conf *c, const char *word);

/* An option's word as the text has it. */
const char *conf_option_word(const struct conf_option *option);
/* The name of a place's source ("demo.qvmconf", "command line"); "" without a place. */
const char *conf_source_name(const struct conf *c, const struct conf_pos *pos);

/* "demo.qvmconf:12:9" into out: for messages and tables of later stages. */
void conf_format_pos(const struct conf *c, const struct conf_pos *pos, struct strbuf *out);

/* All messages, sorted by place, notes behind what they belong to, into list, which has room for
 * num_diags. */
void conf_diags_sort(const struct conf *c, const struct conf_diag **list);

/* Append text of the user as valid UTF-8 without controls; what is neither comes as \xNN or \u{N}.
 */
void conf_add_clean(struct strbuf *out, const char *text);

/* All messages, sorted by place, with the lines of the source, into out. */
void conf_render(const struct conf *c, struct strbuf *out);

/* What was understood, in the syntax of a configuration file, numbers normalised, into out. Reads
 * back the same. */
void conf_dump(const struct conf *c, struct strbuf *out);

/*
 * The value of an option's argument: NUMBER, SIZE, ADDRESS, BOOL (0 or 1), CHOICE (index), SECONDS
 * (UINT64_MAX: for ever), 0 for the other types. -EINVAL: not such a text; -ERANGE: too large, or
 * outside of min and max.
 */
int conf_option_value(const struct qvmx_option *opt, const char *text,
		      uint64_t *ret_value) MUST_CHECK;

enum conf_variable_state {
	CONF_VARIABLE_BUILT,
	CONF_VARIABLE_NO_EFFECT, /* about what Linux does not have: a warning */
};

/* What `set` knows. */
struct conf_variable {
	struct qvmx_option option;
	const char *context; /* "global", "cpu" or "vdev" */
	const char *initial; /* the value without any `set` */
	enum conf_variable_state state;
};

/* The index-th variable, NULL behind the last. */
const struct conf_variable *conf_variable(unsigned index);

/*
 * The `set` of a variable that counts for a vdev (its index, or -1): the last one in its context,
 * else the last one outside of all. NULL: there is none.
 */
const struct conf_set *conf_set_find(const struct conf *c, const char *name, int vdev);
/* Its value as conf_option_value gives it; that of a number, address or truth value. */
int conf_set_value(const struct conf_set *set, uint64_t *ret_value) MUST_CHECK;
/* The truth value of a variable; if it is not set, or no truth value, its initial one. */
bool conf_set_bool(const struct conf *c, const char *name, int vdev);

#endif
