/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI device of the host as a function on the guest's bus: src/pci plays header, BARs, MSI and
 * MSI-X; whole pages of its memory BARs are the guest's without an exit, all else is done for it.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "pass/internal.h"

enum {
	REG_COMMAND = 0x04,
	REG_CAPABILITIES = 0x34,
	COMMAND_IO = 0x1,
	COMMAND_MEMORY = 0x2,

	CAP_MSI = 0x05,
	CAP_PCIE = 0x10,
	CAP_MSIX = 0x11,
	CAP_MAX = 48, /* a list of more has a loop */

	MSI_ORDER_SHIFT = 1,
	MSI_ORDER_MASK = 7,
	MSI_WIDE = 0x80,
	MSIX_NUM_MASK = 0x7ff,
	MSIX_ENTRY = 16,

	PCIE_TYPE_SHIFT = 20, /* in the dword that begins with the capability's id */
	PCIE_TYPE_MASK = 0xf,
	PCIE_ENDPOINT = 0,
	PCIE_LEGACY_ENDPOINT = 1,
	PCIE_ROOT_ENDPOINT = 9
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

/* Where the capability is in 256 bytes of configuration space; 0: there is none. */
static unsigned capability_find(const uint8_t *config, uint8_t id)
{
	unsigned at = config[REG_CAPABILITIES] & ~3u;

	for (unsigned n = 0; at >= 0x40 && at < HOST_CONFIG_LEN - 4 && n < CAP_MAX; n++) {
		if (config[at] == id)
			return at;
		at = config[at + 1] & ~3u;
	}
	return 0;
}

static void msix_read(const uint8_t *config, struct pass_msix *m)
{
	m->capability = capability_find(config, CAP_MSIX);
	if (!m->capability || m->capability + 12 > HOST_CONFIG_LEN) {
		m->capability = 0;
		return;
	}
	const uint8_t *cap = config + m->capability;
	const uint32_t table = get32(cap + 4), pba = get32(cap + 8);

	m->num = (get16(cap + 2) & MSIX_NUM_MASK) + 1;
	m->table_bar = table & 7;
	m->table_offset = table & ~7u;
	m->pba_bar = pba & 7;
	m->pba_offset = pba & ~7u;
}

struct search {
	const struct conf_loc *wanted;
	unsigned seen;
	struct host_pci *found;
};

static int search_each(void *ctx, const struct host_pci *pci)
{
	struct search *s = ctx;

	if (pci->vendor != s->wanted->vendor || pci->device != s->wanted->device)
		return 0;
	if (s->seen++ != s->wanted->index)
		return 0;
	*s->found = *pci;
	return 0;
}

/* The device that the file means. False: that is recorded. */
static bool device_find(struct pass_set *set, const struct conf_pass_loc *loc, struct host_pci *ret)
{
	const struct conf_loc *host = &loc->host;
	struct search s = { .wanted = host, .found = ret };
	char bdf[HOST_BDF_LEN];

	if (host->space == CONF_SPACE_PCI) {
		snprintf(bdf, sizeof(bdf), "0000:%02x:%02x.%x", host->bus, host->dev, host->func);
		int rc = host_pci_read(bdf, ret);

		if (!rc)
			return true;
		conf_error(set->conf, &host->pos,
			   rc == -ENODEV ? "the host has no PCI device %s" : "PCI device %s: %s",
			   bdf, strerror(-rc));
		conf_expected(set->conf, "one that `qvm-pass list` names");
		return false;
	}
	(void)host_pci_each(search_each, &s);
	if (host->has_index ? s.seen > host->index : s.seen == 1)
		return true;
	if (s.seen > 1 && !host->has_index) {
		conf_error(set->conf, &host->pos, "the host has %u PCI devices %04x:%04x", s.seen,
			   host->vendor, host->device);
		conf_expected(set->conf, "pci:0x%04x/0x%04x/0 to /%u, or the place of one",
			      host->vendor, host->device, s.seen - 1);
		return false;
	}
	conf_error(set->conf, &host->pos, "the host has %s%u PCI devices %04x:%04x",
		   s.seen ? "only " : "", s.seen, host->vendor, host->device);
	conf_expected(set->conf, "one that `qvm-pass list` names");
	return false;
}

struct neighbours {
	struct pass_pci *p;
	bool bad;
};

static int neighbour_each(void *ctx, const struct host_pci *other)
{
	struct neighbours *n = ctx;
	struct pass_pci *p = n->p;
	const struct conf_pos *pos = &p->loc->host.pos;

	if (!strcmp(other->bdf, p->host.bdf) || host_pci_is_harmless(other))
		return 0;
	conf_error(p->set->conf, pos,
		   "%s cannot be passed: %s is in the same IOMMU group (%d), so that either could "
		   "reach the other, and the host's driver '%s' has that",
		   p->host.bdf, other->bdf, p->host.group, other->driver);
	conf_expected(p->set->conf, "the group as a whole: `qvm-pass bind %s` first", other->bdf);
	n->bad = true;
	return 0;
}

/* Whether the host can give it away now. What is wrong is recorded. */
static bool device_is_free(struct pass_pci *p)
{
	struct conf *conf = p->set->conf;
	const struct conf_pos *pos = &p->loc->host.pos;
	const struct host_pci *host = &p->host;
	struct neighbours n = { .p = p };

	if (host->driver[0] && !host_driver_is_vfio(host->driver)) {
		conf_error(conf, pos, "%s is in use by the host: its driver '%s' has it", host->bdf,
			   host->driver);
		conf_expected(conf, "`qvm-pass bind %s` first, which takes it from the driver",
			      host->bdf);
		return false;
	}
	/* Some hosts give a device its group only when a driver has looked at it. */
	if (host->group == HOST_NO_GROUP && (host->driver[0] || !host_has_iommu())) {
		conf_error(conf, pos,
			   "%s is behind no IOMMU: its DMA could reach all of the host's memory",
			   host->bdf);
		conf_expected(conf, "a host with its IOMMU on (intel_iommu=on, amd_iommu=on)");
		return false;
	}
	if (!host->driver[0]) {
		conf_error(conf, pos, "%s has no driver that hands it over", host->bdf);
		conf_expected(conf, "`qvm-pass bind %s` first", host->bdf);
		return false;
	}
	(void)host_group_each(host->group, neighbour_each, &n);
	return !n.bad;
}

/* The guest's place. -errno of pci_device_add, recorded. */
static int function_add(struct pass_pci *p)
{
	const struct conf_pass_loc *loc = p->loc;
	const struct host_pci *host = &p->host;
	const struct pci_device_info info = {
		.name = p->label,
		.devfn = loc->has_guest ? PCI_DEVFN(loc->guest.dev, loc->guest.func)
					: PCI_DEVFN_NEXT,
		.vendor = host->vendor,
		.device = host->device,
		.subsystem_vendor = host->subsystem_vendor,
		.subsystem_device = host->subsystem_device,
		.class_code = host->class_code,
		.revision = host->revision,
	};
	int rc = pci_device_add(p->set->bus, &info, &p->fn);

	if (rc == -EEXIST)
		conf_error(p->set->conf, &loc->guest.pos, "%s: the guest's 0:%u.%u is taken",
			   p->label, loc->guest.dev, loc->guest.func);
	else if (rc == -ENOSPC)
		conf_error(p->set->conf, &loc->pos, "%s: the guest's PCI bus is full", p->label);
	return rc;
}

static enum bus_result bar_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	const struct pass_bar *bar = opaque;
	int rc;

