/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual PCI bus: segment 0, bus 0. The core owns every function's configuration space, BARs,
 * capabilities and MSI-X table; a device declares what it has and sees accesses to its BARs only.
 *
 * Start-up, on one thread: pci_bus_create, then for each function pci_device_add, pci_bar_add,
 * pci_capability_add, pci_msix_add, pci_doorbell_add; pci_bus_place gives every BAR an address (no
 * KVM needed: what `dryrun` lists); pci_bus_attach puts the configuration regions on the bus and
 * makes the interrupt vectors. After that the guest may run: configuration accesses come on any
 * vCPU's thread, several at once. No lock is held while a device's code runs. The bus frees its
 * devices; BAR handlers and their opaque pointers are the device's and must outlive the bus.
 *
 * A BAR has two addresses: what the guest wrote and where it is mapped. It is mapped only inside
 * the windows; an address that cannot be mapped changes nothing and is tried again whenever the
 * mapping of another BAR changes.
 */
#ifndef PCI_PCI_H
#define PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"
#include "bus/bus.h"

struct engine;
struct irq;
struct irq_line;
struct pci_bus;
struct pci_device;

enum {
	PCI_ROM = 6, /* among the BARs: that of the expansion ROM */
	PCI_NUM_BARS = 7,
	PCI_MAX_MSIX_VECTORS = 2048,
	PCI_NO_VENDOR = 0xffff, /* what the vendor id of no function reads */
	PCI_DEVFN_NEXT = -1,	/* the next free device number, function 0 */
};

/* Device and function number as one: what `lspci` calls 00:DD.F. */
#define PCI_DEVFN(dev, func) ((int)(((dev) << 3) | (func)))

struct pci_window {
	uint64_t start, len; /* bytes; len 0: none */
};

struct pci_bus_info {
	uint64_t ecam_base;		    /* of bus 0 */
	unsigned ecam_buses;		    /* 1 MiB each, from bus 0 on; 0: no ECAM */
	bool config_ports;		    /* 0xcf8 and 0xcfc too */
	struct pci_window mem32, mem64, io; /* where BARs may lie; mem32 below 4 GiB */
	uint64_t ports; /* guest-physical address of port 0; 0: ports are the processor's */
};

/* Called for accesses to the window of a capability (pci_capability_info); no lock is held. */
struct pci_window_ops {
	/* The guest reads the window: fill data. cap: the capability's bytes as they are now. */
	void (*read)(void *opaque, const uint8_t *cap, uint8_t data[4]);
	/* The guest wrote the window: its bytes stand in cap already. */
	void (*write)(void *opaque, const uint8_t *cap);
};

struct pci_device_info {
	const char *name; /* for messages; outlives the bus */
	int devfn;	  /* PCI_DEVFN(), or PCI_DEVFN_NEXT */
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint32_t class_code; /* class << 16 | subclass << 8 | interface */
	uint8_t revision;
};

/* ROM: at PCI_ROM and only there; decoded while its own enable bit is set too. */
enum pci_bar_type { PCI_BAR_NONE, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_IO, PCI_BAR_ROM };

struct pci_bar_info {
	enum pci_bar_type type;
	uint64_t size;		 /* bytes, a power of two; memory >= 16, I/O 4 to 256, ROM 2 KiB to
				    16 MiB */
	bus_handler_fn *handler; /* acc->offset counts from the BAR's start; NULL: reads 0, ignores
				    writes */
	void *opaque;
	unsigned cookie;
	/*
	 * The BAR is mapped at addr from now on, or no more, so that memory of the host can lie
	 * there as well: what the engine has of it does not reach the handler. NULL: nobody wants
	 * to know. Calls are ordered, on a vCPU's thread; it may not come back to this folder's
	 * functions.
	 */
	void (*mapped)(void *opaque, unsigned cookie, bool on, uint64_t addr);
};

/* How a function sends its interrupts. */
enum pci_messages { PCI_MESSAGES_NONE, PCI_MESSAGES_MSI, PCI_MESSAGES_MSIX };

/*
 * A device of the host's behind the function: the core keeps the header, BARs, MSI and MSI-X, the
 * rest of configuration space is the device's. On a vCPU's thread, several at once but for
 * `command`; no lock of the function is held.
 */
