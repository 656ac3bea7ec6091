/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A UIO device of a board's host: addresses and an interrupt of a device tree's node (compatible
 * "bulkhead,uio"), or ports and an interrupt of a PC that the parameters name. Debian's kernels
 * have no driver of that kind. Interface: the kernel's documentation of UIO.
 */
#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/irq.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mod_devicetable.h>
#include <linux/platform_device.h>
#include <linux/spinlock.h>
#include <linux/uio_driver.h>

static int irq = -1;
module_param(irq, int, 0444);
MODULE_PARM_DESC(irq, "a PC's interrupt");
static ulong port;
module_param(port, ulong, 0444);
MODULE_PARM_DESC(port, "a PC's first port");
static ulong ports = 8;
module_param(ports, ulong, 0444);
MODULE_PARM_DESC(ports, "how many ports");

struct bulkhead_uio {
	struct uio_info info;
	spinlock_t lock;
	bool masked, level;
};

/* A level stays until its device is content, so it is masked until user space has seen to that. */
static irqreturn_t came(int number, struct uio_info *info)
{
	struct bulkhead_uio *uio = info->priv;

	spin_lock(&uio->lock);
	if (uio->level && !uio->masked) {
		disable_irq_nosync(number);
		uio->masked = true;
	}
	spin_unlock(&uio->lock);
	return IRQ_HANDLED;
}

static int control(struct uio_info *info, s32 on)
{
	struct bulkhead_uio *uio = info->priv;
	unsigned long flags;

	spin_lock_irqsave(&uio->lock, flags);
	if (on && uio->masked)
		enable_irq(info->irq);
	else if (!on && !uio->masked)
		disable_irq_nosync(info->irq);
	uio->masked = !on;
	spin_unlock_irqrestore(&uio->lock, flags);
	return 0;
}

static int attach(struct platform_device *pdev)
{
	struct bulkhead_uio *uio = devm_kzalloc(&pdev->dev, sizeof(*uio), GFP_KERNEL);
	struct resource *memory = platform_get_resource(pdev, IORESOURCE_MEM, 0);
	struct resource *io = platform_get_resource(pdev, IORESOURCE_IO, 0);
	int number = platform_get_irq(pdev, 0);

	if (!uio)
		return -ENOMEM;
	if (number < 0)
		return number;
	spin_lock_init(&uio->lock);
	uio->level = irq_get_trigger_type(number) & IRQ_TYPE_LEVEL_MASK;
	uio->info = (struct uio_info){ .name = dev_name(&pdev->dev),
				       .version = "1",
				       .irq = number,
				       .handler = came,
				       .irqcontrol = control,
				       .priv = uio };
	if (memory) {
		uio->info.mem[0].name = "registers";
		uio->info.mem[0].addr = memory->start & PAGE_MASK;
		uio->info.mem[0].offs = memory->start & ~PAGE_MASK;
		uio->info.mem[0].size = PAGE_ALIGN(resource_size(memory));
		uio->info.mem[0].memtype = UIO_MEM_PHYS;
	}
	if (io) {
		uio->info.port[0].name = "ports";
		uio->info.port[0].start = io->start;
		uio->info.port[0].size = resource_size(io);
		uio->info.port[0].porttype = UIO_PORT_X86;
		if (!devm_request_region(&pdev->dev, io->start, resource_size(io), "uio"))
			return -EBUSY;
	}
	return devm_uio_register_device(&pdev->dev, &uio->info);
}

static const struct of_device_id nodes[] = { { .compatible = "bulkhead,uio" }, {} };
MODULE_DEVICE_TABLE(of, nodes);

static struct platform_driver driver = {
	.probe = attach,
	.driver = { .name = "bulkhead_uio", .of_match_table = nodes },
};

static struct platform_device *of_parameters;

static int __init start(void)
{
	int rc = platform_driver_register(&driver);

	if (rc || irq < 0)
		return rc;
	const struct resource resources[] = { DEFINE_RES_IRQ(irq), DEFINE_RES_IO(port, ports) };

	of_parameters =
		platform_device_register_simple("bulkhead_uio", irq, resources, port ? 2 : 1);
	if (IS_ERR(of_parameters)) {
		platform_driver_unregister(&driver);
		return PTR_ERR(of_parameters);
	}
	return 0;
}

static void __exit end(void)
{
	if (irq >= 0)
		platform_device_unregister(of_parameters);
	platform_driver_unregister(&driver);
}

module_init(start);
module_exit(end);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A device of the host for a guest");
