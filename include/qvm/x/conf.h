/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x/conf: typed options with help.
 *
 * A vdev that describes itself here gets its options checked by the core while the configuration is
 * read (an error names the file, line and column), shown by `qvm --help vdev NAME`, and delivered
 * to `control` as VDEV_CTRL_FIRST_OPTIDX + i, where i is the index in `options`. It leaves
 * `option_list` in its factory NULL. Everything here has static lifetime. Called from the shared
 * object's constructor. Ours, not part of the documented API.
 */
#ifndef QVM_X_CONF_H
#define QVM_X_CONF_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the text of an option must look like. The text itself is handed to `control` unchanged. */
enum qvmx_option_type {
	QVMX_OPT_FLAG,	  /* no argument */
	QVMX_OPT_STRING,  /* any text */
	QVMX_OPT_NUMBER,  /* decimal; 0x.. hexadecimal */
	QVMX_OPT_SIZE,	  /* bytes: decimal; 0x.. hexadecimal; suffix K, M or G */
	QVMX_OPT_ADDRESS, /* hexadecimal; 0d.. decimal; suffix K, M or G (then decimal) */
	QVMX_OPT_BOOL,	  /* on off yes no true false 1 0 enable disable */
	QVMX_OPT_CHOICE,  /* one of `choices`, separated by '|' */
	QVMX_OPT_PATH, /* host file, device or "-"; a leading '<' (read only) or '>' (write only) */
	QVMX_OPT_MAC,  /* XX:XX:XX:XX:XX:XX */
	QVMX_OPT_SECONDS, /* decimal seconds, or the word "forever" */
};

/* May be given several times; each is delivered. Without it the last one counts. */
#define QVMX_OPTF_REPEAT   0x1u
#define QVMX_OPTF_REQUIRED 0x2u /* must be given */

struct qvmx_option {
	const char *name;
	enum qvmx_option_type type;
	unsigned flags;	     /* QVMX_OPTF_* */
	const char *choices; /* QVMX_OPT_CHOICE: "a|b|c"; else NULL */
	uint64_t min,
		max; /* QVMX_OPT_NUMBER, _SIZE, _ADDRESS: inclusive bounds; max 0 = no bounds */
	const char *help; /* one line, no full stop */
};

/* A platform chip: `accel auto|on|off` is understood; `on` needs qvmx_model_use. */
#define QVMX_VDEV_ACCEL 0x1u
/*
 * A safety variant, allowed in a VM whose configuration says `safety`. Its author warrants that
 * after VDEV_CTRL_GUEST_STARTING it allocates nothing and waits for nothing without a limit,
 * whatever the guest does, and that in VDEV_CTRL_TERMINATE it leaves the hardware that it uses at
 * rest.
 */
#define QVMX_VDEV_SAFETY 0x2u
/* It may be given a line that a chip with QVMX_VDEV_LINE_YIELDS has, and take it over
 * (qvmx_intr_own). */
#define QVMX_VDEV_LINE_TAKES  0x4u
#define QVMX_VDEV_LINE_YIELDS 0x8u
/* Its place is inside one that a `pass loc` gives the guest (x/pass.h). */
#define QVMX_VDEV_GUARD 0x10u

struct qvmx_vdev_info {
	unsigned size;	/* sizeof(struct qvmx_vdev_info): fields are only appended */
	unsigned flags; /* QVMX_VDEV_* */
	unsigned num_options;
	const char *summary;		   /* one line for --help */
	const struct qvmx_option *options; /* num_options entries */
	unsigned max_intrs; /* most interrupts that the file may give it; 0: one (qvmx_intr_get) */
};

/*
 * As vdev_register_factory, with a description. Both must have static lifetime.
 * abi_version is QVM_VDEV_ABI. Errors are reported by the loader, which refuses the vdev with a
 * sentence.
 */
void qvmx_vdev_register(struct vdev_factory *factory, const struct qvmx_vdev_info *info,
			unsigned abi_version);

/*
 * The value of a text that the core has checked: QVMX_OPT_NUMBER, _SIZE, _ADDRESS (units as above),
 * _BOOL (0 or 1), _CHOICE (index), _SECONDS (UINT64_MAX = forever).
 */
uint64_t qvmx_option_value(const struct qvmx_option *opt, const char *text);

/*
 * The same of a text that the core has not checked, such as a part of an option's argument. Returns
 * EOK, EINVAL: not such a text, or ERANGE: too large, or outside of min and max.
 */
int qvmx_option_parse(const struct qvmx_option *opt, const char *text, uint64_t *ret_value);

/*
 * Say why the vdev refuses what it was given. During an option callback the message points at that
 * option's place in the user's file, else at the `vdev` line. Start-up stage only. Returns EINVAL,
 * so that `return qvmx_refuse(vdp, "...")` ends a callback. The text is a sentence part: what
 * failed on what, why.
 */
int qvmx_refuse(const vdev_t *vdp, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
