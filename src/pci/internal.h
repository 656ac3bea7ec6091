/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share. Two kinds of lock, taken in this order:
 *   pci_bus.map_mtx     where BARs are mapped, of all functions, and the command and BAR registers
 * (writing) pci_device.mtx      a function's configuration bytes and its MSI-X table Command and
 * BAR registers are written under both, so either is enough to read them. Below these come the
 * locks of the bus and of src/irq. None is held while a device's code runs, but for map_mtx while a
 * device hears that bus mastering has changed.
 */
#ifndef PCI_INTERNAL_H
#define PCI_INTERNAL_H

#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "bus/bus.h"
#include "irq/irq.h"
#include "pci/pci.h"

enum {
	PCI_CONFIG_SIZE = 256,
	PCI_NUM_DEVFN = 256,

	PCI_REG_COMMAND = 0x04,
	PCI_REG_STATUS = 0x06,
	PCI_REG_CACHE_LINE = 0x0c,
	PCI_REG_LATENCY = 0x0d,
	PCI_REG_HEADER_TYPE = 0x0e,
	PCI_REG_BAR0 = 0x10,
	PCI_REG_SUBSYSTEM = 0x2c,
	PCI_REG_ROM = 0x30,
	PCI_REG_CAP_POINTER = 0x34,
	PCI_REG_INTERRUPT_LINE = 0x3c,
	PCI_REG_INTERRUPT_PIN = 0x3d,
	PCI_HEADER_END = 0x40,

	PCI_COMMAND_IO = 0x1,
	PCI_COMMAND_MEMORY = 0x2,
	PCI_COMMAND_MASTER = 0x4,
	PCI_COMMAND_INTX_DISABLE = 0x400,
	PCI_COMMAND_WRITABLE = 0x547, /* and parity, SERR */
	PCI_STATUS_INTERRUPT = 0x8,
	PCI_STATUS_CAPABILITIES = 0x10,
	PCI_HEADER_MULTIFUNCTION = 0x80,

	PCI_CAP_MSI = 0x05,
	PCI_CAP_MSIX = 0x11,

	PCI_EXTENDED_CONFIG_SIZE = 4096,
};

struct pci_bar {
	struct pci_bar_info info;
	struct pci_device *dev;
	bool mapped;
	uint64_t mapped_addr, first_addr;
};

struct pci_doorbell {
	unsigned bar, len;
	uint32_t offset;
	int fd;
	bool armed;
};

struct pci_msix {
	unsigned num, table_bar, pba_bar;
	uint32_t table_offset, pba_offset;
	unsigned capability;  /* offset in configuration space */
	_Atomic bool enabled; /* written under the device's mutex */
	bool function_mask;
	uint8_t *table;	      /* num entries of 16 bytes, as the guest sees them */
	unsigned num_vectors; /* made so far: num once attached */
	struct irq_vector *vectors;
};

enum { PCI_MAX_MSI_ORDER = 5 };

struct pci_msi {
	unsigned capability, order; /* offset in configuration space; 1 << order messages */
	bool wide;
	_Atomic bool enabled; /* written under the device's mutex */
	_Atomic unsigned num; /* messages that the guest has allowed */
	unsigned num_vectors; /* made so far: all once attached */
	struct irq_vector vectors[1u << PCI_MAX_MSI_ORDER];
};

struct pci_device {
	struct pci_bus *bus;
	const char *name;
	unsigned devfn;
	pthread_mutex_t mtx;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest may write */
	_Atomic bool intx;		   /* what the device asks for */
	unsigned pin;			   /* 1: INTA; 0: none */
	struct irq_line *line;		   /* NULL: its pin goes nowhere */
	unsigned line_source;
	bool line_level;
	_Atomic bool master;
	void (*master_changed)(void *opaque, bool on);
	void *master_opaque;
	unsigned last_capability, next_free; /* offsets; last 0: none */
	struct pci_capability_info window;   /* window_ops NULL: none */
	unsigned window_capability;	     /* its offset */
	struct pci_bar bars[PCI_NUM_BARS];
	struct pci_doorbell *doorbells;
	unsigned num_doorbells;
	struct pci_msix *msix;		       /* NULL: none */
	struct pci_msi *msi;		       /* NULL: none */
	const struct pci_forward_ops *forward; /* NULL: the core has all of it */
	void *forward_opaque;
};

/* Not to be chosen for a BAR. */
struct pci_reserved {
	bool io;
	uint64_t start, len;
};

struct pci_bus {
	struct pci_bus_info info;
	uint32_t reserved_slots; /* bits */
	struct pci_reserved *reserved;
	unsigned num_reserved;
	pthread_mutex_t map_mtx;
	bool placed;
	bool ecam_mapped, ports_mapped;
	struct bus *bus; /* NULL until attached */
	struct irq *irq;
	struct engine *engine;
	struct irq_line *lines[PCI_NUM_LINES]; /* NULL: none */
	unsigned gsis[PCI_NUM_LINES];
	_Atomic uint32_t config_address; /* what was written to port 0xcf8 */
	struct pci_device *devices[PCI_NUM_DEVFN];
};

static inline uint32_t pci_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint16_t pci_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline void pci_put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void pci_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

/* config.c */
void pci_config_init(struct pci_device *dev, const struct pci_device_info *info);
uint32_t pci_function_read(struct pci_device *dev, unsigned offset, unsigned len);
void pci_function_write(struct pci_device *dev, unsigned offset, unsigned len, uint32_t value);

/* pci.c. The line follows what the device asks for and the guest allows; dev->mtx is held. */
void pci_line_update(struct pci_device *dev);

/* bar.c */
uint64_t pci_bar_written(const struct pci_bar *bar);
void pci_bar_write(struct pci_bar *bar, uint64_t addr);
/*
 * Make the mappings of all functions follow their registers, as far as that can be. Under map_mtx.
 */
void pci_bars_update(struct pci_bus *pb);

/* msi.c. The device's mutex is held for update and reset. */
int pci_msi_attach(struct pci_device *dev, struct irq *irq) MUST_CHECK;
void pci_msi_free(struct pci_device *dev);
/* As its registers and bus mastering ask for. */
void pci_msi_update(struct pci_device *dev);
void pci_msi_reset(struct pci_device *dev);
bool pci_msi_enabled(const struct pci_device *dev);
/* The dword is one of its capability. */
bool pci_msi_has(const struct pci_device *dev, unsigned dword);

/* msix.c. The device's mutex is held for control_written, update and reset. */
int pci_msix_attach(struct pci_device *dev, struct irq *irq) MUST_CHECK;
void pci_msix_free(struct pci_device *dev);
void pci_msix_control_written(struct pci_device *dev);
/* Every vector as table, control word and bus mastering ask for. */
void pci_msix_update(struct pci_device *dev);
void pci_msix_reset(struct pci_device *dev);
/* The dword is one of its capability. */
bool pci_msix_has(const struct pci_device *dev, unsigned dword);
/* Answer an access to a BAR if it is to the table or the pending bits. */
bool pci_msix_access(struct pci_device *dev, unsigned bar, struct bus_access *acc);

#endif
