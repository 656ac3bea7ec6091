/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev shmem: memory shared between clients. A guest names a region in the factory page; each
 * attachment gets a control page, whose accesses come here, and behind it the region's pages, which
 * do not. shmem.h tells how the parts go together.
 */
#include "shmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/gasp.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/pci.h>
#include <qvm/x/pic.h>

enum { BAR_FACTORY = 0, BAR_MSIX = 1, MSIX_SIZE = 8192, MSIX_PENDING = 4096 };

struct shmem {
	struct rule *rules, **last_rule;
	struct region regions[MAX_REGIONS];
	uint32_t guest_pages; /* of the regions that guests made */
	bool line;	      /* its level */
	/* The factory page, as this VM's last request left it. */
	uint64_t shmem;
	uint32_t status, size;
	char name[SHM_NAME_SIZE];
};

enum { OPT_ALLOW, OPT_DENY, OPT_CREATE };

static const struct qvmx_option options[] = {
	[OPT_ALLOW] = { .name = "allow",
			.type = QVMX_OPT_STRING,
			.flags = QVMX_OPTF_REPEAT,
			.help = "regions that the guest may have: a pattern with * ? []" },
	[OPT_DENY] = { .name = "deny",
		       .type = QVMX_OPT_STRING,
		       .flags = QVMX_OPTF_REPEAT,
		       .help = "regions that the guest may not have; the first pattern decides" },
	[OPT_CREATE] = { .name = "create",
			 .type = QVMX_OPT_STRING,
			 .flags = QVMX_OPTF_REPEAT,
			 .help = "NAME,SIZE: make this region when the VM starts" },
};

static const struct qvmx_option create_size = {
	.type = QVMX_OPT_SIZE,
	.min = 1,
	.max = (uint64_t)MAX_CREATE_PAGES * SHM_PAGE,
};

/* Interrupts. The line is high while a client has not looked at what happened. */

static void line_update(vdev_t *vdp)
{
	struct shmem *sh = vdp->v_device;
	bool level = false;

	for (unsigned i = 0; i < MAX_REGIONS; i++)
		for (unsigned k = 0; k < SHM_MAX_CLIENTS; k++) {
			const struct client *c = &sh->regions[i].clients[k];

			level |= c->attached && (c->notified || c->changed);
		}
	if (level == sh->line)
		return;
	sh->line = level;
	if (vdp->v_block.qst_type == QST_PCI)
		qvmx_pci_pin_set(vdp, level);
	else
		(void)guest_intr_signal(&vdp->v_intr, level ? GIS_ON : GIS_OFF);
}

/* Something is new for a client that has been told of everything before. */
static void event(vdev_t *vdp)
{
	line_update(vdp);
	if (vdp->v_block.qst_type == QST_PCI)
		qvmx_pci_interrupt(vdp, 0);
}

static uint32_t vector_of(const vdev_t *vdp)
{
	int gsi = vdp->v_block.qst_type == QST_PCI ? qvmx_pci_pin_gsi(vdp)
						   : qvmx_intr_gsi(&vdp->v_intr);

	return gsi >= 0 ? (uint32_t)gsi : vdp->v_intr.param;
}

/* The others hear of one who came or went. */
static void attach_list_changed(vdev_t *vdp, struct region *r)
{
	bool any = false;

	for (unsigned i = 0; i < SHM_MAX_CLIENTS; i++) {
		struct client *c = &r->clients[i];

		any |= c->attached && !c->changed;
		c->changed = c->attached;
	}
	if (any)
		event(vdp);
	line_update(vdp);
}

/*
 * Windows: a control page, whose accesses come here, and the region's pages behind it, which the
 * guest has without an exit. The lock of the guest's space is taken with v_mtx held; it waits for
 * no access of a guest.
 */

/* Most address bits that every processor with guests has. */
#define LAST_ADDRESS  ((UINT64_C(1) << 36) - 1)
#define FIRST_ADDRESS UINT64_C(0x100000) /* below it guests look for firmware */

