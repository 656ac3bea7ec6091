/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For this folder's tests: a bus, an interrupt machine and a PCI bus on the bench, and accesses as
 * a guest makes them. One thread unless a test adds readers of its own.
 */
#ifndef PCI_TESTING_H
#define PCI_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bus/bus.h"
#include "engine/bench/bench.h"
#include "irq/irq.h"
#include "pci/pci.h"

#define ECAM_BASE   0xe0000000ull
#define MEM32_BASE  0xc0000000ull
#define MEM32_SIZE  0x10000000ull
#define MEM64_BASE  0x4000000000ull
#define MEM64_SIZE  0x1000000000ull
#define IO_BASE	    0xc000u
#define IO_SIZE	    0x1000u
#define HOST_BRIDGE PCI_DEVFN(0, 0)

struct machine {
	struct engine *engine;
	struct bus *bus;
	struct irq *irq;
	struct pci_bus *pci;
	struct bus_reader reader;
	struct irq_line *lines[PCI_NUM_LINES];
	bool levels[PCI_NUM_LINES]; /* of these, GSIs 16 to 19 */
};

static inline int machine_line(void *opaque, unsigned pin, bool level)
{
	((struct machine *)opaque)->levels[pin] = level;
	return 0;
}

static inline struct pci_bus_info machine_info(void)
{
	return (struct pci_bus_info){
		.ecam_base = ECAM_BASE,
		.ecam_buses = 2,
		.config_ports = true,
		.mem32 = { MEM32_BASE, MEM32_SIZE },
		.mem64 = { MEM64_BASE, MEM64_SIZE },
		.io = { IO_BASE, IO_SIZE },
	};
}

static inline struct pci_device *machine_add(struct machine *m, int devfn, uint16_t vendor,
					     uint16_t device)
{
	const struct pci_device_info info = {
		.name = "test device",
		.devfn = devfn,
		.vendor = vendor,
		.device = device,
		.subsystem_vendor = 0x1c05,
		.subsystem_device = 0x77,
		.class_code = 0x018000,
		.revision = 3,
	};
	struct pci_device *dev;

	assert_int_equal(pci_device_add(m->pci, &info, &dev), 0);
	return dev;
}

/* ports: where the bus's port 0 lies in memory; 0: they are the processor's. */
static inline void machine_create_with(struct machine *m, uint64_t ports)
{
	struct pci_bus_info info = machine_info();

	info.ports = ports;

	memset(m, 0, sizeof(*m));
	m->engine = bench_create();
	assert_non_null(m->engine);
	assert_int_equal(bus_create(&m->bus), 0);
	assert_int_equal(irq_create(m->engine, &m->irq), 0);
	assert_int_equal(pci_bus_create(&info, &m->pci), 0);
	bus_reader_add(m->bus, &m->reader);
	machine_add(m, HOST_BRIDGE, 0x1c05, 0x0002);
}

static inline void machine_create(struct machine *m)
{
	machine_create_with(m, 0);
}

static inline void machine_start(struct machine *m)
{
	static const unsigned gsis[PCI_NUM_LINES] = { 16, 17, 18, 19 };
	const char *other = "nobody";

	for (unsigned i = 0; i < PCI_NUM_LINES; i++)
		assert_int_equal(irq_line_create(m->irq, machine_line, m, i, &m->lines[i]), 0);
	pci_bus_lines_set(m->pci, m->lines, gsis);

	assert_int_equal(pci_bus_place(m->pci, NULL, NULL), 0);
	assert_int_equal(pci_bus_attach(m->pci, m->bus, m->irq, m->engine, &other), 0);
}

static inline void machine_destroy(struct machine *m)
{
	struct bus_region region;

	pci_bus_destroy(m->pci);
	assert_int_equal(bus_region_list(m->bus, &region, 1), 0);
	irq_destroy(m->irq);
	bus_reader_remove(m->bus, &m->reader);
	bus_destroy(m->bus);
	m->engine->ops->destroy(m->engine);
}

static inline bool guest_access(struct machine *m, struct bus_reader *reader,
				enum engine_space space, bool write, uint64_t addr, unsigned len,
				uint64_t *value)
{
	struct bus_access acc = {
		.space = space, .write = write, .len = len, .addr = addr, .data = value
	};

	return bus_dispatch(m->bus, reader, &acc) == BUS_OK;
}

static inline uint64_t mem_read(struct machine *m, uint64_t addr, unsigned len)
{
	uint64_t value = 0;

	assert_true(guest_access(m, &m->reader, ENGINE_MEM, false, addr, len, &value));
	return value;
}

static inline void mem_write(struct machine *m, uint64_t addr, unsigned len, uint64_t value)
{
	assert_true(guest_access(m, &m->reader, ENGINE_MEM, true, addr, len, &value));
}

static inline bool mem_answers(struct machine *m, uint64_t addr)
{
	uint64_t value = 0;

	return guest_access(m, &m->reader, ENGINE_MEM, false, addr, 1, &value);
}

static inline uint64_t io_read(struct machine *m, uint64_t port, unsigned len)
{
	uint64_t value = 0;

	assert_true(guest_access(m, &m->reader, ENGINE_IO, false, port, len, &value));
	return value;
}

static inline void io_write(struct machine *m, uint64_t port, unsigned len, uint64_t value)
{
	assert_true(guest_access(m, &m->reader, ENGINE_IO, true, port, len, &value));
}

static inline uint64_t ecam(unsigned devfn, unsigned offset)
{
	return ECAM_BASE + devfn * 4096ull + offset;
}

static inline uint32_t cfg_read(struct machine *m, unsigned devfn, unsigned offset, unsigned len)
{
	return (uint32_t)mem_read(m, ecam(devfn, offset), len);
}

static inline void cfg_write(struct machine *m, unsigned devfn, unsigned offset, unsigned len,
			     uint32_t value)
{
	mem_write(m, ecam(devfn, offset), len, value);
}

/* The offset of the n-th capability with this id, 0: none. */
static inline unsigned cfg_capability(struct machine *m, unsigned devfn, uint8_t id, unsigned n)
{
	unsigned at = cfg_read(m, devfn, 0x06, 2) & 0x10 ? cfg_read(m, devfn, 0x34, 1) : 0;

	for (unsigned hops = 0; at && hops < 48; hops++) {
		if (cfg_read(m, devfn, at, 1) == id && n-- == 0)
			return at;
		at = cfg_read(m, devfn, at + 1, 1);
	}
	return 0;
}

#endif
