/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and ports of the host that are the guest's. Whole pages, page to page, are the guest's
 * without an exit; of all else each access is done for the guest, as wide as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "pass/internal.h"
#include "pass/ports.h"
#include "pass/uio.h"

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool is_io(const struct pass_window *w)
{
	return w->loc->guest.space == CONF_SPACE_IO;
}

/* The device that has the window's first address, by its name, and its last one. */
static bool device_at(const struct pass_window *w, char ret_name[UIO_NAME_LEN], uint64_t *ret_last)
{
	const uint64_t addr = w->loc->host.addr;
	struct uio_map map;

	if (!uio_find_memory(addr, 1, &map))
		return host_memory_at(addr, ret_name, ret_last);
	snprintf(ret_name, UIO_NAME_LEN, "/dev/uio%u", map.uio);
	*ret_last = map.addr + (map.size - 1);
	return true;
}

/* What the file asks for that cannot be. */
static void window_check(struct pass_window *w)
{
	struct conf *conf = w->set->conf;
	const struct conf_pass_loc *loc = w->loc;
	char name[UIO_NAME_LEN];
	uint64_t last;

	if (loc->attrs & CONF_PASS_DMA) {
		conf_error(conf, &loc->pos,
			   "%s does DMA, and no IOMMU that qvm knows confines what is not on PCI",
			   w->label);
		conf_expected(conf, "a device on the PCI bus, or one that does no DMA (n)");
	}
	if (loc->attrs & CONF_PASS_MEMORY) {
		conf_error(conf, &loc->pos, "%s cannot be memory of the guest (m)", w->label);
		conf_expected(conf, "ram");
	}
	if (w->pass->shared_pos.source && !(loc->attrs & CONF_PASS_NO_DMA)) {
		conf_error(conf, &w->pass->shared_pos,
			   "%s may not be shared: the file does not say that it does no DMA",
			   w->label);
		conf_expected(conf, "the attribute n, if that is so");
	}
	if (is_io(w)) {
		if (!uio_has_ports(loc->host.addr, loc->host.len) &&
		    host_use_ports(loc->host.addr, loc->host.len, name) == HOST_USE_NAMED) {
			conf_error(conf, &loc->host.pos, "%s is in use by the host: '%s' has it",
				   w->label, name);
			conf_expected(conf, "the host's driver ended first");
		}
	} else if (host_use_memory(loc->host.addr, loc->host.len, name) == HOST_USE_RAM) {
		conf_error(conf, &loc->host.pos,
			   "%s is memory of the host ('%s'), which its programs and VMs have",
			   w->label, name);
		conf_expected(conf, "registers of a device");
	} else if (device_at(w, name, &last) &&
		   loc->host.addr + (loc->host.len - 1) > (last | (page_size() - 1))) {
		conf_error(conf, &loc->host.pos,
			   "%s is longer than what begins there: '%s' ends at 0x%" PRIx64, w->label,
			   name, last);
		conf_expected(conf, "at most the pages of one device; several `loc` for several");
	}
}

int pass_window_plan(struct pass_set *set, const struct conf_pass *pass,
		     const struct conf_pass_loc *loc)
{
	struct pass_window *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct pass_window){ .set = set, .pass = pass, .loc = loc, .next = set->windows };
	set->windows = w;
	snprintf(w->label, sizeof(w->label), "pass %s 0x%" PRIx64 "-0x%" PRIx64,
		 is_io(w) ? "io" : "mem", loc->host.addr, loc->host.addr + loc->host.len - 1);
	window_check(w);
	for (const struct pass_window *other = w->next; other; other = other->next) {
		if (is_io(other) != is_io(w) ||
		    !range_overlaps(other->loc->host.addr, other->loc->host.len, loc->host.addr,
				    loc->host.len))
			continue;
		conf_error(set->conf, &loc->host.pos, "%s is passed twice", w->label);
		conf_note(set->conf, &other->loc->host.pos, "%s is here", other->label);
	}
	const struct plan_region r = { .space = is_io(w) ? PLAN_IO : PLAN_MEM,
				       .kind = PLAN_PASS,
				       .start = loc->guest.addr,
				       .len = loc->guest.len,
				       .owner = w->label,
				       .pos = loc->pos };
	int rc = plan_region_add(set->plan, &r);

	return rc == -ENOMEM ? rc : 0;
}

