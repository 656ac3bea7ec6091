/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev pl031: Arm's PL031 real time clock: seconds, and one alarm. Guest time is the host's UTC
 * plus an offset that changes when the guest sets the clock; nothing ticks.
 */
#include <stdbool.h>
#include <time.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/fdt.h>

#define DEFAULT_ADDRESS 0x1c170000
#define LENGTH		0x1000
#define CLOCK_HZ	24000000
#define NS		1000000000ull

enum {
	REG_DR = 0x00,
	REG_MR = 0x04,
	REG_LR = 0x08,
	REG_CR = 0x0c,
	REG_IMSC = 0x10,
	REG_RIS = 0x14,
	REG_MIS = 0x18,
	REG_ICR = 0x1c,
	REG_ID = 0xfe0,
};

struct rtc {
	struct guest_timer *timer;
	/* v_mtx */
	uint32_t offset; /* the guest's seconds less the host's */
	uint32_t match, load;
	bool enabled, ris;
	uint64_t alarm; /* host time in ns of the next match */
};

static uint64_t host_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* The next second that equals the match register: the counter wraps after 136 years. */
static void alarm_set(struct rtc *rtc)
{
	uint64_t now = host_ns(), second = now / NS;
	uint32_t ahead = rtc->match - ((uint32_t)second + rtc->offset);

	rtc->alarm = (second + (ahead ? ahead : UINT64_C(1) << 32)) * NS;
	(void)guest_timer_notify(rtc->timer, NULL, rtc->alarm - now);
}

/* Clock or match register has been set: they may be equal already. */
static void match_changed(struct rtc *rtc)
{
	rtc->ris |= (uint32_t)(host_ns() / NS) + rtc->offset == rtc->match;
	alarm_set(rtc);
}

static void update_line(vdev_t *vdp)
{
	const struct rtc *rtc = vdp->v_device;

	if (vdp->v_intr.pic)
		(void)guest_intr_signal(&vdp->v_intr, rtc->ris && rtc->enabled ? GIS_ON : GIS_OFF);
}

static void write_reg(struct rtc *rtc, unsigned reg, uint32_t data)
{
	switch (reg) {
	case REG_MR:
		rtc->match = data;
		match_changed(rtc);
		break;
	case REG_LR:
		rtc->load = data;
		rtc->offset = data - (uint32_t)(host_ns() / NS);
		match_changed(rtc);
		break;
	case REG_IMSC:
		rtc->enabled = data & 1;
		break;
	case REG_ICR:
		rtc->ris = rtc->ris && !(data & 1);
		break;
	default: /* once on it stays on */
		break;
	}
}

static uint32_t read_reg(const struct rtc *rtc, unsigned reg)
{
	static const uint8_t id[] = { 0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	if (reg >= REG_ID)
		return id[(reg - REG_ID) / 4];
	switch (reg) {
	case REG_DR:
		return (uint32_t)(host_ns() / NS) + rtc->offset;
	case REG_MR:
		return rtc->match;
	case REG_LR:
		return rtc->load;
	case REG_CR:
		return 1;
	case REG_IMSC:
		return rtc->enabled;
	case REG_RIS:
		return rtc->ris;
	case REG_MIS:
		return rtc->ris && rtc->enabled;
	default:
		return 0;
	}
}

static vdev_ref_status_t rtc_vread(vdev_t *vdp, unsigned cookie,
				   const struct qvm_state_block *vopnd,
				   const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t data;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	data = vopnd->location % 4 ? 0 : read_reg(vdp->v_device, (unsigned)vopnd->location);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &data, sizeof(data)));
}

static vdev_ref_status_t rtc_vwrite(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t data;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &data, sizeof(data));

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location % 4 == 0)
		write_reg(vdp->v_device, (unsigned)vopnd->location, data);
	update_line(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

/* The host's clock may have been set meanwhile: then it is not the time yet. */
static void rtc_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		      struct guest_cpu *gcp)
{
	struct rtc *rtc = vdp->v_device;

	(void)data, (void)tdp, (void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	rtc->ris |= host_ns() >= rtc->alarm;
	alarm_set(rtc);
	update_line(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
}

static int gen_fdt(vdev_t *vdp, int parent)
{
	static const char compatible[] = "arm,pl031\0arm,primecell";
	uint32_t clock;
	int node, err = qvmx_fdt_clock(vdp, CLOCK_HZ, &clock);

	if (err == EOK)
		err = qvmx_fdt_device(vdp, parent, "rtc", compatible, sizeof(compatible), 0, &node);
	if (err == EOK)
		err = qvmx_fdt_prop_cells(vdp, node, "clocks", &clock, 1);
	return err != EOK ? err : qvmx_fdt_prop(vdp, node, "clock-names", "apb_pclk", 9);
}

static int rtc_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct rtc *rtc = vdp->v_device;
	uint64_t resolution;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_MEMORY,
			.location = DEFAULT_ADDRESS,
			.length = LENGTH,
		};
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		vdp->v_block.length = LENGTH;
		rtc->timer = guest_timer_create(NULL, vdp, NULL, &resolution);
		return rtc->timer ? EOK : (int)resolution;
	case VDEV_CTRL_GEN_FDT:
		return gen_fdt(vdp, (int)(intptr_t)arg);
	case VDEV_CTRL_STATUS:
		pthread_mutex_lock(&vdp->v_mtx);
		vdev_logf(QL_QVM_INFO, vdp, "time=%u match=%u", read_reg(rtc, REG_DR), rtc->match);
		pthread_mutex_unlock(&vdp->v_mtx);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = rtc_control,
	.vread = rtc_vread,
	.vwrite = rtc_vwrite,
	.timer = rtc_timer,
	.factory_flags = VFF_VDEV_MEM | VFF_MUTEX,
	.acc_sizes = 1u << 4,
	.extra_space = sizeof(struct rtc),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "Arm PL031 real time clock",
};

static void __attribute__((constructor)) rtc_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