static void window_regions(vdev_t *vdp, const struct region *r, uint64_t gpa, unsigned cookie,
			   struct gasp_region ret[2])
{
	ret[0] = (struct gasp_region){
		.grf_flags = GRF_VIRT_RD | GRF_VIRT_WR,
		.cookie = cookie,
		.vdev = vdp,
		.guest = { .location = gpa, .length = SHM_PAGE, .qst_type = QST_MEMORY },
	};
	ret[1] = (struct gasp_region){
		.grf_flags = GRF_PASS_ANY,
		.vdev = vdp,
		.host_location = (uintptr_t)r->mem,
		.guest = { .location = gpa + SHM_PAGE,
			   .length = (uint64_t)r->pages * SHM_PAGE,
			   .qst_type = QST_MEMORY },
	};
}

static int window_open(vdev_t *vdp, const struct region *r, unsigned cookie, uint64_t *ret_gpa)
{
	struct gasp_region regions[2];
	uint64_t gpa;
	unsigned done = 0;

	(void)gasp_lock(QST_MEMORY);
	gpa = gasp_find_free_range(QST_MEMORY, ((uint64_t)r->pages + 1) * SHM_PAGE, SHM_PAGE,
				   FIRST_ADDRESS, LAST_ADDRESS);
	if (gpa != QSL_NO_LOCATION) {
		window_regions(vdp, r, gpa, cookie, regions);
		done = gasp_region_set_soft(2, regions);
	}
	if (done == 1) {
		regions[0].grf_flags = GRF_NONE;
		(void)gasp_region_set_soft(1, regions);
	}
	(void)gasp_unlock(QST_MEMORY);
	*ret_gpa = gpa;
	return done == 2 ? EOK : ENOMEM;
}

/* No vCPU reaches the pages when this returns. */
static void window_close(vdev_t *vdp, const struct region *r, uint64_t gpa)
{
	struct gasp_region regions[2];

	window_regions(vdp, r, gpa, 0, regions);
	regions[0].grf_flags = regions[1].grf_flags = GRF_NONE;
	(void)gasp_lock(QST_MEMORY);
	(void)gasp_region_set_soft(2, regions);
	(void)gasp_unlock(QST_MEMORY);
}

/* Clients */

/* What the guest made goes with its last client. */
static void region_leave(struct shmem *sh, struct region *r)
{
	if (r->kept || region_attached(r))
		return;
	sh->guest_pages -= r->pages;
	region_free(r);
}

static enum shm_status attach(vdev_t *vdp, struct region *r)
{
	struct shmem *sh = vdp->v_device;
	const unsigned region = (unsigned)(r - sh->regions);
	unsigned i = 0;

	while (i < SHM_MAX_CLIENTS && r->clients[i].attached)
		i++;
	if (i == SHM_MAX_CLIENTS)
		return SHM_CLIENT_MAX;
	struct client *c = &r->clients[i];

	if (window_open(vdp, r, COOKIE_CONTROL + region * SHM_MAX_CLIENTS + i, &c->gpa) != EOK)
		return SHM_NOMEM;
	attach_list_changed(vdp, r); /* whoever comes sees all by itself */
	*c = (struct client){ .attached = true, .gpa = c->gpa };
	for (unsigned k = 0; k < SHM_MAX_CLIENTS; k++)
		r->clients[k].notified &= (uint16_t) ~(1u << i);
	sh->shmem = c->gpa;
	sh->size = r->pages;
	return SHM_OK;
}

static void detach(vdev_t *vdp, struct region *r, struct client *c)
{
	window_close(vdp, r, c->gpa);
	*c = (struct client){ 0 };
	attach_list_changed(vdp, r);
	region_leave(vdp->v_device, r);
}

static enum shm_status make(struct shmem *sh, uint32_t pages, struct region **ret_region)
{
	struct region *r;

	if (!pages)
		return SHM_DOES_NOT_EXIST;
	if (pages > MAX_GUEST_PAGES - sh->guest_pages)
		return SHM_NOMEM;
	r = region_new(sh->regions, sh->name, pages, false);
	if (!r)
		return SHM_NOMEM;
	if (region_alloc(r, false) != EOK) {
		region_free(r);
		return SHM_NOMEM;
	}
	sh->guest_pages += pages;
	*ret_region = r;
	return SHM_OK;
}

/* The guest has written the size: it wants the region of that name. */
static enum shm_status request(vdev_t *vdp, uint32_t pages)
{
	struct shmem *sh = vdp->v_device;
	enum shm_status status = SHM_OK;
	struct region *r;

