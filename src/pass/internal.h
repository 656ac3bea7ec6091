/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#ifndef PASS_INTERNAL_H
#define PASS_INTERNAL_H

#include <pthread.h>
#include "irq/relay.h"
#include "pass/host.h"
#include "pass/ledger.h"
#include "pass/pass.h"
#include "pass/vfio.h"

enum { PASS_MAX_SPANS = 8, PASS_MAX_DEVICES = 32 };

/* Whole pages of a BAR that the guest reaches without us. */
struct pass_span {
	uint64_t offset, len;
	void *hva;
	unsigned slot;
};

struct pass_bar {
	struct pass_pci *pci;
	unsigned index, num_spans;
	struct pass_span spans[PASS_MAX_SPANS];
};

struct pass_msix {
	unsigned capability; /* offset in configuration space, 0: it has none */
	unsigned num, table_bar, pba_bar;
	uint32_t table_offset, pba_offset;
};

/* A PCI device. */
struct pass_pci {
	struct pass_set *set;
	const struct conf_pass_loc *loc;
	struct host_pci host;
	char label[32]; /* "pass 0000:00:03.0" */
	struct pci_device *fn;
	struct vfio_dev dev;
	unsigned msi, pcie; /* capabilities' offsets, 0: none */
	struct pass_msix msix;
	struct pass_bar bars[HOST_NUM_BARS];
	int intx_fd, unmask_fd; /* -1: it has no pin, or that goes nowhere */
	struct irq_relay *relay;
	pthread_mutex_t mtx; /* how interrupts are sent now */
	enum pci_messages messages;
	unsigned num_messages;
};

/* Addresses or ports. */
struct pass_window {
	struct pass_window *next;
	struct pass_set *set;
	const struct conf_pass *pass;
	const struct conf_pass_loc *loc;
	char label[64]; /* "pass mem 0x9010000-0x9010fff" */
	void *map;	/* whole pages of the host, NULL: none */
	uint64_t map_len;
	uint8_t *at; /* of the window, in map */
};

struct pass_intr {
	struct pass_intr *next;
	struct pass_set *set;
	const struct conf_pass *pass;
	const struct conf_pass_intr *conf;
	char label[64];
	uint32_t number; /* in the host */
	unsigned uio, line;
	int uio_fd, fd, unmask_fd, stop_fd;
	struct irq_line *irq_line;
	unsigned source; /* at_once */
	struct irq_relay *relay;
	bool started;
	pthread_t thread;
};

struct pass_set {
	struct conf *conf;
	const struct pass_lines *lines;
	struct pass_window *windows;
	struct pass_intr *intrs;
	struct plan *plan;
	struct pci_bus *bus;
	struct engine *engine;
	struct vfio vfio;
	struct ledger *ledger;
	unsigned num_devices, num_slots;
	struct pass_pci *devices[PASS_MAX_DEVICES];
};

/* pci.c. Plan: mistakes are recorded. */
int pass_pci_plan(struct pass_set *set, const struct conf_pass_loc *loc) MUST_CHECK;
int pass_pci_open(struct pass_pci *p) MUST_CHECK;
int pass_pci_attach(struct pass_pci *p, struct irq *irq, const char **ret_why) MUST_CHECK;
int pass_pci_start(struct pass_pci *p) MUST_CHECK;
void pass_pci_quiesce(struct pass_pci *p);
void pass_pci_free(struct pass_pci *p);

/* window.c */
int pass_window_plan(struct pass_set *set, const struct conf_pass *pass,
		     const struct conf_pass_loc *loc) MUST_CHECK;
int pass_window_open(struct pass_window *w) MUST_CHECK;
int pass_window_attach(struct pass_window *w, struct bus *bus, const char **ret_why) MUST_CHECK;
int pass_window_access(struct pass_window *w, uint64_t offset, bool write, unsigned len,
		       uint64_t *value);
void pass_window_free(struct pass_window *w);

/* intr.c */
int pass_intr_plan(struct pass_set *set, const struct conf_pass *pass,
		   const struct conf_pass_intr *intr) MUST_CHECK;
int pass_intr_open(struct pass_intr *intr) MUST_CHECK;
int pass_intr_attach(struct pass_intr *intr, struct irq *irq, const char **ret_why) MUST_CHECK;
int pass_intr_start(struct pass_intr *intr) MUST_CHECK;
void pass_intr_stop(struct pass_intr *intr);
void pass_intr_free(struct pass_intr *intr);

#endif
