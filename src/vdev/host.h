/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vdev host: loads vdev-NAME.so files, makes an instance for each `vdev` of the configuration,
 * drives their lifecycle and implements the public API (include/qvm) over the folders below. There
 * is one in a process, since some functions of the documented API have no context.
 *
 * Used by src/vm and by libvdevtest. Calls in this order, on one thread, up to `starting`; then
 * vCPU threads call vdev_access, and vdev threads the API. vdev_host_terminate comes after the last
 * vCPU has stopped.
 */
#ifndef VDEV_HOST_H
#define VDEV_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "vdev/api.h"
#include "base/log.h"
#include "base/util.h"
#include "bus/bus.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "engine/memory.h"
#include "irq/irq.h"
#include "machine/plan.h"
#include "pci/pci.h"
#include "vdev/types.h"

struct devtree;
struct loop;
struct clock;
struct gasp;
struct strbuf;

/* An instruction that a vdev has taken over: guest_instr_register. */
struct vdev_instr {
	struct vdev_instr *next;
	vdev_t *vdp;
	guest_instr_type_t git;
	uint32_t qualifier;
	bool any; /* GIT_FLAG_NO_QUALIFIER */
	guest_instr_callback_func_t *func;
};

/* Messages to these addresses are a controller's: guest_msi_register. */
struct vdev_msi_range {
	vdev_t *pic;
	uint64_t addr, mask;
	guest_msi_deliver_func_t *deliver;
	unsigned cookie;
};

enum { MSI_MAX_RANGES = 8 };

/* A pin of an interrupt controller that someone uses. */
struct vdev_line {
	struct vdev_line *next;
	unsigned pin, num_sources;
	unsigned param; /* of the first, for `signal`: the pin, and what the controller adds */
	struct irq_line *line; /* from vdev_host_attach on */
};

struct vdev_region {
	struct vdev_region *next;
	struct qvm_state_block where;
	unsigned cookie;
};

struct vdev_instance {
	vdev_t vdev;		  /* what the API calls a vdev */
	struct guest_system *gsp; /* behind it: v_gsp of the 7.x API */
	struct vdev_instance *next;
	struct vdev_host *host;
	const struct vdev_type *type;
	const struct conf_vdev *conf;
	struct conf_pos blame; /* where qvmx_refuse points */
	bool refused;	       /* qvmx_refuse has spoken */
	bool muted;	       /* what it says follows from what was said */
	bool started;	       /* saw VDEV_CTRL_OPTIONS_START */
	int chip;	       /* enum qvmx_chip that it is; -1: none */
	bool modelled;	       /* the engine has the chip */
	bool broken;	       /* refused VDEV_CTRL_OPTIONS_START: only ended */
	bool button;	       /* guest_button_register */
	char label[96];	       /* "vdev ser8250 'tty'" */
	struct vdev_region *regions;
	guest_intr_t *intrs; /* all that the file gives it; v_intr is the first */
	unsigned num_intrs;
	struct vdev_line *lines; /* as an interrupt controller */
	unsigned num_pins;	 /* ... whose pins the guest's tables number; 0: not */
	int gsi_base;		 /* from the end of ASSIGN on: number of its first pin, -1: none */
	qvmx_eoi_func_t *eoi;
	const struct qvmx_extint_ops *extint; /* as an 8259 */
	struct loop *loop;		      /* NULL: has no thread */
	struct vio_state_internal *vio;
	bool in_tree;		/* it has made its node of the device tree */
	struct pci_device *pci; /* of qvmx_pci_function */
	_Atomic bool pci_master;
	struct log_limit log_limit;
};

struct vdev_acpi {
	struct vdev_instance *vdev;
	const char *hid;
	const struct qvmx_acpi_ports *more;
	unsigned num_more, uid;
};

/* A piece of a file in the guest's memory: struct qvmx_load. */
struct vdev_load {
	const char *path;
	unsigned line;
	uint64_t gpa, offset, len;
};

enum { VDEV_MAX_PICS = 8, VDEV_NUM_ISA_LINES = 16 };

/* The interrupt machine that the vdevs make up. */
struct vdev_machine {
	struct engine_machine engine;
	char why[192];				   /* why it is the one it is, for people */
	struct vdev_instance *pics[VDEV_MAX_PICS]; /* those with num_pins, in the file's order */
	unsigned num_pics;
	struct vdev_instance *extint[2]; /* the 8259s of lines 0-7 and 8-15 */
};

/* Where interrupt pins of PCI functions go. */
struct vdev_intx {
	unsigned num, gsis[PCI_NUM_LINES]; /* num 0: nowhere */
	guest_intr_t lines[PCI_NUM_LINES];
};