	sh->shmem = 0;
	sh->size = 0;
	if (!region_name_valid(sh->name))
		return SHM_ILLEGAL_NAME;
	if (!rules_allow(sh->rules, sh->name))
		return SHM_NO_PERMISSION;
	r = region_find(sh->regions, sh->name);
	if (!r)
		status = make(sh, pages, &r);
	if (status != SHM_OK)
		return status;
	status = attach(vdp, r);
	region_leave(sh, r);
	return status;
}

/* The n-th region that this guest may have. */
static enum shm_status find(struct shmem *sh, uint32_t n)
{
	sh->shmem = 0;
	for (unsigned i = 0; i < MAX_REGIONS; i++) {
		const struct region *r = &sh->regions[i];

		if (!r->name[0] || !rules_allow(sh->rules, r->name) || n--)
			continue;
		memcpy(sh->name, r->name, sizeof(sh->name));
		sh->size = r->pages;
		return SHM_OK;
	}
	sh->size = 0;
	return SHM_DOES_NOT_EXIST;
}

static void notify(vdev_t *vdp, struct region *r, unsigned me, uint32_t whom)
{
	bool any = false;

	if (whom == UINT32_MAX)
		whom &= ~(1u << me);
	for (unsigned i = 0; i < SHM_MAX_CLIENTS; i++) {
		struct client *c = &r->clients[i];
		uint16_t bit = (uint16_t)(1u << me);

		if (!c->attached || !(whom >> i & 1) || c->notified & bit)
			continue;
		c->notified |= bit;
		any = true;
	}
	if (any)
		event(vdp);
}

/* Pages. An access of any width at any place is a part of the page as it reads now. */

static void put(uint8_t *page, unsigned at, const void *value, size_t len)
{
	memcpy(page + at, value, len);
}

static void factory_image(vdev_t *vdp, uint8_t page[FACTORY_END])
{
	const struct shmem *sh = vdp->v_device;
	const uint64_t signature = SHM_SIGNATURE;
	const uint32_t vector = vector_of(vdp);

	memset(page, 0, FACTORY_END);
	put(page, FACTORY_SIGNATURE, &signature, sizeof(signature));
	put(page, FACTORY_SHMEM, &sh->shmem, sizeof(sh->shmem));
	put(page, FACTORY_VECTOR, &vector, sizeof(vector));
	put(page, FACTORY_STATUS, &sh->status, sizeof(sh->status));
	put(page, FACTORY_SIZE, &sh->size, sizeof(sh->size));
	put(page, FACTORY_NAME, sh->name, sizeof(sh->name));
}

/* The client of a control page's cookie; NULL: it has left meanwhile. */
static struct client *client_of(struct shmem *sh, unsigned cookie, struct region **ret_region,
				unsigned *ret_idx)
{
	unsigned n = cookie - COOKIE_CONTROL;
	struct region *r = &sh->regions[n / SHM_MAX_CLIENTS];

	*ret_region = r;
	*ret_idx = n % SHM_MAX_CLIENTS;
	return r->clients[*ret_idx].attached ? &r->clients[*ret_idx] : NULL;
}

static void control_image(vdev_t *vdp, unsigned cookie, bool whole_status,
			  uint8_t page[FACTORY_END])
{
	struct region *r;
	uint32_t status, idx;
	struct client *c = client_of(vdp->v_device, cookie, &r, &idx);

	memset(page, 0, FACTORY_END);
	if (!c)
		return;
	status = (uint32_t)region_attached(r) << 16 | c->notified;
	put(page, CONTROL_STATUS, &status, sizeof(status));
	put(page, CONTROL_IDX, &idx, sizeof(idx));
	if (whole_status) {
		c->notified = 0;
		c->changed = false;
		line_update(vdp);
	}
}

static vdev_ref_status_t shmem_vread(vdev_t *vdp, unsigned cookie,
				     const struct qvm_state_block *vopnd,
				     const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint8_t page[FACTORY_END + sizeof(uint64_t)] = { 0 };
	uint64_t at = vopnd->location, len = vopnd->length;

	if (len > sizeof(uint64_t))
		return VRS_BUS_ERROR;
	pthread_mutex_lock(&vdp->v_mtx);
	if (cookie >= COOKIE_CONTROL)
		control_image(vdp, cookie, at == CONTROL_STATUS && len >= 4, page);
	else
		factory_image(vdp, page);
	pthread_mutex_unlock(&vdp->v_mtx);
	if (at > FACTORY_END)
		at = FACTORY_END; /* the rest of a page reads 0 */
	return guest_cpu_to_vrs(guest_cpu_write(gcp, GXF_NONE, oopnd, 1, page + at, (size_t)len));
}