struct pci_forward_ops {
	/* The dword at offset: from 0x40 on, or that of the status register. */
	uint32_t (*read)(void *opaque, unsigned offset);
	/* len bytes, not crossing a dword, from 0x40 on. */
	void (*write)(void *opaque, unsigned offset, unsigned len, uint32_t value);
	/* The command register has changed. Calls are ordered; it may not come back to this
	 * folder's functions. */
	void (*command)(void *opaque, uint16_t command);
	/* pci_messages_now may have changed. */
	void (*messages)(void *opaque);
};

/*
 * A capability: body is what follows the id and next bytes, len bytes of it (2 to 62). Bits set in
 * write_mask (NULL: none) may be written by the guest. window_ops (NULL: none): a dword at window,
 * an offset from the capability's id byte and a multiple of 4, is passed to the device.
 */
struct pci_capability_info {
	uint8_t id;
	unsigned len;
	const uint8_t *body, *write_mask;
	const struct pci_window_ops *window_ops;
	void *opaque;
	unsigned window;
};

/* -EINVAL: the windows or the ECAM range wrap, or mem32 ends above 4 GiB. */
int pci_bus_create(const struct pci_bus_info *info, struct pci_bus **ret_bus) MUST_CHECK;
/* Ports can be given to BARs. */
bool pci_bus_has_ports(const struct pci_bus *pb);
/* No vCPU runs any more. */
void pci_bus_destroy(struct pci_bus *pb);

/*
 * -ENOSPC: all 31 device numbers are in use; -EEXIST: that place is taken; -EINVAL: no such place.
 */
int pci_device_add(struct pci_bus *pb, const struct pci_device_info *info,
		   struct pci_device **ret_dev) MUST_CHECK;
/*
 * Keep what the bus chooses by itself out of a device number (with all of its functions), or out of
 * addresses or ports. Before placing; functions with a place of their own may be there all the
 * same. -EINVAL: no such device; -ENOMEM.
 */
int pci_slot_reserve(struct pci_bus *pb, unsigned slot) MUST_CHECK;
int pci_window_reserve(struct pci_bus *pb, bool io, uint64_t start, uint64_t len) MUST_CHECK;
/*
 * A 64-bit BAR uses index and index + 1. -EINVAL: bad index, type or size; -EEXIST: in use; -EBUSY:
 * after placing.
 */
int pci_bar_add(struct pci_device *dev, unsigned index, const struct pci_bar_info *info) MUST_CHECK;
/* *ret_offset (may be NULL): where in configuration space. -ENOSPC: the 256 bytes are full. */
int pci_capability_add(struct pci_device *dev, const struct pci_capability_info *info,
		       unsigned *ret_offset) MUST_CHECK;
/*
 * Give the function num MSI-X vectors (1 to PCI_MAX_MSIX_VECTORS), their table and pending bits at
 * these offsets (multiples of 8) of these memory BARs, which were added before. Accesses there
 * never reach a BAR's handler.
 */
int pci_msix_add(struct pci_device *dev, unsigned num, unsigned table_bar, uint32_t table_offset,
		 unsigned pba_bar, uint32_t pba_offset) MUST_CHECK;
/*
 * MSI with 1 << order messages (order 0 to 5), with 64-bit addresses or without. Errors of
 * pci_capability_add; -EEXIST.
 */
int pci_msi_add(struct pci_device *dev, unsigned order, bool wide) MUST_CHECK;
/* Before placing. */
void pci_forward_set(struct pci_device *dev, const struct pci_forward_ops *ops, void *opaque);
/* Where the next capability is put: that of a device of the host's stays where it is. */
void pci_capability_place(struct pci_device *dev, unsigned offset);
/* Bytes of configuration space as the guest is to find them, before it runs. */
void pci_config_set(struct pci_device *dev, unsigned offset, const void *data, unsigned len);
/* How the guest wants the interrupts now; *ret_num: messages that it may use. Any thread. */
enum pci_messages pci_messages_now(struct pci_device *dev, unsigned *ret_num);
/* The eventfd that sends message number i of that kind; after pci_bus_attach. */
int pci_message_fd(const struct pci_device *dev, enum pci_messages kind, unsigned i);
/* The function has an interrupt pin, if pci_bus_lines_set gives it a line: INTA for function 0. */
int pci_pin_add(struct pci_device *dev) MUST_CHECK;
/*
 * Called when the guest sets or clears the Bus Master bit (off at first): the device reads and
 * writes no guest memory while it is off. On the vCPU's thread, calls are ordered; it may not come
 * back to this folder's functions but for signalling.
 */