	(void)cookie;
	if (acc->write)
		rc = vfio_write(&bar->pci->dev, bar->index, acc->offset, acc->data, acc->len);
	else
		rc = vfio_read(&bar->pci->dev, bar->index, acc->offset, acc->data, acc->len);
	/* As on a bus where nobody answers. */
	if (rc && !acc->write)
		memset(acc->data, 0xff, acc->len);
	return BUS_OK;
}

static void bar_mapped(void *opaque, unsigned cookie, bool on, uint64_t addr)
{
	struct pass_bar *bar = opaque;
	struct engine *e = bar->pci->set->engine;

	(void)cookie;
	/* What the engine does not take costs an exit for each access. */
	for (unsigned i = 0; i < bar->num_spans; i++) {
		const struct pass_span *s = &bar->spans[i];

		(void)e->ops->memory_set(e, s->slot, addr + s->offset, on ? s->len : 0, s->hva,
					 false);
	}
}

static int bars_add(struct pass_pci *p)
{
	int rc = 0;

	for (unsigned i = 0; i < HOST_NUM_BARS && !rc; i++) {
		const struct host_bar *host = &p->host.bars[i];
		struct pass_bar *bar = &p->bars[i];
		const struct pci_bar_info info = { .type = i == HOST_ROM ? PCI_BAR_ROM
							   : host->io	 ? PCI_BAR_IO
							   : host->wide	 ? PCI_BAR_MEM64
									 : PCI_BAR_MEM32,
						   .size = host->size,
						   .handler = bar_access,
						   .opaque = bar,
						   .mapped = bar_mapped };

		*bar = (struct pass_bar){ .pci = p, .index = i };
		if (!host->size)
			continue;
		if (host->io && !pci_bus_has_ports(p->set->bus)) {
			log_write(LOG_SEV_INFO,
				  "%s: BAR %u is of ports, which this VM's bus has not", p->label,
				  i);
			continue;
		}
		rc = pci_bar_add(p->fn, i, &info);
	}
	return rc;
}

