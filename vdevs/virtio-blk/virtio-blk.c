/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev virtio-blk: a VirtIO disk on a host file or block device.
 * Its life, options, device configuration, and the opening of the disk; blk.h tells how the parts
 * and threads go together.
 */
#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <virtio.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/loop.h>
#include "blk.h"

#define RETRY_NS	  (100u * 1000 * 1000) /* between two tries to open a `delayed` file */
#define BUSY_MS		  500 /* how long a disk in use is waited for at the start */
#define BUSY_STEP_MS	  10
#define DRAIN_MS	  10000 /* how long requests under way are waited for at the end */
#define NS_PER_SECOND	  1000000000u
#define FOREVER		  UINT64_MAX

#define WRITABLE_FEATURES (1u << BLK_F_DISCARD | 1u << BLK_F_WRITE_ZEROES)

struct blk_config {
	uint64_t capacity; /* sectors of 512 bytes */
	uint32_t size_max, seg_max;
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp, alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback, unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};

#define CONFIG_SIZE 60u /* what follows is alignment */
_Static_assert(offsetof(struct blk_config, unused1) + 3 == CONFIG_SIZE,
	       "VirtIO block configuration up to write zeroes");

enum {
	OPT_HOSTDEV,
	OPT_DELAYED,
	OPT_DIO,
	OPT_THREADS,
	OPT_SERIAL,
	OPT_QUEUES,
	OPT_PACKED,
	OPT_LEGACY,
};

