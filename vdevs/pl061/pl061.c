/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev pl061: Arm's PL061 GPIO block, eight lines. To one of them the power button is connected;
 * nothing is to the others, so they read 0 as inputs and what was written as outputs.
 *
 * The button is held until the guest has read its line, so that a driver that looks at it some time
 * after the interrupt, or starts later, sees it; then it is let go.
 */
#include <stdbool.h>
#include <stdio.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/fdt.h>

#define DEFAULT_ADDRESS 0x1c1d0000
#define LENGTH		0x1000
#define CLOCK_HZ	24000000
#define DEFAULT_BUTTON	3
#define NUM_LINES	8
#define KEY_POWER	116 /* Linux's number of the key */

enum {
	REG_DATA_LAST = 0x3fc, /* bits 2 to 9 of the address: the lines that an access is about */
	REG_DIR = 0x400,
	REG_IS = 0x404,
	REG_IBE = 0x408,
	REG_IEV = 0x40c,
	REG_IE = 0x410,
	REG_RIS = 0x414,
	REG_MIS = 0x418,
	REG_IC = 0x41c,
	REG_AFSEL = 0x420,
	REG_ID = 0xfe0,
};

struct gpio {
	struct guest_timer *timer;
	uint64_t hold; /* units of the timer from the guest's look to the end of the press */
	uint64_t button;
	/* v_mtx */
	uint8_t dir, data; /* 1: output */
	uint8_t is, ibe, iev, ie, afsel;
	uint8_t edges; /* seen and not cleared */
	bool pressed, looked_at;
};

static uint8_t button_mask(const struct gpio *gpio)
{
	return (uint8_t)(1u << gpio->button);
}

static uint8_t levels(const struct gpio *gpio)
{
	uint8_t inputs = gpio->pressed ? button_mask(gpio) : 0;

	return (uint8_t)((gpio->data & gpio->dir) | (inputs & ~gpio->dir));
}

/* `is` tells levels from edges, `iev` the level or edge that counts. */
static uint8_t raw_status(const struct gpio *gpio)
{
	return (uint8_t)((gpio->edges & ~gpio->is) | (gpio->is & ~(levels(gpio) ^ gpio->iev)));
}

static void update_line(vdev_t *vdp)
{
	const struct gpio *gpio = vdp->v_device;

	(void)guest_intr_signal(&vdp->v_intr, raw_status(gpio) & gpio->ie ? GIS_ON : GIS_OFF);
}

static void button_set(vdev_t *vdp, bool pressed)
{
	struct gpio *gpio = vdp->v_device;
	uint8_t before = levels(gpio), after;

	gpio->pressed = pressed;
	gpio->looked_at = false;
	after = levels(gpio);
	gpio->edges |= (uint8_t)((before ^ after) & ~gpio->is & (gpio->ibe | ~(gpio->iev ^ after)));
	update_line(vdp);
}

static uint8_t read_data(struct gpio *gpio, uint8_t mask)
{
	if (gpio->pressed && !gpio->looked_at && (mask & ~gpio->dir & button_mask(gpio))) {
		gpio->looked_at = true;
		(void)guest_timer_notify(gpio->timer, NULL, gpio->hold);
	}
	return levels(gpio) & mask;
}

static uint8_t read_reg(struct gpio *gpio, unsigned reg)
{
	static const uint8_t id[] = { 0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };

	if (reg <= REG_DATA_LAST)
		return read_data(gpio, (uint8_t)(reg >> 2));
	if (reg >= REG_ID)
		return id[(reg - REG_ID) / 4];
	switch (reg) {
	case REG_DIR:
		return gpio->dir;
	case REG_IS:
		return gpio->is;
	case REG_IBE:
		return gpio->ibe;
	case REG_IEV:
		return gpio->iev;
	case REG_IE:
		return gpio->ie;
	case REG_RIS:
		return raw_status(gpio);
	case REG_MIS:
		return raw_status(gpio) & gpio->ie;
	case REG_AFSEL:
		return gpio->afsel;
	default:
		return 0;
	}
}

static void write_reg(struct gpio *gpio, unsigned reg, uint8_t data)
{
	uint8_t mask = (uint8_t)(reg >> 2);

	switch (reg) {
	case REG_DIR:
		gpio->dir = data;
		break;
	case REG_IS:
		gpio->is = data;
		break;
	case REG_IBE:
		gpio->ibe = data;
		break;
	case REG_IEV:
		gpio->iev = data;
		break;
	case REG_IE:
		gpio->ie = data;
		break;
	case REG_IC:
		gpio->edges &= (uint8_t)~data;
		break;
	case REG_AFSEL:
		gpio->afsel = data;
		break;
	default:
		if (reg <= REG_DATA_LAST)
			gpio->data = (uint8_t)((gpio->data & ~mask) | (data & mask));
		break;
	}
}

static vdev_ref_status_t gpio_vread(vdev_t *vdp, unsigned cookie,
				    const struct qvm_state_block *vopnd,
				    const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t data = 0;

	(void)cookie;
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location % 4 == 0)
		data = read_reg(vdp->v_device, (unsigned)vopnd->location);
	pthread_mutex_unlock(&vdp->v_mtx);
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, &data, oopnd->length));
}

static vdev_ref_status_t gpio_vwrite(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint32_t data = 0;
	int err = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &data, oopnd->length);

	(void)cookie;
	if (err != EOK)
		return guest_cpu_to_vrs(err);
	pthread_mutex_lock(&vdp->v_mtx);
	if (vopnd->location % 4 == 0)
		write_reg(vdp->v_device, (unsigned)vopnd->location, (uint8_t)data);
	update_line(vdp);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