static uint32_t forward_read(void *opaque, unsigned offset)
{
	const struct pass_pci *p = opaque;
	uint8_t bytes[4];

	if (vfio_read(&p->dev, VFIO_PCI_CONFIG_REGION_INDEX, offset, bytes, sizeof(bytes)))
		return UINT32_MAX;
	uint32_t value = get32(bytes);
	const uint32_t type = value >> PCIE_TYPE_SHIFT & PCIE_TYPE_MASK;

	/* There is no port above it in the guest's eyes. */
	if (p->pcie && offset == p->pcie && (type == PCIE_ENDPOINT || type == PCIE_LEGACY_ENDPOINT))
		value = (value & ~((uint32_t)PCIE_TYPE_MASK << PCIE_TYPE_SHIFT)) |
			(uint32_t)PCIE_ROOT_ENDPOINT << PCIE_TYPE_SHIFT;
	return value;
}

static void config_write(const struct pass_pci *p, unsigned offset, unsigned len, uint32_t value)
{
	const uint8_t bytes[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
				   (uint8_t)(value >> 24) };

	/* What the host refuses has no effect, as a register that cannot be written. */
	(void)vfio_write(&p->dev, VFIO_PCI_CONFIG_REGION_INDEX, offset, bytes, len);
}

static void forward_write(void *opaque, unsigned offset, unsigned len, uint32_t value)
{
	config_write(opaque, offset, len, value);
}

/* Bus mastering and INTx are the guest's; where the BARs are is the bus's, so they stay on. */
static void forward_command(void *opaque, uint16_t command)
{
	config_write(opaque, REG_COMMAND, 2, command | COMMAND_IO | COMMAND_MEMORY);
}

static unsigned irq_index(enum pci_messages kind)
{
	return kind == PCI_MESSAGES_MSIX  ? VFIO_PCI_MSIX_IRQ_INDEX
	       : kind == PCI_MESSAGES_MSI ? VFIO_PCI_MSI_IRQ_INDEX
					  : VFIO_PCI_INTX_IRQ_INDEX;
}