static const struct qvmx_option options[] = {
	[OPT_HOSTDEV] = { .name = "hostdev",
			  .type = QVMX_OPT_PATH,
			  .flags = QVMX_OPTF_REQUIRED,
			  .help = "host file or block device; '<' before it: read-only" },
	[OPT_DELAYED] = { .name = "delayed",
			  .type = QVMX_OPT_SECONDS,
			  .help = "open it when the guest first refers to it; how long to try" },
	[OPT_DIO] = { .name = "dio",
		      .type = QVMX_OPT_CHOICE,
		      .choices = "enable|disable",
		      .help = "bypass the host's page cache (default disable)" },
	[OPT_THREADS] = { .name = "threads",
			  .type = QVMX_OPT_NUMBER,
			  .min = 1,
			  .max = 32,
			  .help = "most worker threads for I/O that cannot be done at once" },
	[OPT_SERIAL] = { .name = "serial",
			 .type = QVMX_OPT_STRING,
			 .help = "serial number, up to 20 characters (default: from the file "
				 "name)" },
	[OPT_QUEUES] = { .name = "queues",
			 .type = QVMX_OPT_NUMBER,
			 .min = 1,
			 .max = BLK_MAX_QUEUES,
			 .help = "request queues for the guest's CPUs (default 1)" },
	[OPT_PACKED] = QVMX_QUEUE_OPTION_PACKED,
	[OPT_LEGACY] = QVMX_QUEUE_OPTION_LEGACY,
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

/* Opening the disk */

/* Call with v_mtx held, or in the start-up stage. */
static int open_disk(struct blk *blk, char why[BACKEND_WHY_SIZE])
{
	int err = backend_open(blk->backend, &blk->geometry, why);

	if (err)
		return err;
	blk->state = DISK_OPEN;
	/* Before anybody sees the new one. */
	if (blk->seen_missing)
		qvmx_config_changed(&blk->vio);
	atomic_store_explicit(&blk->ready, true, memory_order_release);
	return 0;
}

static void log_ignored(vdev_t *vdp)
{
	const struct blk *blk = vdp->v_device;

	if (blk->geometry.ignored)
		vdev_logf(
			QL_QVM_INFO, vdp,
			"the last %llu bytes of '%s' make no sector of 512 bytes and are left out",
			(unsigned long long)blk->geometry.ignored, blk->path);
}

static void set_retry_timer(const struct blk *blk, long interval_ns)
{
	struct itimerspec its = { .it_interval.tv_nsec = interval_ns,
				  .it_value.tv_nsec = interval_ns };

	/* Cannot fail: the descriptor and the times are valid. */
	(void)timerfd_settime(blk->timer_fd, 0, &its, NULL);
}

/* One try at a time that is allowed for one; v_mtx is held. */
static void try_open(vdev_t *vdp, uint64_t now)
{
	struct blk *blk = vdp->v_device;
	char why[BACKEND_WHY_SIZE];

	if (open_disk(blk, why) == 0) {
		set_retry_timer(blk, 0);
		log_ignored(vdp);
		return;
	}
	blk->next_try = now + RETRY_NS;
	if (blk->state != DISK_WAITING || now < blk->deadline)
		return;
	blk->state = DISK_MISSING;
	set_retry_timer(blk, 0);
	vdev_logf(QL_QVM_WARN, vdp,
		  "%s; the guest gets I/O errors until it asks for the disk and finds it there",
		  why);
}

/* The guest refers to the disk. v_mtx is held. */
static void refer_locked(vdev_t *vdp)
{
	struct blk *blk = vdp->v_device;
	uint64_t now = now_ns();

	if (blk->state == DISK_UNSEEN) {
		blk->state = DISK_WAITING;
		blk->deadline = blk->delay >= (FOREVER - now) / NS_PER_SECOND
					? FOREVER
					: now + blk->delay * NS_PER_SECOND;
		set_retry_timer(blk, RETRY_NS);
		try_open(vdp, now);
	} else if (blk->state == DISK_MISSING && now >= blk->next_try) {
		try_open(vdp, now);
	}
}

/*
 * The guest refers to the disk, on any thread; with `delayed` that is when it is opened. On a
 * vCPU's thread this waits for an open(2): a guest that reads the capacity before it drives the
 * device, as Linux does, then finds the disk's partitions without further ado.
 */
enum disk_state blk_refer(vdev_t *vdp)
{
	struct blk *blk = vdp->v_device;
	enum disk_state state;

	if (atomic_load_explicit(&blk->ready, memory_order_acquire))
		return DISK_OPEN;
	pthread_mutex_lock(&vdp->v_mtx);
	refer_locked(vdp);
	state = blk->state;
	if (state != DISK_OPEN)
		blk->seen_missing = true;
	pthread_mutex_unlock(&vdp->v_mtx);
	return state;
}

static void retry_timer(vdev_t *vdp, void *data, uint32_t events)
{
	struct blk *blk = vdp->v_device;
	uint64_t count;

	(void)data, (void)events;
	/* Nothing to read: it was stopped meanwhile. */
	if (read(blk->timer_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&vdp->v_mtx);
	if (blk->state == DISK_WAITING)
		try_open(vdp, now_ns());
	pthread_mutex_unlock(&vdp->v_mtx);
	blk_serve(vdp);
}

/* The device configuration. On vCPUs' threads. */

static uint8_t clamp8(uint32_t v)
{
	return (uint8_t)(v < UINT8_MAX ? v : UINT8_MAX);
}

static uint16_t clamp16(uint32_t v)
{
	return (uint16_t)(v < UINT16_MAX ? v : UINT16_MAX);
}

static void fill_config(vdev_t *vdp, struct blk_config *config)
{
	struct blk *blk = vdp->v_device;
	const struct backend_geometry *geo = &blk->geometry;
	uint32_t exp = 0;

	*config = (struct blk_config){
		.seg_max = htole32(BLK_QUEUE_SIZE - 2), /* all but header and status */
		.blk_size = htole32(BLK_SECTOR),
		.num_queues = htole16((uint16_t)blk->num_queues),
	};
	if (!blk->read_only) {
		config->max_discard_sectors = htole32(BLK_MAX_RANGE / BLK_SECTOR);
		config->max_discard_seg = htole32(1);
		config->discard_sector_alignment = htole32(1);
		config->max_write_zeroes_sectors = htole32(BLK_MAX_RANGE / BLK_SECTOR);
		config->max_write_zeroes_seg = htole32(1);
		config->write_zeroes_may_unmap = 1;
	}
	if (blk_refer(vdp) != DISK_OPEN)
		return;
	while (geo->logical_block << exp < geo->physical_block)
		exp++;
	config->capacity = htole64(geo->capacity / BLK_SECTOR);
	config->blk_size = htole32(geo->logical_block);
	if (!blk->read_only)
		config->discard_sector_alignment = htole32(geo->physical_block / BLK_SECTOR);
	config->physical_block_exp = (uint8_t)exp;
	config->alignment_offset = clamp8(geo->alignment_offset / geo->logical_block);
	config->min_io_size = htole16(clamp16(geo->min_io / geo->logical_block));
	config->opt_io_size = htole32(geo->opt_io / geo->logical_block);
}

static vdev_ref_status_t blk_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct blk *blk = vdp->v_device;
	unsigned ref = vio_read(&blk->vio, cookie, vopnd, oopnd, gcp);
	struct blk_config config;

	if ((ref & VIOREF_CLASS_MASK) != VIOREF_DEVCFG)
		return qvmx_vio_status(ref);
	fill_config(vdp, &config);
	return qvmx_config_read(ref, &config, CONFIG_SIZE, oopnd, gcp);
}

static vdev_ref_status_t blk_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	struct blk *blk = vdp->v_device;

	/* Nothing in the device configuration can be written. */
	return qvmx_vio_status(vio_write(&blk->vio, cookie, vopnd, oopnd, gcp));
}