/* What the tables say of the first HPET. */
struct vdev_hpet {
	const struct vdev_instance *vdev; /* NULL: there is none */
	uint32_t id;
	uint16_t min_ticks;
};

struct vdev_host {
	struct conf *conf;
	struct plan *plan;
	struct memory *mem;
	struct pci_bus *pci;
	struct engine *engine; /* these three from vdev_host_attach on */
	struct bus *bus;
	struct irq *irq;
	struct vdev_instance *first, **last;
	struct vdev_machine machine; /* from vdev_host_configure on */
	struct vdev_intx intx;
	guest_intr_t *lines; /* of vdev_host_intr_plan */
	unsigned num_lines;
	struct vdev_acpi *acpi;
	unsigned num_acpi;
	struct devtree *tree; /* while vdevs describe themselves in it */
	struct vdev_load *loads;
	unsigned num_loads;
	struct vdev_hpet hpet; /* from the end of ASSIGN on */
	struct clock *clock;   /* NULL: nobody has a timer */
	struct gasp *gasp;
	struct vdev_instr *instrs;     /* in the order of registration */
	bool traps_applied;	       /* no more of them */
	struct guest_cpu *const *cpus; /* all vCPUs, from vdev_host_instructions on */
	unsigned num_cpus;
	struct guest_power_state_notify *notifies;
	bool loading; /* guest memory is being filled */
	struct vdev_msi_range msi_ranges[MSI_MAX_RANGES];
	unsigned num_msi_ranges;
	struct vdev_fatal *fatal; /* the control call that qvm_fatal leaves, or NULL */
	bool bad_configuration;	  /* qvm_fatal said so */
	struct strbuf *report;	  /* where qvm_report writes; NULL: nowhere */
	bool report_to_log;	  /* ... or to the log */
	bool stepped; /* no threads of the core's: vdev_host_step runs the loops. Set before
			 vdev_host_configure */
	uint64_t
		now_ns; /* stepped: guest time, and the time of day since an epoch of the owner's */
	/* Told of each change of a controller's input, for tools; NULL: nobody. */
	void (*line_watch)(void *ctx, const vdev_t *pic, unsigned pin, bool level);
	void *line_watch_ctx;
	/* Accesses to what is passed, for vdevs before it: 0 or a negative errno. Any thread; NULL:
	 * nothing is. */
	int (*pass_access)(void *ctx, enum engine_space space, uint64_t addr, bool write,
			   unsigned len, uint64_t *value);
	void *pass_ctx;
	_Atomic bool running;
	_Atomic int cause;			 /* of guest_terminate; -1: none */
	void (*terminate)(void *ctx, int cause); /* any thread; may be called several times */
	void (*core_file)(void *ctx); /* dump the guest soon; any thread; NULL: on the bench */
	void *terminate_ctx;	      /* of both */
	_Atomic unsigned num_cores;   /* dumps that vdevs asked for */
};

/* plan, mem and pci must be there; they and conf outlive the host. */
int vdev_host_create(struct conf *conf, struct plan *plan, struct memory *mem, struct pci_bus *pci,
		     struct vdev_host **ret_host) MUST_CHECK;
void vdev_host_free(struct vdev_host *host);

/* Options, ASSIGN, places and interrupts into the plan, PCI functions. Mistakes are recorded in
 * conf. -ENOMEM. */
int vdev_host_configure(struct vdev_host *host) MUST_CHECK;

/*
 * The line with that number in the guest's tables for something that is no vdev: `owner` has it
 * alone. False: there is no such line, or somebody has it. Between vdev_host_configure and _attach.
 */
bool vdev_host_line_claim(struct vdev_host *host, unsigned gsi, const char *owner,
			  guest_intr_t *ret_intr) MUST_CHECK;

/*
 * A line as the file names it, for something that is no vdev: *ret_line is its number here,
 * *ret_number the interrupt of the host that belongs to it (`hostvector`). -EINVAL: that cannot be,
 * which is recorded. Between vdev_host_configure and _attach.
 */
int vdev_host_intr_plan(struct vdev_host *host, const struct conf_intr *intr, const char *owner,
			unsigned *ret_line, uint32_t *ret_number) MUST_CHECK;
/* After vdev_host_attach; *ret_gsi: its number for the engine, -1: none. */
struct irq_line *vdev_host_intr_line(const struct vdev_host *host, unsigned line, int *ret_gsi);

/* An input of a controller changes, whoever drives it; on the bench. 0 or a negative errno. */
int vdev_host_input(struct vdev_instance *pic, unsigned pin, bool level);