/* The file and the place in it that has these addresses. Negative: -errno. */
static int memory_file(const struct pass_window *w, uint64_t *ret_offset)
{
	const uint64_t start = align_down(w->loc->host.addr, page_size());
	struct uio_map map;
	char path[32] = "/dev/mem";

	*ret_offset = start;
	if (uio_find_memory(w->loc->host.addr, w->loc->host.len, &map)) {
		snprintf(path, sizeof(path), "/dev/uio%u", map.uio);
		/* A file of UIO says by its offset which map is meant, not where in it. */
		*ret_offset = map.number * page_size();
	}
	int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int memory_open(struct pass_window *w)
{
	const struct conf_loc *host = &w->loc->host;
	struct uio_map uio;
	uint64_t offset;
	int fd = memory_file(w, &offset);

	if (fd < 0)
		return fd;
	/* From the first page of what the file has there. */
	const uint64_t first = uio_find_memory(host->addr, host->len, &uio)
				       ? align_down(uio.addr, page_size())
				       : align_down(host->addr, page_size());

	w->map_len = align_up(host->addr + host->len - first, page_size());
	w->map = mmap(NULL, w->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	int rc = w->map == MAP_FAILED ? -errno : 0;

	close(fd);
	if (rc)
		w->map = NULL;
	else
		w->at = (uint8_t *)w->map + (host->addr - first);
	return rc;
}

int pass_window_open(struct pass_window *w)
{
	struct conf *conf = w->set->conf;
	const struct conf_loc *host = &w->loc->host;
	char name[UIO_NAME_LEN];
	int rc = is_io(w) ? ports_open((unsigned)host->addr, (unsigned)host->len) : memory_open(w);

	if (!rc)
		return 0;
	if (!is_io(w) && rc == -EPERM &&
	    host_use_memory(host->addr, host->len, name) == HOST_USE_NAMED) {
		conf_error(conf, &host->pos, "%s is in use by the host: '%s' has it", w->label,
			   name);
		conf_expected(conf,
			      "the host's driver unbound first, or a UIO driver in its place");
	} else {
		conf_error(conf, &host->pos, "%s: the host does not give it: %s", w->label,
			   rc == -ENODEV ? "this machine has no ports" : strerror(-rc));
	}
	return -EINVAL;
}

static uint64_t memory_load(const uint8_t *at, unsigned len)
{
	switch (len) {
	case 1:
		return *(const volatile uint8_t *)at;
	case 2:
		return *(const volatile uint16_t *)(const void *)at;
	case 4:
		return *(const volatile uint32_t *)(const void *)at;
	default:
		return *(const volatile uint64_t *)(const void *)at;
	}
}

static void memory_store(uint8_t *at, unsigned len, uint64_t value)
{
	switch (len) {
	case 1:
		*(volatile uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)(void *)at = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)(void *)at = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)(void *)at = value;
		break;
	}
}

/* A width that cannot be one access there is refused: cut into pieces it would be another one. */
static bool access_fits(const struct pass_window *w, uint64_t offset, unsigned len)
{
	if (!range_inside(offset, len, 0, w->loc->host.len) || !is_pow2(len) ||
	    len > (is_io(w) ? 4u : 8u))
		return false;
	return is_io(w) || (w->loc->host.addr + offset) % len == 0;
}

int pass_window_access(struct pass_window *w, uint64_t offset, bool write, unsigned len,
		       uint64_t *value)
{
	const uint16_t port = (uint16_t)(w->loc->host.addr + offset);

	if (!(w->loc->attrs & (write ? CONF_PASS_WRITE : CONF_PASS_READ)))
		return -EPERM;
	if (!access_fits(w, offset, len))
		return -EINVAL;
	if (is_io(w) && write)
		port_write(port, len, (uint32_t)*value);
	else if (is_io(w))
		*value = port_read(port, len);
	else if (write)
		memory_store(w->at + offset, len, *value);
	else
		*value = memory_load(w->at + offset, len);
	return 0;
}

static enum bus_result window_access(void *opaque, unsigned cookie, struct bus_access *acc)
{
	struct pass_window *w = opaque;
	uint64_t value = 0;

	(void)cookie;
	if (acc->write)
		memcpy(&value, acc->data, MIN(acc->len, sizeof(value)));
	if (pass_window_access(w, acc->addr - w->loc->guest.addr, acc->write, acc->len, &value)) {
		if (!acc->write)
			memset(acc->data, 0xff, acc->len);
		return w->loc->attrs & CONF_PASS_REPORT ? BUS_FAULT : BUS_OK;
	}
	if (!acc->write)
		memcpy(acc->data, &value, acc->len);
	return BUS_OK;
}

/* From `start` up to `end`, guest-physical, nothing stands before the window: the bus has it, and
 * whole pages that the guest may read the engine too. */
static int piece_attach(struct pass_window *w, struct bus *bus, uint64_t start, uint64_t end)
{
	const struct conf_pass_loc *loc = w->loc;
	const uint64_t page = page_size(), first = align_up(start, page),
		       last = align_down(end, page);
	struct engine *e = w->set->engine;
	const struct bus_region r = { .space = is_io(w) ? ENGINE_IO : ENGINE_MEM,
				      .start = start,
				      .len = end - start,
				      .handler = window_access,
				      .opaque = w,
				      .owner = w->label };
	int rc = start < end ? bus_region_replace(bus, NULL, &r, NULL) : 0;

	if (rc || is_io(w) || !(loc->attrs & CONF_PASS_READ) || first >= last ||
	    (loc->guest.addr - loc->host.addr) % page)
		return rc;
	return e->ops->memory_set(e, MEMORY_FIRST_PASS_SLOT + w->set->num_slots++, first,
				  last - first, w->at + (first - loc->guest.addr),
				  !(loc->attrs & CONF_PASS_WRITE));
}

int pass_window_attach(struct pass_window *w, struct bus *bus, const char **ret_why)
{
	const struct plan *plan = w->set->plan;
	const struct conf_loc *guest = &w->loc->guest;
	uint64_t next = guest->addr;
	int rc = 0;

	*ret_why = w->label;
	/* The plan's regions are sorted. */
	for (unsigned i = 0; i < plan->num_regions && !rc; i++) {
		const struct plan_region *r = &plan->regions[i];

		if (r->kind != PLAN_GUARD || r->space != (is_io(w) ? PLAN_IO : PLAN_MEM) ||
		    !range_inside(r->start, r->len, guest->addr, guest->len))
			continue;
		rc = piece_attach(w, bus, next, r->start);
		next = r->start + r->len;
	}
	return rc ? rc : piece_attach(w, bus, next, guest->addr + guest->len);
}

void pass_window_free(struct pass_window *w)
{
	if (w->map)
		munmap(w->map, w->map_len);
	free(w);
}