/* Is the register at reg written wholly? Then *ret_value. */
static bool covers(uint64_t at, uint64_t len, unsigned reg, uint64_t data, uint32_t *ret_value)
{
	if (at > reg || at + len < reg + sizeof(*ret_value))
		return false;
	*ret_value = (uint32_t)(data >> 8 * (reg - at));
	return true;
}

static void factory_write(vdev_t *vdp, uint64_t at, uint64_t len, uint64_t data)
{
	struct shmem *sh = vdp->v_device;
	uint32_t value;

	for (uint64_t i = 0; i < len; i++)
		if (at + i >= FACTORY_NAME && at + i < FACTORY_NAME + SHM_NAME_SIZE)
			sh->name[at + i - FACTORY_NAME] = (char)(data >> 8 * i);
	if (covers(at, len, FACTORY_SIZE, data, &value))
		sh->status = request(vdp, value);
	if (covers(at, len, FACTORY_FIND, data, &value))
		sh->status = find(sh, value);
}

static void control_write(vdev_t *vdp, unsigned cookie, uint64_t at, uint64_t len, uint64_t data)
{
	struct region *r;
	uint32_t value, idx;
	struct client *c = client_of(vdp->v_device, cookie, &r, &idx);

	if (c && covers(at, len, CONTROL_NOTIFY, data, &value))
		notify(vdp, r, idx, value);
	if (c && covers(at, len, CONTROL_DETACH, data, &value))
		detach(vdp, r, c);
}

static vdev_ref_status_t shmem_vwrite(vdev_t *vdp, unsigned cookie,
				      const struct qvm_state_block *vopnd,
				      const struct qvm_state_block *oopnd, struct guest_cpu *gcp)
{
	uint64_t data = 0, at = vopnd->location, len = vopnd->length;

	if (len > sizeof(data))
		return VRS_BUS_ERROR;
	int rc = guest_cpu_read(gcp, GXF_NONE, oopnd, 1, &data, (size_t)len);

	if (rc != EOK)
		return guest_cpu_to_vrs(rc);
	pthread_mutex_lock(&vdp->v_mtx);
	if (cookie >= COOKIE_CONTROL)
		control_write(vdp, cookie, at, len, data);
	else
		factory_write(vdp, at, len, data);
	pthread_mutex_unlock(&vdp->v_mtx);
	return VRS_NORMAL;
}

/* Options and life */

static int add_rule(struct shmem *sh, const char *pattern, bool allow)
{
	size_t len = strlen(pattern) + 1;
	struct rule *rule = malloc(sizeof(*rule) + len);

	if (!rule)
		return ENOMEM;
	*rule = (struct rule){ .allow = allow };
	memcpy(rule->pattern, pattern, len);
	*sh->last_rule = rule;
	sh->last_rule = &rule->next;
	return EOK;
}

static int add_region(vdev_t *vdp, const char *text)
{
	struct shmem *sh = vdp->v_device;
	const char *comma = strrchr(text, ',');
	size_t len = comma ? (size_t)(comma - text) : 0;
	char name[SHM_NAME_SIZE] = "";
	uint64_t size;

	if (!comma)
		return qvmx_refuse(vdp, "'%s' is no NAME,SIZE", text);
	if (len < sizeof(name))
		memcpy(name, text, len);
	if (!region_name_valid(name))
		return qvmx_refuse(vdp,
				   "'%.*s' is no name of a region: 1 to %u printable characters "
				   "without '/'",
				   (int)len, text, SHM_NAME_SIZE - 1);
	if (qvmx_option_parse(&create_size, comma + 1, &size) != EOK)
		return qvmx_refuse(vdp, "'%s' is no size of 1 byte to 1 GiB", comma + 1);
	if (region_find(sh->regions, name))
		return qvmx_refuse(vdp, "the region '%s' is made twice", name);
	if (!region_new(sh->regions, name, (uint32_t)((size + SHM_PAGE - 1) / SHM_PAGE), true))
		return qvmx_refuse(vdp, "more than %d regions", MAX_REGIONS);
	return EOK;
}