/* Options and life */

static int set_hostdev(vdev_t *vdp, const char *text)
{
	struct blk *blk = vdp->v_device;

	if (*text == '>')
		return qvmx_refuse(vdp,
				   "a disk cannot be write-only: '%s' without '>', or with '<' "
				   "for a read-only disk",
				   text + 1);
	blk->read_only = *text == '<';
	text += blk->read_only;
	if (!*text || strcmp(text, "-") == 0)
		return qvmx_refuse(vdp, "a disk needs a file or a block device");
	free(blk->path);
	blk->path = strdup(text);
	return blk->path ? EOK : ENOMEM;
}

static int set_serial(vdev_t *vdp, const char *text)
{
	struct blk *blk = vdp->v_device;
	size_t len = strlen(text);

	if (len > BLK_ID_SIZE)
		return qvmx_refuse(vdp,
				   "the serial number '%s' has %zu characters, %d are possible",
				   text, len, BLK_ID_SIZE);
	memcpy(blk->id, text, len + 1);
	return EOK;
}

static int set_option(vdev_t *vdp, unsigned option, const char *text)
{
	struct blk *blk = vdp->v_device;

	switch (option) {
	case OPT_HOSTDEV:
		return set_hostdev(vdp, text);
	case OPT_DELAYED:
		blk->delayed = true;
		blk->delay = qvmx_option_value(&options[option], text);
		return EOK;
	case OPT_DIO:
		blk->direct = qvmx_option_value(&options[option], text) == 0;
		return EOK;
	case OPT_THREADS:
		blk->threads = (unsigned)qvmx_option_value(&options[option], text);
		return EOK;
	case OPT_SERIAL:
		return set_serial(vdp, text);
	case OPT_QUEUES:
		blk->num_queues = (unsigned)qvmx_option_value(&options[option], text);
		return EOK;
	case OPT_PACKED:
		blk->split_only = !qvmx_option_value(&options[option], text);
		return EOK;
	case OPT_LEGACY:
		return qvmx_queue_refuse_legacy(vdp);
	default:
		return EINVAL;
	}
}

/* The end of the file's name: names that belong together differ there. */
static void default_serial(struct blk *blk)
{
	const char *slash = strrchr(blk->path, '/');
	const char *name = slash ? slash + 1 : blk->path;
	size_t len = strlen(name);

	if (len > BLK_ID_SIZE)
		name += len - BLK_ID_SIZE;
	for (size_t i = 0; name[i]; i++)
		blk->id[i] = (char)(name[i] > ' ' && name[i] <= '~' ? name[i] : '_');
}

static void warn_user(void *owner, const char *text)
{
	vdev_logf(QL_QVM_WARN, owner, "%s", text);
}

static struct backend_config backend_config(vdev_t *vdp)
{
	const struct blk *blk = vdp->v_device;

	return (struct backend_config){
		.path = blk->path,
		.read_only = blk->read_only,
		.direct = blk->direct,
		.threads = blk->threads,
		.done = blk_request_done,
		.warn = warn_user,
		.owner = vdp,
	};
}

static int options_end(vdev_t *vdp)
{
	struct blk *blk = vdp->v_device;
	uint32_t features = 1u << BLK_F_SEG_MAX | 1u << BLK_F_BLK_SIZE | 1u << BLK_F_FLUSH |
			    1u << BLK_F_TOPOLOGY;
	struct vio_description desc = {
		.device_type = VIRTIO_ID_BLOCK,
		.pci_class = 0x018000,
		.num_queues = blk->num_queues,
		.device_config_size = CONFIG_SIZE,
	};
	char why[BACKEND_WHY_SIZE];
	struct backend_config config;

	if (!blk->path)
		return qvmx_refuse(vdp, "a disk needs 'hostdev FILE'");
	config = backend_config(vdp);
	if (!blk->delayed && backend_check(&config, why) != 0)
		return qvmx_refuse(vdp, "%s", why);
	if (!blk->id[0])
		default_serial(blk);
	desc.device_features[0] = features | (blk->read_only ? 1u << BLK_F_RO : WRITABLE_FEATURES);
	if (blk->num_queues > 1)
		desc.device_features[0] |= 1u << BLK_F_MQ;
	vio_init(vdp, VIOVER_100, &desc, &blk->vio);
	if (blk->split_only)
		qvmx_queue_split_only(&blk->vio);
	for (unsigned i = 0; i < blk->num_queues; i++) {
		vio_init_queue(&blk->vio, i, BLK_QUEUE_SIZE);
		qvmx_queue_serve(&blk->vio, i, &blk_queue_ops);
	}
	return EOK;
}