/* With the lock held. */
static int intx_set(struct pass_pci *p)
{
	if (!p->relay)
		return 0;
	int rc = vfio_irqs_set(&p->dev, VFIO_PCI_INTX_IRQ_INDEX, &p->intx_fd, 1);

	return rc ? rc : vfio_unmask_set(&p->dev, VFIO_PCI_INTX_IRQ_INDEX, p->unmask_fd);
}

/* With the lock held: the device has one way to interrupt at a time. */
static int messages_set(struct pass_pci *p, enum pci_messages kind, unsigned num)
{
	if (p->messages != PCI_MESSAGES_NONE || p->relay)
		(void)vfio_irqs_set(&p->dev, irq_index(p->messages), NULL, 0);
	p->messages = kind;
	p->num_messages = num;
	if (kind == PCI_MESSAGES_NONE)
		return intx_set(p);
	int *fds = calloc(num, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (unsigned i = 0; i < num; i++)
		fds[i] = pci_message_fd(p->fn, kind, i);
	int rc = vfio_irqs_set(&p->dev, irq_index(kind), fds, num);

	free(fds);
	return rc;
}

static void forward_messages(void *opaque)
{
	struct pass_pci *p = opaque;
	unsigned num;
	int rc = 0;

	pthread_mutex_lock(&p->mtx);
	enum pci_messages kind = pci_messages_now(p->fn, &num);

	if (kind != p->messages || num != p->num_messages)
		rc = messages_set(p, kind, num);
	pthread_mutex_unlock(&p->mtx);
	if (rc)
		log_limited(LOG_SEV_ERROR, "%s: the host does not route its %u interrupts: %s",
			    p->label, MAX(num, 1u), strerror(-rc));
}

static const struct pci_forward_ops forward_ops = {
	.read = forward_read,
	.write = forward_write,
	.command = forward_command,
	.messages = forward_messages,
};

/* MSI and MSI-X stay where they are in configuration space, so that the list of capabilities
 * does. */
static int capabilities_add(struct pass_pci *p)
{
	const uint8_t *config = p->host.config;
	const struct pass_msix *m = &p->msix;
	int rc = 0;

	p->msi = capability_find(config, CAP_MSI);
	p->pcie = capability_find(config, CAP_PCIE);
	msix_read(config, &p->msix);
	if (p->msi) {
		const uint16_t control = get16(config + p->msi + 2);

		pci_capability_place(p->fn, p->msi);
		rc = pci_msi_add(p->fn, control >> MSI_ORDER_SHIFT & MSI_ORDER_MASK,
				 control & MSI_WIDE);
	}
	if (m->capability && !rc) {
		pci_capability_place(p->fn, m->capability);
		rc = pci_msix_add(p->fn, m->num, m->table_bar, m->table_offset, m->pba_bar,
				  m->pba_offset);
	}
	return rc;
}

int pass_pci_plan(struct pass_set *set, const struct conf_pass_loc *loc)
{
	if (set->num_devices == PASS_MAX_DEVICES) {
		conf_error(set->conf, &loc->pos, "more than %d passed PCI devices",
			   PASS_MAX_DEVICES);
		return 0;
	}
	struct pass_pci *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct pass_pci){
		.set = set, .loc = loc, .dev = { .fd = -1 }, .intx_fd = -1, .unmask_fd = -1
	};
	pthread_mutex_init(&p->mtx, NULL);
	if (!device_find(set, loc, &p->host) || !device_is_free(p)) {
		pass_pci_free(p);
		return 0;
	}
	snprintf(p->label, sizeof(p->label), "pass %s", p->host.bdf);
	/* Without it nobody knows where MSI and MSI-X are. */
	if (p->host.config_len < HOST_CONFIG_LEN) {
		conf_error(set->conf, &loc->host.pos,
			   "%s: only %u bytes of its configuration space can be read", p->host.bdf,
			   p->host.config_len);
		conf_expected(set->conf, "qvm as root");
		pass_pci_free(p);
		return 0;
	}
	for (unsigned i = 0; i < set->num_devices; i++) {
		if (strcmp(set->devices[i]->host.bdf, p->host.bdf) != 0)
			continue;
		conf_error(set->conf, &loc->host.pos, "%s is passed twice", p->host.bdf);
		conf_note(set->conf, &set->devices[i]->loc->host.pos, "the first time is here");
		pass_pci_free(p);
		return 0;
	}
	int rc = function_add(p);

	if (rc) {
		pass_pci_free(p);
		return rc == -ENOMEM ? rc : 0;
	}
	set->devices[set->num_devices++] = p;
	pci_forward_set(p->fn, &forward_ops, p);
	rc = bars_add(p);
	if (!rc)
		rc = capabilities_add(p);
	if (!rc && p->host.has_pin)
		rc = pci_pin_add(p->fn);
	if (rc && rc != -ENOMEM) {
		conf_error(set->conf, &loc->host.pos, "%s cannot be shown to the guest: %s",
			   p->host.bdf, strerror(-rc));
		rc = 0;
	}
	return rc;
}