/* The vector of the 8259s' interrupt, negative: there is none. On the boot vCPU's thread. */
int vdev_host_extint(struct vdev_host *host);

/* The guest has ended a level-triggered interrupt. Any vCPU's thread. */
void vdev_host_eoi(struct vdev_host *host, unsigned vector);

/* `reserve intr` keeps that line from those who pick one. */
bool vdev_host_gsi_reserved(const struct conf *conf, unsigned gsi);

/* Claim lines for the PCI functions that have interrupt pins, after everybody else. */
void vdev_host_intx_plan(struct vdev_host *host);
/* Their numbers for the guest: pin p (INTA: 0) of device d has ret_gsis[(d + p) % 4]. False: none.
 */
bool vdev_host_intx_gsis(const struct vdev_host *host, unsigned ret_gsis[PCI_NUM_LINES]);

/* Regions on the bus, interrupt lines, PCI. Errors of those; *ret_why says what failed. */
int vdev_host_attach(struct vdev_host *host, struct engine *engine, struct bus *bus,
		     struct irq *irq, const char **ret_why) MUST_CHECK;

/* VDEV_CTRL_GUEST_CONFIGURED to all; what they refuse is recorded. Then, once, VDEV_CTRL_GEN_ACPI
 * fills host->acpi; likewise. */
int vdev_host_configured(struct vdev_host *host) MUST_CHECK;
int vdev_host_gen_acpi(struct vdev_host *host) MUST_CHECK;
/* Or VDEV_CTRL_GEN_FDT, where the guest gets a device tree. What a vdev returned, negative, which
 * is recorded; errors of devtree_device. */
int vdev_host_gen_fdt(struct vdev_host *host, struct devtree *tree) MUST_CHECK;

/* Tell boot vdevs of a piece of a file that was loaded. Its path outlives the host. -ENOMEM. */
int vdev_host_load_add(struct vdev_host *host, const struct vdev_load *piece) MUST_CHECK;

/*
 * What vdevs have taken over of the processor goes to the engine; cpus: all vCPUs. Behind
 * vdev_host_configured; *ret_why says what failed. Then guest memory may be filled.
 */
int vdev_host_instructions(struct vdev_host *host, struct guest_cpu *const *cpus, unsigned num_cpus,
			   const char **ret_why) MUST_CHECK;

/* VDEV_CTRL_GUEST_STARTING with the boot vCPU; then the vdevs' threads and the
 * clock start. */
int vdev_host_starting(struct vdev_host *host, struct guest_cpu *boot) MUST_CHECK;

/*
 * Stepped, on the owner's thread. vdev_host_step runs what the vdevs' loops have to do until there
 * is nothing more, and returns how much that was; it stops at STEP_MAX_BATCHES a loop, since a file
 * may be ready for ever. vdev_host_deadline: the time of the next guest timer, false: none.
 * vdev_host_fire calls one timer that is due, false: none is.
 */
enum { STEP_MAX_BATCHES = 1000 };
unsigned vdev_host_step(struct vdev_host *host);
bool vdev_host_deadline(struct vdev_host *host, uint64_t *ret_ns);
bool vdev_host_fire(struct vdev_host *host);

/* On a vCPU's thread, between two instructions, if guest_cpu.due: the timers that were made for it.
 */
void vdev_host_cpu_work(struct vdev_host *host, struct guest_cpu *gcp);

/* VDEV_CTRL_BUTTON to those that asked for it. False: nobody did. Running, on the main thread. */
bool vdev_host_button(struct vdev_host *host);

/*
 * The status report: for each vdev one line with its place and interrupt at level info, then
 * VDEV_CTRL_STATUS; `set debug off` leaves a vdev out. Running, on the main thread.
 */
void vdev_host_status(struct vdev_host *host);
/* The same into out, for a dump; each line ends with a line feed. */
void vdev_host_report(struct vdev_host *host, struct strbuf *out);

/* Threads end, then VDEV_CTRL_TERMINATE in reverse order to all that saw OPTIONS_START. Also after
 * failed starts. */
void vdev_host_terminate(struct vdev_host *host);

/* The only one. */
struct vdev_host *vdev_host_current(void);

static inline struct vdev_instance *vdev_instance_of(const vdev_t *vdp)
{
	return container_of(vdp, struct vdev_instance, vdev);
}

/* Bus handler of every vdev: opaque is its instance. */
enum bus_result vdev_access(void *opaque, unsigned cookie, struct bus_access *acc);

/* What came of a call of vi's code, which is said if it failed on `what` `number`. */
enum bus_result vdev_status(struct vdev_instance *vi, vdev_ref_status_t status, const char *what,
			    uint64_t number);