/*
 * A VM that was killed a moment ago may seem to hold its disk still: the kernel lets go of what
 * io_uring had under way in the background.
 */
static int open_at_start(struct blk *blk, char why[BACKEND_WHY_SIZE])
{
	int err;

	for (unsigned waited = 0;; waited += BUSY_STEP_MS) {
		err = open_disk(blk, why);
		if (err != -EBUSY || waited >= BUSY_MS)
			return err;
		nanosleep(&(struct timespec){ .tv_nsec = BUSY_STEP_MS * 1000000 }, NULL);
	}
}

static int guest_configured(vdev_t *vdp)
{
	struct blk *blk = vdp->v_device;
	struct backend_config config = backend_config(vdp);
	char why[BACKEND_WHY_SIZE];
	int err;

	if (backend_create(&config, &blk->backend, why) != 0)
		return qvmx_refuse(vdp, "%s", why);
	if (!blk->delayed) {
		if (open_at_start(blk, why) != 0)
			return qvmx_refuse(vdp, "%s", why);
		log_ignored(vdp);
	} else {
		blk->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (blk->timer_fd < 0)
			return errno;
		err = qvmx_watch_add(vdp, blk->timer_fd, EPOLLIN, retry_timer, NULL, NULL);
		if (err)
			return err;
	}
	return qvmx_watch_add(vdp, backend_fd(blk->backend), EPOLLIN, blk_backend_ready, NULL,
			      NULL);
}

/* Also after a start that failed anywhere. The vdev's thread has ended. */
static void terminate(vdev_t *vdp)
{
	struct blk *blk = vdp->v_device;

	for (unsigned i = 0; i < blk->num_queues; i++)
		blk->queues[i].live = blk->queues[i].stopping = NULL;
	if (blk->backend && !backend_drain(blk->backend, DRAIN_MS))
		vdev_logf(QL_QVM_WARN, vdp, "'%s' does not answer: requests are given up",
			  blk->path);
	backend_destroy(blk->backend);
	if (blk->timer_fd >= 0)
		close(blk->timer_fd);
	blk_requests_free(blk);
	free(blk->path);
}

static void log_status(vdev_t *vdp)
{
	const struct blk *blk = vdp->v_device;
	bool ready = atomic_load_explicit(&blk->ready, memory_order_acquire);

	vdev_logf(QL_QVM_INFO, vdp, "file='%s'%s open=%s bytes=%llu queues=%u serial='%s'",
		  blk->path, blk->read_only ? " read-only" : "", ready ? "yes" : "no",
		  (unsigned long long)(ready ? blk->geometry.capacity : 0), blk->num_queues,
		  blk->id);
}

static int blk_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct blk *blk = vdp->v_device;

	switch (ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		blk->timer_fd = -1;
		blk->num_queues = 1;
		atomic_init(&blk->ready, false);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_PCI_BARS:
		return vio_ctrl_pci_bars(&blk->vio, arg);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return guest_configured(vdp);
	case VDEV_CTRL_STATUS:
		log_status(vdp);
		return EOK;
	case VDEV_CTRL_TERMINATE:
		terminate(vdp);
		return EOK;
	default:
		if (ctrl >= VDEV_CTRL_FIRST_OPTIDX)
			return set_option(vdp, (unsigned)ctrl - VDEV_CTRL_FIRST_OPTIDX, arg);
		return EOK;
	}
}

static struct vdev_factory blk_factory = {
	.control = blk_control,
	.vread = blk_vread,
	.vwrite = blk_vwrite,
	.factory_flags = VFF_VDEV_PCI | VFF_VDEV_MEM | VFF_INTR_NONPCI | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct blk),
};

static const struct qvmx_vdev_info blk_info = {
	.size = sizeof(blk_info),
	.num_options = sizeof(options) / sizeof(options[0]),
	.summary = "VirtIO disk on a host file or block device",
	.options = options,
};

static void __attribute__((constructor)) blk_register(void)
{
	qvmx_vdev_register(&blk_factory, &blk_info, QVM_VDEV_ABI);
}
