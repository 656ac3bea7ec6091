/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the events of a virtio-input device come from: an evdev node of the host, or a file of
 * recorded events. Both say what the device is (struct input_identity) and give updates: events up
 * to and with a SYN_REPORT. source.c and recording.c know nothing of queues.
 *
 * Everything runs in the start-up stage, on the vdev's thread, or in VDEV_CTRL_TERMINATE.
 */
#ifndef INPUT_H
#define INPUT_H

#include <linux/input.h>
#include <stdbool.h>
#include <stdint.h>
#include <qvm/vdev-core.h>

enum {
	INPUT_MAX_TEXT = 127, /* of a name, as the device's configuration has room for */
	INPUT_BITMAP = 128,   /* bytes of a bitmap, likewise */
	INPUT_NUM_TYPES = EV_CNT,
	INPUT_MAX_UPDATE = 64,	    /* events of one update; longer ones are cut in two */
	INPUT_MAX_EVENTS = 1 << 20, /* of a recording */
};

/* What the guest's driver is told. Constant once the options have ended. */
struct input_identity {
	char name[INPUT_MAX_TEXT + 1], serial[INPUT_MAX_TEXT + 1];
	uint16_t bus, vendor, product, version;
	uint8_t props[INPUT_BITMAP];
	uint8_t bits[INPUT_NUM_TYPES][INPUT_BITMAP]; /* [type]: its codes; [0] is not used */
	struct input_absinfo abs[ABS_CNT];
};

static inline bool input_bit(const uint8_t *bitmap, unsigned bit)
{
	return bitmap[bit / 8] & (1u << bit % 8);
}

/* As the guest's driver gets it. */
struct input_event_le {
	uint16_t type, code;
	uint32_t value;
};

struct input_recorded {
	uint64_t us; /* since the first one */
	struct input_event_le event;
};

struct input_recording {
	struct input_recorded *events; /* the last one is a SYN_REPORT */
	unsigned num, next;
};

struct input_source {
	char *path;
	int fd; /* of the node; -1: a recording, or not open */
	struct input_recording recording;
};

/*
 * Open `path` and learn what the device is. In VDEV_CTRL_OPTIONS_END; nothing on the host changes.
 * Returns EOK, or EINVAL after it was reported.
 */
int input_source_open(struct input_source *s, vdev_t *vdp, struct input_identity *ret_identity);
void input_source_close(struct input_source *s);

/* recording.c: read one. As input_source_open. */
int input_recording_read(struct input_recording *r, const char *path, vdev_t *vdp,
			 struct input_identity *ret_identity);

#endif