static int pci_function(vdev_t *vdp)
{
	static const struct qvmx_pci_info info = {
		.size = sizeof(info),
		.vendor = 0x1c05,
		.device = 0x0001,
		.subsystem_vendor = 0x1c05,
		.subsystem_device = 0x0001,
		.class_code = 0x058000,
	};
	int rc = qvmx_pci_function(vdp, &info);

	if (rc == EOK)
		rc = qvmx_pci_bar(vdp, BAR_FACTORY, QVMX_PCI_BAR_MEM32, SHM_PAGE, COOKIE_FACTORY);
	if (rc == EOK)
		rc = qvmx_pci_bar(vdp, BAR_MSIX, QVMX_PCI_BAR_MEM32, MSIX_SIZE, COOKIE_MSIX);
	if (rc == EOK)
		rc = qvmx_pci_msix(vdp, 1, BAR_MSIX, 0, MSIX_PENDING);
	return rc == EOK ? qvmx_pci_pin(vdp) : rc;
}

/* What the file makes is there for certain. */
static int guest_configured(vdev_t *vdp)
{
	struct shmem *sh = vdp->v_device;

	for (unsigned i = 0; i < MAX_REGIONS; i++) {
		struct region *r = &sh->regions[i];
		int rc = r->name[0] ? region_alloc(r, true) : EOK;

		if (rc != EOK)
			return qvmx_refuse(vdp, "the region '%s' of %u pages: %s", r->name,
					   r->pages, strerror(rc));
	}
	return EOK;
}

static void terminate(vdev_t *vdp)
{
	struct shmem *sh = vdp->v_device;

	for (unsigned i = 0; i < MAX_REGIONS; i++) {
		for (unsigned k = 0; k < SHM_MAX_CLIENTS; k++)
			if (sh->regions[i].clients[k].attached)
				window_close(vdp, &sh->regions[i], sh->regions[i].clients[k].gpa);
		region_free(&sh->regions[i]);
	}
	while (sh->rules) {
		struct rule *rule = sh->rules;

		sh->rules = rule->next;
		free(rule);
	}
}

static void log_status(vdev_t *vdp)
{
	struct shmem *sh = vdp->v_device;

	pthread_mutex_lock(&vdp->v_mtx);
	for (unsigned i = 0; i < MAX_REGIONS; i++) {
		const struct region *r = &sh->regions[i];

		if (r->name[0])
			vdev_logf(QL_QVM_INFO, vdp, "region '%s': %u pages, clients 0x%04x",
				  r->name, r->pages, region_attached(r));
	}
	pthread_mutex_unlock(&vdp->v_mtx);
}

static int shmem_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct shmem *sh = vdp->v_device;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_OPTIONS_START:
		sh->last_rule = &sh->rules;
		return EOK;
	case VDEV_CTRL_FIRST_OPTIDX + OPT_ALLOW:
		return add_rule(sh, arg, true);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_DENY:
		return add_rule(sh, arg, false);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_CREATE:
		return add_region(vdp, arg);
	case VDEV_CTRL_OPTIONS_END:
		if (vdp->v_block.qst_type == QST_MEMORY)
			vdp->v_block.length = SHM_PAGE;
		return EOK;
	case VDEV_CTRL_PCI_BARS:
		return pci_function(vdp);
	case VDEV_CTRL_GUEST_CONFIGURED:
		return guest_configured(vdp);
	case VDEV_CTRL_STATUS:
		log_status(vdp);
		return EOK;
	case VDEV_CTRL_TERMINATE:
		terminate(vdp);
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory shmem_factory = {
	.control = shmem_control,
	.vread = shmem_vread,
	.vwrite = shmem_vwrite,
	.factory_flags = VFF_VDEV_PCI | VFF_VDEV_MEM | VFF_INTR_NONPCI | VFF_MUTEX,
	.acc_sizes = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
	.extra_space = sizeof(struct shmem),
};

static const struct qvmx_vdev_info shmem_info = {
	.size = sizeof(shmem_info),
	.num_options = sizeof(options) / sizeof(options[0]),
	.summary = "memory that clients share",
	.options = options,
};

static void __attribute__((constructor)) shmem_register(void)
{
	qvmx_vdev_register(&shmem_factory, &shmem_info, QVM_VDEV_ABI);
}