static void gpio_timer(vdev_t *vdp, void *data, const struct guest_timer_data *tdp,
		       struct guest_cpu *gcp)
{
	(void)data, (void)tdp, (void)gcp;
	pthread_mutex_lock(&vdp->v_mtx);
	button_set(vdp, false);
	pthread_mutex_unlock(&vdp->v_mtx);
}

enum { OPT_BUTTON, NUM_OPTIONS };

static const struct qvmx_option options[NUM_OPTIONS] = {
	[OPT_BUTTON] = { "button", QVMX_OPT_NUMBER, .max = NUM_LINES - 1,
			 .help = "the line of the power button, 0 to 7 (default 3)" },
};

static int options_end(vdev_t *vdp)
{
	struct gpio *gpio = vdp->v_device;
	uint64_t per_second;

	vdp->v_block.length = LENGTH;
	gpio->timer = guest_timer_create(NULL, vdp, NULL, &per_second);
	if (!gpio->timer)
		return (int)per_second;
	gpio->hold = per_second / 5;
	return guest_button_register(vdp);
}

/* The key of the button, for a driver that knows keys on GPIO lines. */
static int gen_fdt_key(vdev_t *vdp, int parent, uint32_t phandle)
{
	const struct gpio *gpio = vdp->v_device;
	char name[32];
	int keys, key, err;

	snprintf(name, sizeof(name), "gpio-keys-%llx", (unsigned long long)vdp->v_block.location);
	err = qvmx_fdt_node(vdp, parent, name, &keys);
	if (err == EOK)
		err = qvmx_fdt_prop(vdp, keys, "compatible", "gpio-keys", sizeof("gpio-keys"));
	if (err == EOK)
		err = qvmx_fdt_node(vdp, keys, "power-button", &key);
	if (err == EOK)
		err = qvmx_fdt_prop(vdp, key, "label", "power button", sizeof("power button"));
	if (err == EOK)
		err = qvmx_fdt_prop_cells(vdp, key, "linux,code", (uint32_t[]){ KEY_POWER }, 1);
	return err != EOK
		       ? err
		       : qvmx_fdt_prop_cells(vdp, key, "gpios",
					     (uint32_t[]){ phandle, (uint32_t)gpio->button, 0 }, 3);
}

static int gen_fdt(vdev_t *vdp, int parent)
{
	static const char compatible[] = "arm,pl061\0arm,primecell";
	static const char *const marks[] = { "gpio-controller", "interrupt-controller" };
	static const char *const cells[] = { "#gpio-cells", "#interrupt-cells" };
	uint32_t clock, phandle;
	int node, err = qvmx_fdt_clock(vdp, CLOCK_HZ, &clock);

	if (err == EOK)
		err = qvmx_fdt_device(vdp, parent, "gpio", compatible, sizeof(compatible), 0,
				      &node);
	for (unsigned i = 0; i < 2 && err == EOK; i++)
		err = qvmx_fdt_prop(vdp, node, marks[i], NULL, 0);
	for (unsigned i = 0; i < 2 && err == EOK; i++)
		err = qvmx_fdt_prop_cells(vdp, node, cells[i], (uint32_t[]){ 2 }, 1);
	if (err == EOK)
		err = qvmx_fdt_prop_cells(vdp, node, "clocks", &clock, 1);
	if (err == EOK)
		err = qvmx_fdt_prop(vdp, node, "clock-names", "apb_pclk", sizeof("apb_pclk"));
	if (err == EOK)
		err = qvmx_fdt_phandle(vdp, node, &phandle);
	return err != EOK ? err : gen_fdt_key(vdp, parent, phandle);
}

static int gpio_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct gpio *gpio = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		vdp->v_block = (struct qvm_state_block){
			.qst_type = QST_MEMORY,
			.location = DEFAULT_ADDRESS,
			.length = LENGTH,
		};
		gpio->button = DEFAULT_BUTTON;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_BUTTON:
		gpio->button = qvmx_option_value(&options[OPT_BUTTON], arg);
		return EOK;
	case VDEV_CTRL_OPTIONS_END:
		return options_end(vdp);
	case VDEV_CTRL_GEN_FDT:
		return gen_fdt(vdp, (int)(intptr_t)arg);
	case VDEV_CTRL_BUTTON:
		pthread_mutex_lock(&vdp->v_mtx);
		button_set(vdp, true);
		pthread_mutex_unlock(&vdp->v_mtx);
		return EOK;
	case VDEV_CTRL_STATUS:
		pthread_mutex_lock(&vdp->v_mtx);
		vdev_logf(QL_QVM_INFO, vdp, "levels=%#x outputs=%#x enabled=%#x raw=%#x%s",
			  levels(gpio), gpio->dir, gpio->ie, raw_status(gpio),
			  gpio->pressed ? ", the button is pressed" : "");
		pthread_mutex_unlock(&vdp->v_mtx);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = gpio_control,
	.vread = gpio_vread,
	.vwrite = gpio_vwrite,
	.timer = gpio_timer,
	.factory_flags = VFF_VDEV_MEM | VFF_INTR_REQ | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4,
	.extra_space = sizeof(struct gpio),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.summary = "Arm PL061 GPIO block with a power button",
	.num_options = NUM_OPTIONS,
	.options = options,
};

static void __attribute__((constructor)) gpio_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
