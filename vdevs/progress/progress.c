/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev progress: how far the guest has got. One byte that the guest writes, in a port or in memory;
 * the host sees it in the log, and in a file or on a terminal.
 *
 * A write changes the byte and asks the vdev's thread to show it, since showing may block. What the
 * guest writes faster than that is not shown.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/loop.h>

enum {
	DEFAULT_PORT = 0x84, /* where some PCs have their power-on codes */
	NUM_VALUES = 256,
	MAX_NAME = 64,
};

enum { OPT_HOSTDEV, OPT_STEP, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_HOSTDEV] = { .name = "hostdev",
			  .type = QVMX_OPT_PATH,
			  .help = "file, pipe or terminal that shows it, with a leading '>'" },
	[OPT_STEP] = { .name = "step",
		       .type = QVMX_OPT_STRING,
		       .flags = QVMX_OPTF_REPEAT,
		       .help = "name of a value: N=TEXT" },
};

struct progress {
	uint8_t value; /* v_mtx */
	bool shown;    /* v_mtx: or a call that shows it is on its way */
	char *names[NUM_VALUES];
	char *path;
	int fd;	      /* -1: none */
	bool is_file; /* it holds the last value; else each is a line more */
	bool failing;
};

static vdev_ref_status_t progress_vread(vdev_t *vdp, unsigned cookie,
					const struct qvm_state_block *vopnd,
					const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct progress *p = vdp->v_device;
	uint8_t value;

	(void)cookie, (void)vopnd;
	pthread_mutex_lock(&vdp->v_mtx);
	value = p->value;
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value)));
}

/* "42 kernel". Returns its length. */
static size_t value_text(const struct progress *p, uint8_t value, char *text, size_t size)
{
	const char *name = p->names[value];

	return (size_t)snprintf(text, size, "%u%s%s", value, name ? " " : "", name ? name : "");
}

static void write_out(vdev_t *vdp, const char *line, size_t len)
{
	struct progress *p = vdp->v_device;
	bool done;

	if (p->is_file)
		done = pwrite(p->fd, line, len, 0) == (ssize_t)len &&
		       ftruncate(p->fd, (off_t)len) == 0;
	else /* a reader that is slow misses a line */
		done = write(p->fd, line, len) == (ssize_t)len || errno == EAGAIN;
	if (!done && !p->failing)
		vdev_logf(QL_QVM_WARN, vdp, "'%s' does not show it: %s", p->path, strerror(errno));
	p->failing = !done;
}

/* On the vdev's thread. */
static void show(vdev_t *vdp, void *data, uint32_t events)
{
	struct progress *p = vdp->v_device;
	char text[MAX_NAME + 8];
	uint8_t value;

	(void)data, (void)events;
	pthread_mutex_lock(&vdp->v_mtx);
	value = p->value;
	p->shown = true;
	pthread_mutex_unlock(&vdp->v_mtx);
	size_t len = value_text(p, value, text, sizeof(text) - 1);

	vdev_logf(QL_QVM_INFO, vdp, "%s", text);
	text[len++] = '\n';
	if (p->fd >= 0)
		write_out(vdp, text, len);
}

static vdev_ref_status_t progress_vwrite(vdev_t *vdp, unsigned cookie,
					 const struct qvm_state_block *vopnd,
					 const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct progress *p = vdp->v_device;
	uint8_t value;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &value, sizeof(value));

	(void)cookie, (void)vopnd;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (value != p->value) {
		p->value = value;
		/* Without memory for the call the next value is shown. */
		if (p->shown)
			p->shown = qvmx_loop_call(vdp, show, NULL) != EOK;
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

static int option_hostdev(vdev_t *vdp, const char *arg)
{
	struct progress *p = vdp->v_device;

	if (arg[0] == '<')
		return qvmx_refuse(vdp, "hostdev '%s': it writes only", arg);
	free(p->path);
	p->path = strdup(arg[0] == '>' ? arg + 1 : arg);
	return p->path ? EOK : ENOMEM;
}

static int option_step(vdev_t *vdp, const char *arg)
{
	static const struct qvmx_option number = { .name = "step",
						   .type = QVMX_OPT_NUMBER,
						   .max = NUM_VALUES - 1 };
	struct progress *p = vdp->v_device;
	const char *name = strchr(arg, '=');
	char text[16];
	uint64_t value;

	if (name && (size_t)(name - arg) < sizeof(text)) {
		memcpy(text, arg, (size_t)(name - arg));
		text[name - arg] = '\0';
	}
	if (!name || (size_t)(name - arg) >= sizeof(text) ||
	    qvmx_option_parse(&number, text, &value) != EOK)
		return qvmx_refuse(vdp, "step '%s' is not like 42=kernel, with a number up to 255",
				   arg);
	name++;
	if (!*name || strlen(name) >= MAX_NAME)
		return qvmx_refuse(vdp, "step '%s': a name has 1 to %d bytes", arg, MAX_NAME - 1);
	free(p->names[value]);
	p->names[value] = strdup(name);
	return p->names[value] ? EOK : ENOMEM;
}

static int configured(vdev_t *vdp)
{
	struct progress *p = vdp->v_device;
	struct stat st;

	if (p->path && strcmp(p->path, "-") == 0)
		p->fd = dup(STDOUT_FILENO);
	else if (p->path)
		p->fd = open(p->path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
	if (p->path && p->fd < 0)
		return qvmx_refuse(vdp, "hostdev '%s' cannot be opened: %s%s", p->path,
				   strerror(errno), errno == ENXIO ? " (nobody reads it)" : "");
	p->is_file = p->fd >= 0 && fstat(p->fd, &st) == 0 && S_ISREG(st.st_mode) &&
		     strcmp(p->path, "-") != 0;
	/* Also what makes the thread. */
	return qvmx_loop_call(vdp, show, NULL);
}

static void terminate(struct progress *p)
{
	for (unsigned i = 0; i < NUM_VALUES; i++) {
		free(p->names[i]);
		p->names[i] = NULL;
	}
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	free(p->path);
	p->path = NULL;
}

static void status(vdev_t *vdp)
{
	struct progress *p = vdp->v_device;
	char text[MAX_NAME + 8];
	uint8_t value;

	pthread_mutex_lock(&vdp->v_mtx);
	value = p->value;
	pthread_mutex_unlock(&vdp->v_mtx);
	value_text(p, value, text, sizeof(text));
	vdev_logf(QL_QVM_INFO, vdp, "%s", text);
}

static int progress_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct progress *p = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){ .qst_type = QST_X86_IO,
							 .location = DEFAULT_PORT,
							 .length = 1 };
		p->fd = -1;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_HOSTDEV:
		return option_hostdev(vdp, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_STEP:
		return option_step(vdp, arg);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	case VDEV_CTRL_STATUS:
		status(vdp);
		return EOK;
	case VDEV_CTRL_TERMINATE:
		terminate(p);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = progress_control,
	.vread = progress_vread,
	.vwrite = progress_vwrite,
	.factory_flags = VFF_VDEV_MEM | VFF_VDEV_X86_IO | VFF_INTR_NO | VFF_MUTEX,
	.acc_sizes = 1u << 1,
	.extra_space = sizeof(struct progress),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = NUM_OPTIONS,
	.summary = "boot progress of the guest, shown on the host",
	.options = options,
};

static void __attribute__((constructor)) progress_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