/* The list of capabilities as VFIO has it: it hides what cannot be passed. */
static int config_adopt(struct pass_pci *p)
{
	uint8_t config[HOST_CONFIG_LEN];
	int rc = vfio_read(&p->dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, config, sizeof(config));

	if (rc)
		return rc;
	pci_config_set(p->fn, REG_CAPABILITIES, config + REG_CAPABILITIES, 1);
	if (p->msi)
		pci_config_set(p->fn, p->msi + 1, config + p->msi + 1, 1);
	if (p->msix.capability)
		pci_config_set(p->fn, p->msix.capability + 1, config + p->msix.capability + 1, 1);
	return 0;
}

int pass_pci_open(struct pass_pci *p)
{
	struct conf *conf = p->set->conf;
	const struct conf_pos *pos = &p->loc->host.pos;
	const char *why = NULL;
	int rc = vfio_group_add(&p->set->vfio, p->host.group, &why);

	if (rc) {
		conf_error(conf, pos, "%s: %s: %s", p->host.bdf, why ? why : "VFIO", strerror(-rc));
		return rc;
	}
	rc = vfio_dev_open(&p->set->vfio, p->host.group, p->host.bdf, &p->dev);
	if (rc) {
		conf_error(conf, pos, "%s: VFIO does not give the device: %s", p->host.bdf,
			   strerror(-rc));
		return rc;
	}
	/* The state that whoever had it before has left is not the guest's business. */
	(void)vfio_dev_reset(&p->dev);
	rc = config_adopt(p);
	if (rc)
		conf_error(conf, pos, "%s: its configuration space cannot be read: %s", p->host.bdf,
			   strerror(-rc));
	return rc;
}

/* Cut what [start, start + len) touches out of the last span. */
static void span_cut(struct pass_bar *bar, uint64_t start, uint64_t len, uint64_t page)
{
	const uint64_t from = align_down(start, page), to = align_up(start + len, page);

	if (!bar->num_spans) /* The table before this one took all of it. */
		return;

	struct pass_span *last = &bar->spans[bar->num_spans - 1];
	const uint64_t end = last->offset + last->len;

	if (!range_overlaps(last->offset, last->len, from, to - from))
		return;
	if (from > last->offset) {
		last->len = from - last->offset;
		if (to < end && bar->num_spans < PASS_MAX_SPANS)
			bar->spans[bar->num_spans++] =
				(struct pass_span){ .offset = to, .len = end - to };
	} else if (to < end) {
		last->offset = to;
		last->len = end - to;
	} else {
		bar->num_spans--;
	}
}