void pci_master_watch(struct pci_device *dev, void (*changed)(void *opaque, bool on), void *opaque);
/*
 * Writes of len bytes to offset of memory BAR bar signal fd (an eventfd, the caller's, which
 * outlives the bus), by the engine and without reaching the handler, wherever the BAR is mapped. A
 * write that the engine does not take (another width; an engine that refused) reaches the handler
 * as usual.
 */
int pci_doorbell_add(struct pci_device *dev, unsigned bar, uint32_t offset, unsigned len,
		     int fd) MUST_CHECK;

/*
 * Give every BAR its first address. -ENOSPC: a window is full; *ret_dev and *ret_bar (may be NULL)
 * say whose BAR.
 */
int pci_bus_place(struct pci_bus *pb, const struct pci_device **ret_dev,
		  unsigned *ret_bar) MUST_CHECK;
/* Device numbers that have functions with an interrupt pin, a bit each. */
uint32_t pci_bus_pins(const struct pci_bus *pb);
enum { PCI_NUM_LINES = 4 };
/*
 * Where interrupt pins go, before pci_bus_attach: pin p (INTA: 0) of device d to lines[(d + p) %
 * 4], whose number in the guest's eyes is gsis[...]. Lines may be the same; they outlive the bus.
 */
void pci_bus_lines_set(struct pci_bus *pb, struct irq_line *const lines[PCI_NUM_LINES],
		       const unsigned gsis[PCI_NUM_LINES]);
/*
 * After placing: configuration accesses are answered from now on. All three outlive the pci_bus.
 * -EEXIST: a configuration region overlaps *ret_other (may be NULL); errors of irq_vector_create
 * and irq_line_source_add, of the function *ret_other.
 */
int pci_bus_attach(struct pci_bus *pb, struct bus *bus, struct irq *irq, struct engine *engine,
		   const char **ret_other) MUST_CHECK;

/*
 * Back to the state after pci_bus_attach: decode off, BARs at their first address, MSI-X off,
 * nothing pending.
 */
void pci_device_reset(struct pci_device *dev);

/*
 * Signal MSI-X vector. Out of range or MSI-X off: nothing. While masked, or while the function is
 * no bus master, it becomes pending. Any thread, no lock.
 */
void pci_msix_signal(const struct pci_device *dev, unsigned vector);
/* The guest has MSI-X on. Any thread. */
bool pci_msix_enabled(const struct pci_device *dev);
unsigned pci_msix_vectors(const struct pci_device *dev);
/* As in struct pci_device_info. */
const char *pci_device_name(const struct pci_device *dev);
/* Likewise, of the function at that place; NULL: there is none. */
const char *pci_place_owner(const struct pci_bus *pb, int devfn);

/*
 * The function asks for its interrupt pin: the Interrupt Status bit, and the level of its line.
 * Both only while MSI-X is off, the line only without Interrupt Disable. Any thread.
 */
void pci_intx_set(struct pci_device *dev, bool level);
/* The pin's line, NULL: it goes nowhere. After pci_bus_attach. */
struct irq_line *pci_pin_line(const struct pci_device *dev);
/* The number of the pin's line (pci_bus_lines_set), -1: it goes nowhere. */
int pci_pin_gsi(const struct pci_device *dev);

/* Where BAR bar is mapped now. False: it is not. Any thread. */
bool pci_bar_mapped(struct pci_device *dev, unsigned bar, uint64_t *ret_addr);

/*
 * One configuration access as the guest does it: len 1 to 4, not crossing a dword; for tests and
 * debuggers.
 */
uint32_t pci_config_read(struct pci_bus *pb, unsigned devfn, unsigned offset, unsigned len);
void pci_config_write(struct pci_bus *pb, unsigned devfn, unsigned offset, unsigned len,
		      uint32_t value);

/* A function, for people. addr: what is written in the BAR. */
struct pci_listing {
	const char *name;
	unsigned devfn;
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint32_t class_code;
	uint8_t revision;
	unsigned msix_vectors;
	struct {
		enum pci_bar_type type;
		bool mapped;
		uint64_t addr, size;
	} bars[PCI_NUM_BARS];
};

/* The functions in the order of their numbers; fills at most max and returns how many there are. */
unsigned pci_bus_list(struct pci_bus *pb, struct pci_listing *ret_list, unsigned max);

#endif
