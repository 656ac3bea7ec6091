/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev virtio-input: a keyboard, a mouse, a touch screen: what an evdev node of the host or a
 * recording says it is.
 *
 * Events reach the guest by whole updates (up to SYN_REPORT): the buffers of one update are given
 * back together. Only where the driver has given too few they go back as they are, and the rest of
 * the update waits; the next one waits in the host's kernel, or in the recording. Lights and sounds
 * go the other way.
 *
 * All but the configuration and the clock's call runs on the vdev's thread.
 */
#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <virtio.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/loop.h>
#include <qvm/x/queue.h>
#include "input.h"

#define US_IN_NS 1000u

enum { QUEUE_EVENTS, QUEUE_STATUS, NUM_QUEUES, QUEUE_SIZE = 64 };
enum { BATCH = 64 }; /* events of the host read at once; of the guest before others have a turn */

/* What `select` of the configuration asks for. */
enum {
	CFG_ID_NAME = 0x01,
	CFG_ID_SERIAL = 0x02,
	CFG_ID_DEVIDS = 0x03,
	CFG_PROP_BITS = 0x10,
	CFG_EV_BITS = 0x11,
	CFG_ABS_INFO = 0x12,
};

struct input_config {
	uint8_t select, subsel, size, reserved[5];
	uint8_t data[INPUT_BITMAP];
};

struct input {
	struct vio_state vio;
	struct input_source source;
	struct input_identity id;
	uint8_t select, subsel;		    /* v_mtx */
	struct qvmx_queue *events, *status; /* NULL: not live */
	struct qvmx_watch *watch;
	bool grab, split_only, status_pending;
	struct guest_timer *timer;
	bool playing;
	uint64_t play_start; /* guest time, ns */
	atomic_bool due;     /* a call of the clock is on its way */

	/* The update that is gathered, then given to the driver. */
	struct input_event_le update[INPUT_MAX_UPDATE];
	unsigned num;
	bool whole, lost; /* it can go; events up to the next SYN_REPORT have no beginning */
	unsigned given, published; /* events of it that have a buffer; whose buffer is back */
	uint32_t ids[INPUT_MAX_UPDATE];
};

static bool is_report(const struct input_event_le *e)
{
	return e->type == htole16(EV_SYN) && e->code == htole16(SYN_REPORT);
}

/* One more event of the source. An update without an end is cut where there is no more room. */
static void gather(struct input *in, const struct input_event_le *e)
{
	in->update[in->num++] = *e;
	in->whole = is_report(e) || in->num == INPUT_MAX_UPDATE;
}

static void publish(struct input *in)
{
	for (; in->published < in->given; in->published++)
		qvmx_queue_done(in->events, in->ids[in->published], sizeof(in->update[0]));
	qvmx_queue_flush(in->events);
}

/* Give the update to the driver. False: it has too few buffers now. */
static bool deliver(struct input *in)
{
	struct qvmx_request req;

	while (in->given < in->num) {
		/* All that a driver can give: more come only when some go back. */
		if (in->given - in->published == qvmx_queue_size(in->events))
			publish(in);
		if (qvmx_queue_next(in->events, &req) != 1) {
			/* The driver may not keep as many as the update has events. */
			if (in->given > in->published)
				publish(in);
			return false;
		}
		/* A buffer without room for an event is of no use. */
		if (req.write_len < sizeof(in->update[0])) {
			qvmx_queue_done(in->events, req.id, 0);
			qvmx_queue_flush(in->events);
			continue;
		}
		(void)qvmx_iov_write(req.iov + req.num_read, req.num_write, 0,
				     &in->update[in->given], sizeof(in->update[0]));
		in->ids[in->given++] = req.id;
	}
	publish(in);
	in->num = in->given = in->published = 0;
	in->whole = false;
	return true;
}

/* The guest's time at which the next update of the recording is due. False: that was all. */
static bool next_due(const struct input *in, uint64_t *ret_ns)
{
	const struct input_recording *r = &in->source.recording;

	if (r->next == r->num)
		return false;
	*ret_ns = in->play_start + r->events[r->next].us * US_IN_NS;
	return true;
}