/* Tables that the core plays: the lower one first. */
static void spans_cut_msix(const struct pass_pci *p, struct pass_bar *bar, uint64_t page)
{
	const struct pass_msix *m = &p->msix;
	const struct {
		unsigned bar;
		uint64_t offset, len;
	} tables[] = { { m->table_bar, m->table_offset, (uint64_t)m->num * MSIX_ENTRY },
		       { m->pba_bar, m->pba_offset, align_up(m->num, 64) / 8 } };
	const unsigned first = m->pba_offset < m->table_offset;

	for (unsigned i = 0; i < ARRAY_LEN(tables) && m->capability; i++)
		if (tables[i ^ first].bar == bar->index)
			span_cut(bar, tables[i ^ first].offset, tables[i ^ first].len, page);
}

static int bar_attach(struct pass_pci *p, struct pass_bar *bar)
{
	const struct vfio_region *r = &p->dev.regions[bar->index];
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < r->num_areas && bar->num_spans < PASS_MAX_SPANS; i++) {
		const uint64_t start = align_up(r->areas[i].offset, page);
		const uint64_t end = align_down(r->areas[i].offset + r->areas[i].len, page);

		if (start >= end)
			continue;
		bar->spans[bar->num_spans++] =
			(struct pass_span){ .offset = start, .len = end - start };
		spans_cut_msix(p, bar, page);
	}
	for (unsigned i = 0; i < bar->num_spans; i++) {
		struct pass_span *s = &bar->spans[i];

		s->hva = mmap(NULL, s->len, PROT_READ | PROT_WRITE, MAP_SHARED, p->dev.fd,
			      (off_t)(r->offset + s->offset));
		if (s->hva == MAP_FAILED) {
			s->hva = NULL;
			bar->num_spans = i;
			return -errno;
		}
		s->slot = MEMORY_FIRST_PASS_SLOT + p->set->num_slots++;
	}
	return 0;
}

static int intx_attach(struct pass_pci *p, struct irq *irq)
{
	struct irq_line *line = pci_pin_line(p->fn);

	if (!line)
		return 0;
	p->intx_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->unmask_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->intx_fd < 0 || p->unmask_fd < 0)
		return -errno;
	return irq_relay_create(irq, line, pci_pin_gsi(p->fn), p->intx_fd, p->unmask_fd, &p->relay);
}

int pass_pci_attach(struct pass_pci *p, struct irq *irq, const char **ret_why)
{
	int rc = 0;

	*ret_why = p->label;
	for (unsigned i = 0; i < HOST_NUM_BARS && !rc; i++)
		if (p->host.bars[i].size && !p->host.bars[i].io)
			rc = bar_attach(p, &p->bars[i]);
	if (!rc)
		rc = intx_attach(p, irq);
	if (rc)
		return rc;
	forward_command(p, 0);
	return 0;
}

int pass_pci_start(struct pass_pci *p)
{
	pthread_mutex_lock(&p->mtx);
	int rc = intx_set(p);

	pthread_mutex_unlock(&p->mtx);
	return rc;
}

void pass_pci_quiesce(struct pass_pci *p)
{
	if (p->dev.fd < 0)
		return;
	pthread_mutex_lock(&p->mtx);
	config_write(p, REG_COMMAND, 2, 0);
	(void)vfio_irqs_set(&p->dev, irq_index(p->messages), NULL, 0);
	(void)vfio_dev_reset(&p->dev);
	pthread_mutex_unlock(&p->mtx);
	irq_relay_destroy(p->relay);
	p->relay = NULL;
}

void pass_pci_free(struct pass_pci *p)
{
	for (unsigned i = 0; i < HOST_NUM_BARS; i++)
		for (unsigned k = 0; k < p->bars[i].num_spans; k++)
			if (p->bars[i].spans[k].hva)
				munmap(p->bars[i].spans[k].hva, p->bars[i].spans[k].len);
	vfio_dev_close(&p->dev);
	if (p->intx_fd >= 0)
		close(p->intx_fd);
	if (p->unmask_fd >= 0)
		close(p->unmask_fd);
	pthread_mutex_destroy(&p->mtx);
	free(p);
}