/* The guest runs (or, what is as late for `call`, `late` says so): it is refused with a sentence.
 * vdp may be NULL. */
bool vdev_too_late(const vdev_t *vdp, const char *call, bool late);

/* guest_msi_signal, with what came of it: EOK or an errno. */
int vdev_msi_send(const vdev_t *src, uint64_t addr, unsigned data);

/* The bus's name for a state block's type. -EINVAL: no such space. */
int vdev_space(qvm_state_types_t type, enum engine_space *ret_space);

/* The vdev's message goes to the configuration's list of errors, at its place. */
void vdev_refuse(struct vdev_instance *vi, const char *fmt, va_list args);

/* Its control function, in the start-up stage: qvm_fatal in it returns -1 here, after its message
 * was recorded. */
int fatal_control(struct vdev_instance *vi, vdev_ctrl_options_t ctrl, const char *arg);
/* The same; what it returns becomes an error at blame unless the vdev has said more itself. */
int instance_control(struct vdev_instance *vi, vdev_ctrl_options_t ctrl, const char *arg,
		     const struct conf_pos *blame);

/* Parts of this folder. pic.c: lines. */
int pic_intrs(struct vdev_instance *vi); /* `intr` of the file */
/* The pin that intr names; its pic is a controller. */
unsigned pic_pin(const guest_intr_t *intr);
struct vdev_line *pic_line_of(const guest_intr_t *gip);
/* 0: *ret_intr is the line of that number; -ENOENT: there is none; errors of plan_intr_add. */
int pic_line_claim(struct vdev_host *host, unsigned gsi, enum plan_intr_use how, const char *owner,
		   const struct conf_pos *pos, guest_intr_t *ret_intr);
/* One more interrupt of vi, which becomes one more source of its line. */
int pic_intr_keep(struct vdev_instance *vi, guest_intr_t *intr);
/* Per architecture, after ASSIGN: fills in host->machine. */
int pic_machine_pick(struct vdev_host *host);
/* What a kind of interrupt machine is, for people; by enum engine_irqchip. */
extern const char *const pic_machine_texts[];
const char *pic_name(const struct vdev_instance *pic);
int pic_attach(struct vdev_instance *vi);	     /* its lines */
struct irq_line *pic_line(const guest_intr_t *intr); /* after pic_attach */
void vdev_host_intx_attach(struct vdev_host *host);
/* fdt.c: the node of a VirtIO device in memory; nothing for another one. EOK or an errno. */
int fdt_virtio_node(struct vdev_instance *vi, const char *name, int parent);
void vio_free(struct vio_state_internal *vio);
/* A VirtIO vdev at a place in memory: its registers become part of v_block, mistakes are recorded
 * (-ENOMEM); later its doorbells are the engine's. */
int vio_mmio_plan(struct vdev_instance *vi) MUST_CHECK;
void vio_mmio_attach(struct vdev_instance *vi);
bool vio_is_mmio(const struct vdev_instance *vi);
void vio_end(struct vio_state_internal *vio); /* asks for a reset; the vdev's thread must run */
bool vio_ending(struct vio_state_internal *vio);
/* Where the file puts a vdev that is a PCI function: PCI_DEVFN_NEXT or a place on bus 0; or it
 * is refused. */
int pci_place(const vdev_t *vdp, int *ret_devfn);
/* What came of adding the function, 0 or a negative errno: a positive one, with a sentence. */
int pci_answer(const vdev_t *vdp, int rc);
/* Where the file has the vdev with the PCI function of that name (pci_device_name); NULL: it is no
 * vdev's. */
const struct conf_pos *vdev_host_function_pos(const struct vdev_host *host, const char *name);
/* Wait up to timeout_ms (-1: for ever) and call back for what is ready; returns how many. */
unsigned loop_batch(struct loop *loop, int timeout_ms);
int loop_start(struct loop *loop);
void loop_stop(struct loop *loop); /* joins; callbacks do not run any more */
void loop_free(struct loop *loop);
bool clock_deadline(struct clock *clock, uint64_t *ret_ns); /* false: no timer is armed */
bool clock_fire_due(struct clock *clock);		    /* false: none is due */
int clock_start(struct clock *clock);
void clock_stop(struct clock *clock);
void clock_free(struct clock *clock);
/* A timer of the core's: func(data) on the clock's thread. Start-up stage. NULL: no memory. */
struct guest_timer *clock_timer_make(struct vdev_host *host, void (*func)(void *data), void *data);
void power_free(struct vdev_host *host);

#endif