static void play(vdev_t *vdp)
{
	struct input *in = vdp->v_device;
	struct input_recording *r = &in->source.recording;
	struct guest_timer_data now;
	uint64_t due = 0;

	if (!in->events || !in->playing)
		return;
	guest_timer_state(in->timer, &now);
	for (unsigned n = 0; n < BATCH; n++) {
		if (in->whole && !deliver(in))
			return; /* the next doorbell goes on */
		if (!next_due(in, &due))
			return;
		if (due > now.guest_current)
			break;
		while (!in->whole && r->next < r->num)
			gather(in, &r->events[r->next++].event);
	}
	guest_timer_notify(in->timer, NULL, due > now.guest_current ? due - now.guest_current : 1);
}

static void play_call(vdev_t *vdp, void *data, uint32_t events)
{
	struct input *in = vdp->v_device;

	(void)data, (void)events;
	atomic_store(&in->due, false);
	play(vdp);
}

/* On the clock's thread. */
static void input_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
			struct guest_cpu *gcp)
{
	struct input *in = vdp->v_device;

	(void)data, (void)tdp, (void)gcp;
	if (!atomic_exchange(&in->due, true) && qvmx_loop_call(vdp, play_call, NULL) != EOK)
		atomic_store(&in->due, false); /* without memory the next doorbell goes on */
}

/* Events of the host have no beginning after the kernel has dropped some. */
static void take_from_node(vdev_t *vdp, const struct input_event *e)
{
	struct input *in = vdp->v_device;
	const struct input_event_le le = {
		.type = htole16(e->type),
		.code = htole16(e->code),
		.value = htole32((uint32_t)e->value),
	};

	if (e->type == EV_SYN && e->code == SYN_DROPPED) {
		vdev_logf(QL_QVM_WARN, vdp, "the guest is too slow: the host has dropped events");
		in->lost = true;
		in->num = 0;
	} else if (!in->lost) {
		gather(in, &le);
	} else if (is_report(&le)) {
		in->lost = false;
	}
}

/* One at a time: what the driver has no buffers for stays in the host's kernel. */
static void read_node(vdev_t *vdp)
{
	struct input *in = vdp->v_device;
	struct input_event e;
	bool room = true;

	if (!in->watch)
		return;
	for (unsigned n = 0; n < BATCH && room; n++) {
		if (in->whole)
			room = in->events && deliver(in);
		if (!room)
			break;
		ssize_t len = read(in->source.fd, &e, sizeof(e));

		if (len == (ssize_t)sizeof(e)) {
			take_from_node(vdp, &e);
			continue;
		}
		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		vdev_logf(QL_QVM_WARN, vdp, "the events of '%s' end: %s", in->source.path,
			  len < 0 ? strerror(errno) : "no device");
		qvmx_watch_remove(in->watch);
		in->watch = NULL;
		return;
	}
	qvmx_watch_set(in->watch, room && in->events ? EPOLLIN : 0);
}

static void node_ready(vdev_t *vdp, void *data, uint32_t events)
{
	(void)data, (void)events;
	read_node(vdp);
}

static void serve_events(vdev_t *vdp)
{
	struct input *in = vdp->v_device;

	if (in->source.fd >= 0)
		read_node(vdp);
	else
		play(vdp);
}

/* What the driver sets: the lights and sounds that the device has, nothing else. */
static void set_status(struct input *in, const struct input_event_le *le)
{
	const struct input_event e = {
		.type = le16toh(le->type),
		.code = le16toh(le->code),
		.value = (int32_t)le32toh(le->value),
	};

	if (in->source.fd < 0 || (e.type != EV_LED && e.type != EV_SND) ||
	    e.code >= INPUT_BITMAP * 8 || !input_bit(in->id.bits[e.type], e.code))
		return;
	/* The host may not take it: then the light stays as it is. */
	(void)!write(in->source.fd, &e, sizeof(e));
}

static void serve_status(vdev_t *vdp);

static void status_call(vdev_t *vdp, void *data, uint32_t events)
{
	struct input *in = vdp->v_device;

	(void)data, (void)events;
	in->status_pending = false;
	serve_status(vdp);
}

static void serve_status(vdev_t *vdp)
{
	struct input *in = vdp->v_device;
	struct input_event_le e;
	struct qvmx_request req;
	unsigned taken = 0;

	if (!in->status)
		return;
	while (taken < BATCH && qvmx_queue_next(in->status, &req) == 1) {
		if (qvmx_iov_read(req.iov, req.num_read, 0, &e, sizeof(e)) == sizeof(e))
			set_status(in, &e);
		qvmx_queue_done(in->status, req.id, 0);
		taken++;
	}
	qvmx_queue_flush(in->status);
	if (taken == BATCH && !in->status_pending)
		in->status_pending = qvmx_loop_call(vdp, status_call, NULL) == EOK;
}

static void queue_kick(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	(void)q;
	if (queue == QUEUE_EVENTS)
		serve_events(vdp);
	else
		serve_status(vdp);
}

static void queue_start(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct input *in = vdp->v_device;
	struct guest_timer_data now;

	if (queue == QUEUE_STATUS) {
		in->status = q;
		return;
	}
	in->events = q;
	/* A recording begins when a driver listens for the first time. */
	if (!in->playing && in->source.fd < 0) {
		guest_timer_state(in->timer, &now);
		in->play_start = now.guest_current;
		in->playing = true;
	}
	serve_events(vdp);
}

static bool queue_stop(vdev_t *vdp, unsigned queue, struct qvmx_queue *q)
{
	struct input *in = vdp->v_device;

	(void)q;
	if (queue == QUEUE_STATUS) {
		in->status = NULL;
		return true;
	}
	in->events = NULL;
	in->given = in->published = 0; /* the update itself waits for the next driver */
	if (in->watch)
		qvmx_watch_set(in->watch, 0);
	return true;
}

static const struct qvmx_queue_ops queue_ops = {
	.size = sizeof(queue_ops),
	.kick = queue_kick,
	.stop = queue_stop,
	.start = queue_start,
};

/* Bytes up to the last one that is not 0. */
static unsigned bitmap_len(const uint8_t *bitmap)
{
	unsigned len = INPUT_BITMAP;

	while (len && !bitmap[len - 1])
		len--;
	return len;
}

static void config_bitmap(struct input_config *c, const uint8_t *bitmap)
{
	c->size = (uint8_t)bitmap_len(bitmap);
	memcpy(c->data, bitmap, c->size);
}

static void config_text(struct input_config *c, const char *text)
{
	c->size = (uint8_t)strlen(text);
	memcpy(c->data, text, c->size);
}

static void config_abs(struct input_config *c, const struct input_absinfo *abs)
{
	const uint32_t words[] = { htole32((uint32_t)abs->minimum), htole32((uint32_t)abs->maximum),
				   htole32((uint32_t)abs->fuzz), htole32((uint32_t)abs->flat),
				   htole32((uint32_t)abs->resolution) };

	c->size = sizeof(words);
	memcpy(c->data, words, sizeof(words));
}

static void config_ids(struct input_config *c, const struct input_identity *id)
{
	const uint16_t words[] = { htole16(id->bus), htole16(id->vendor), htole16(id->product),
				   htole16(id->version) };

	c->size = sizeof(words);
	memcpy(c->data, words, sizeof(words));
}

/* The configuration for what is selected; a pair that there is not has size 0. */
static void config_make(const struct input *in, struct input_config *c)
{
	const struct input_identity *id = &in->id;

	if (c->select == CFG_EV_BITS && c->subsel > 0 && c->subsel < INPUT_NUM_TYPES)
		config_bitmap(c, id->bits[c->subsel]);
	else if (c->select == CFG_ABS_INFO && c->subsel < ABS_CNT &&
		 input_bit(id->bits[EV_ABS], c->subsel))
		config_abs(c, &id->abs[c->subsel]);
	else if (c->subsel != 0)
		return;
	else if (c->select == CFG_ID_NAME)
		config_text(c, id->name);
	else if (c->select == CFG_ID_SERIAL)
		config_text(c, id->serial);
	else if (c->select == CFG_ID_DEVIDS)
		config_ids(c, id);
	else if (c->select == CFG_PROP_BITS)
		config_bitmap(c, id->props);
}

static vdev_ref_status_t input_vread(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct input *in = vdp->v_device;
	unsigned ref = vio_read(&in->vio, cookie, vopnd, oopnd, gcp);
	struct input_config c = { 0 };

	if ((ref & VIOREF_CLASS_MASK) != VIOREF_DEVCFG)
		return qvmx_vio_status(ref);
	pthread_mutex_lock(&vdp->v_mtx);
	c.select = in->select;
	c.subsel = in->subsel;
	pthread_mutex_unlock(&vdp->v_mtx);
	config_make(in, &c);
	return qvmx_config_read(ref, &c, sizeof(c), oopnd, gcp);
}

static vdev_ref_status_t input_vwrite(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct input *in = vdp->v_device;
	unsigned ref = vio_write(&in->vio, cookie, vopnd, oopnd, gcp);
	unsigned offset = ref & ~VIOREF_CLASS_MASK, len;
	uint8_t bytes[8] = { 0 };

	if ((ref & VIOREF_CLASS_MASK) != VIOREF_DEVCFG)
		return qvmx_vio_status(ref);
	len = oopnd->length < sizeof(bytes) ? (unsigned)oopnd->length : sizeof(bytes);
	if (guest_cpu_read(gcp, GXF_NONE, oopnd, 1, bytes, len) != EOK)
		return VRS_NORMAL;
	pthread_mutex_lock(&vdp->v_mtx);
	for (unsigned i = 0; i < len; i++) {
		if (offset + i == offsetof(struct input_config, select))
			in->select = bytes[i];
		else if (offset + i == offsetof(struct input_config, subsel))
			in->subsel = bytes[i];
	}
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

enum { OPT_HOSTDEV, OPT_GRAB, OPT_PACKED, OPT_LEGACY, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_HOSTDEV] = { .name = "hostdev",
			  .type = QVMX_OPT_PATH,
			  .flags = QVMX_OPTF_REQUIRED,
			  .help = "evdev node of the host, or a recording of evemu-record" },
	[OPT_GRAB] = { .name = "grab",
		       .type = QVMX_OPT_BOOL,
		       .help = "take the node's events from the host (default yes)" },
	[OPT_PACKED] = QVMX_QUEUE_OPTION_PACKED,
	[OPT_LEGACY] = QVMX_QUEUE_OPTION_LEGACY,
};

static int options_end(vdev_t *vdp)
{
	static const struct vio_description desc = {
		.device_type = VIRTIO_ID_INPUT,
		.pci_class = 0x098000, /* input device of no kind */
		.num_queues = NUM_QUEUES,
		.device_config_size = sizeof(struct input_config),
	};
	struct input *in = vdp->v_device;
	uint64_t resolution;

	if (!in->source.path)
		return EOK; /* reported: it is required */
	int err = input_source_open(&in->source, vdp, &in->id);

	if (err != EOK)
		return err;
	in->timer = guest_timer_create(NULL, vdp, NULL, &resolution);
	if (!in->timer)
		return (int)resolution;
	vio_init(vdp, VIOVER_100, &desc, &in->vio);
	if (in->split_only)
		qvmx_queue_split_only(&in->vio);
	for (unsigned i = 0; i < NUM_QUEUES; i++) {
		vio_init_queue(&in->vio, i, QUEUE_SIZE);
		qvmx_queue_serve(&in->vio, i, &queue_ops);
	}
	return EOK;
}

static int configured(vdev_t *vdp)
{
	struct input *in = vdp->v_device;

	if (in->source.fd < 0)
		return EOK;
	if (in->grab && ioctl(in->source.fd, EVIOCGRAB, 1) < 0)
		return qvmx_refuse(vdp, "hostdev '%s' cannot be taken from the host: %s",
				   in->source.path, strerror(errno));
	return qvmx_watch_add(vdp, in->source.fd, 0, node_ready, NULL, &in->watch);
}

static int option_hostdev(vdev_t *vdp, const char *arg)
{
	struct input *in = vdp->v_device;

	if (arg[0] == '<' || arg[0] == '>' || strcmp(arg, "-") == 0)
		return qvmx_refuse(vdp, "hostdev takes an evdev node or a recording");
	free(in->source.path); /* the last one counts */
	in->source.path = strdup(arg);
	return in->source.path ? EOK : ENOMEM;
}

static int input_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct input *in = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		in->source.fd = -1;
		in->grab = true;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_HOSTDEV:
		return option_hostdev(vdp, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_GRAB:
		in->grab = qvmx_option_value(&options[OPT_GRAB], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_PACKED:
		in->split_only = !qvmx_option_value(&options[OPT_PACKED], arg);
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_LEGACY:
		return qvmx_queue_refuse_legacy(vdp);
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return vio_ctrl_pci_bars(&in->vio, arg);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return configured(vdp);
	case VDEV_CTRL_TERMINATE:
		input_source_close(&in->source);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = input_control,
	.vread = input_vread,
	.vwrite = input_vwrite,
	.timer = input_timer,
	.factory_flags = VFF_VDEV_PCI | VFF_VDEV_MEM | VFF_INTR_NONPCI | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct input),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = NUM_OPTIONS,
	.summary = "VirtIO keyboard, mouse or touch screen",
	.options = options,
};

static void __attribute__((constructor)) input_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
