/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vdev asks of the guest it serves: moving values between itself and the guest, interrupts,
 * message signalled interrupts, timers in guest time, the end of the VM. All functions may be
 * called on any thread; the stage in which each may be called is given with it. Follows the
 * documented QNX Hypervisor 8.0 vdev API.
 */
#ifndef QVM_GUEST_H
#define QVM_GUEST_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a vCPU's state is reached. Other than GXF_NONE these are for debuggers: GXF_PAUSE and
 * GXF_UNPAUSE are refused, the rest changes nothing. */
enum guest_xfer_flags {
	GXF_NONE = 0x00000000,
	GXF_PAUSE = 0x00000001,
	GXF_UNPAUSE = 0x00000002,
	GXF_ASYNC = 0x00000004,
	GXF_GDB = 0x00000008,
	GXF_FLUSH = 0x00000010
};
typedef uint32_t guest_cpu_access_flags_t;

/*
 * Read (write) data_len bytes from (to) nblks state blocks one after the other. Running stage, and
 * in VDEV_CTRL_GUEST_STARTING with the vCPU that is its argument. What a block's type reaches:
 *
 *     QST_HOST       the operand of vread and vwrite; memory of this process
 *     QST_MEMORY     guest RAM, for reading ROM too; gcp may be NULL
 *     QST_IMMEDIATE  the location itself, up to 8 bytes; reading only
 *     QST_VIRTUAL    guest RAM by gcp's page tables as they are now
 *     QST_CPUREGS, _FPUREGS, _X86_SEGREGS, _X86_CTRLREGS, _X86_DBGREGS
 *                    gcp's registers: offset in the structs of x/cpu.h
 *     QST_X86_MSR    gcp's model specific register of that number, 8 bytes; in an instruction
 *                    callback for it: the value that is read or written
 *     QST_ARM_SR     gcp's system register of that number (QVMX_ARM_SR), 8 bytes
 *
 * gcp's state is there on its own thread (in vread, vwrite, an instruction callback, a timer that
 * was made for it), and as long as the guest has not started. The program counter (rip, pc) cannot
 * be written then: the access is not complete yet.
 *
 * Returns EOK; -1 when the guest must get an exception (see guest_cpu_to_vrs): QST_VIRTUAL without
 * a translation, an MSR or system register that the vCPU does not have; EFAULT: outside guest RAM;
 * ERANGE: data_len is more than the blocks hold; EPERM: another vCPU's state, or the program
 * counter as above; EINVAL: outside of the registers, or flags; ENOTSUP: a type that is none of
 * these, or that this architecture does not have.
 */
int guest_cpu_read(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		   const struct qvm_state_block *blk, unsigned nblks, void *data, size_t data_len);
int guest_cpu_write(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		    const struct qvm_state_block *blk, unsigned nblks, const void *data,
		    size_t data_len);

static inline vdev_ref_status_t guest_cpu_to_vrs(int errcode)
{
	if (errcode == EOK)
		return VRS_NORMAL;
	return errcode == -1 ? VRS_BUS_ERROR : (vdev_ref_status_t)((int)VRS_ERRNO + errcode);
}

/* Write all ones to blk: what a read of nothing gives. As guest_cpu_write. */
int guest_write_all_ones(struct guest_cpu *gcp, const struct qvm_state_block *blk);

/*
 * Set one source of an interrupt line. The line is the OR of its sources. An edge is GIS_ON, then
 * GIS_OFF. Running stage; without a system call where the line does not change. Returns EOK, or
 * EINVAL if gip has no controller.
 */
errno_t guest_intr_signal(guest_intr_t *gip, guest_intr_state_t gis);

/*
 * From an interrupt controller: the guest has unmasked (GIN_UNMASK) or acknowledged, that is ended
 * (GIN_ACK), the line `param` of vdp. Whoever drives that line is told: a controller on it by its
 * `notify`. Running stage, without the vdev's lock held if such a controller may signal from there.
 */
#if QVM_VDEV_API < 80
void guest_intr_notify(const vdev_t *vdp, unsigned param, guest_intr_notifications_t gin);
#else
void guest_pic_notify(const vdev_t *vdp, unsigned param, guest_intr_notifications_t gin);
#endif

/*
 * Make vdp one more source of the line that gip names (pic and param, as qvm_parse_intr gives
 * them), which nobody else may have; with pic NULL: of the highest free line of the first
 * controller. Sets gip's src_id, and vdp's v_intr if that had none. In VDEV_CTRL_OPTIONS_END and
 * _ASSIGN. Returns EOK; ENOENT: there is no such line, or none free; EEXIST after it was reported:
 * the line has an owner; ENOMEM; EINVAL: too late. (Arguments ours.)
 */
int guest_intr_assign(vdev_t *vdp, guest_intr_t *gip);

/*
 * Note in gip that its line is level triggered (level 1: GIPF_LEVEL in param) or edge triggered
 * (0), for the controller's table_spec. A guest for x86-64 sets the trigger mode of a pin itself,
 * by what ACPI says of the device. In the stages of guest_intr_assign. Returns EOK or EINVAL: no
 * controller, or too late. (Arguments ours.)
 */
int guest_intr_level(guest_intr_t *gip, int level);

/* The number of pins of the controller that gip names, 0 if none. Start-up stage. */
unsigned guest_intr_num_pins(const guest_intr_t *gip);

/* Interrupt as text ("NAME:LINE"), snprintf-like; allocates nothing. Any stage. */
size_t guest_intr_string(const guest_intr_t *gip, char *buf, size_t len);

/* Send a message signalled interrupt. Running stage. 7.x: returns EOK, or an errno. */
#if QVM_VDEV_API < 80
int guest_msi_signal(const vdev_t *src, uint64_t addr, unsigned data) QVM_API_71(guest_msi_signal);
#else
void guest_msi_signal(vdev_t *src, uint64_t addr, unsigned data);
#endif

/*
 * From an interrupt controller: messages by guest_msi_signal to an address of which the bits of
 * mask are those of paddr go to deliver, on the sender's thread. The first that was registered
 * counts. Messages of PCI functions do not come here: the engine delivers them. Start-up stage; one
 * too many (MSI_MAX_RANGES) ends the start.
 */
typedef void guest_msi_deliver_func_t(vdev_t *pic, const vdev_t *src, uint64_t paddr, unsigned data,
				      unsigned cookie);
void guest_msi_register(vdev_t *pic, uint64_t paddr, uint64_t mask,
			guest_msi_deliver_func_t *deliver, unsigned cookie);

/* Instructions that a vdev can take over. The names in full are ours, and the values. */
typedef enum guest_instr_type {
	GIT_X86_RDMSR = 0x01, /* qualifier: the register's number */
	GIT_X86_WRMSR = 0x02, /* likewise */
	GIT_X86_CPUID = 0x03, /* qualifier: the leaf (eax) */
	GIT_ARM_SMC = 0x41,   /* qualifier: the function (w0) */
	GIT_ARM_HVC = 0x42,   /* likewise */
	GIT_FLAG_NO_QUALIFIER = 0x8000
} guest_instr_type_t;

typedef vdev_ref_status_t guest_instr_callback_func_t(vdev_t *vdp, struct guest_cpu *gcp,
						      guest_instr_type_t git, unsigned qualifier);

/*
 * Have func called when a vCPU executes such an instruction, on the vCPU's thread; the callbacks of
 * one instruction in the order of registration, until one returns other than VRS_CONTINUE.
 * Start-up stage, up to VDEV_CTRL_GUEST_CONFIGURED.
 *
 * GIT_X86_RDMSR: the callback writes the value, by a block of QST_X86_MSR with the register's
 * number, or to rax and rdx by QST_CPUREGS; without that the guest reads 0. GIT_X86_WRMSR: it reads
 * the value in the same ways. VRS_CONTINUE of all: the engine does what it would without the vdev.
 * With GIT_FLAG_NO_QUALIFIER: all registers that the engine does not know, and those that another
 * vdev has asked for. VRS_BUS_ERROR: a general protection fault.
 *
 * GIT_X86_CPUID: KVM answers CPUID by itself from a table, so the callback runs once for each vCPU,
 * behind VDEV_CTRL_GUEST_CONFIGURED of all vdevs: rax and rcx are the leaf and 0, and rax, rbx, rcx
 * and rdx as the callback leaves them become the answer, for all subleaves. VRS_CONTINUE of all:
 * the table stays as it is. There is no GIT_FLAG_NO_QUALIFIER.
 *
 * GIT_ARM_SMC and GIT_ARM_HVC, with immediate 0: calls of a function; the callback finds its
 * arguments in the registers (QST_CPUREGS) and leaves its results there. VRS_CONTINUE of all, and
 * VRS_BUS_ERROR: x0 becomes -1, "no such function". With GIT_FLAG_NO_QUALIFIER: all functions of
 * which KVM knows none of the same owner, and those that another vdev has asked for. The host needs
 * Linux 6.4 or later.
 *
 * Returns EOK; EINVAL: too late, or not such a type; ENOTSUP after the reason was reported: what
 * this machine or KVM cannot give (the x2APIC's registers, 0x800 to 0x8ff; calls of the
 * architecture and of PSCI; another architecture's instructions); ENOMEM.
 */
int guest_instr_register(vdev_t *vdp, guest_instr_type_t git, unsigned qualifier,
			 guest_instr_callback_func_t *func);

/* Times of a timer: host fields in ns of CLOCK_MONOTONIC, guest fields in ns of guest time. */
struct guest_timer_data {
	uint64_t host_notify_start, host_current;
	uint64_t guest_notify_start, guest_current;
};

/*
 * Make a timer. data is handed to the factory's `timer`, which runs on the VM's clock thread with
 * no vCPU; with gcp: on that vCPU's thread with that vCPU, between two of its instructions.
 * *resolutionp gets its frequency in Hz (1 000 000 000). Start-up stage. NULL on failure, errno in
 * *resolutionp: EINVAL after it was reported: too late, or the factory has no `timer`; ENOMEM.
 */
struct guest_timer *guest_timer_create(const struct guest_cpu *gcp, const vdev_t *vdp,
				       const void *data, uint64_t *resolutionp);

/*
 * Call the factory's `timer` once, incr units of the timer's resolution from now (tdp NULL) or from
 * the last firing (tdp: the data of that firing). incr 0 disarms, as does a time beyond 2^64 ns.
 * Running stage. Returns EOK.
 */
int guest_timer_notify(struct guest_timer *vtp, const struct guest_timer_data *tdp, uint64_t incr);

/* The current times. Running stage. */
void guest_timer_state(const struct guest_timer *vtp, struct guest_timer_data *tdp);

/*
 * 8.0: from now on (no longer) the time that vdp's code takes on a vCPU's thread counts as that
 * vCPU's own in what the guest is told of stolen time. On Linux it always does: KVM tells the guest
 * of the time in which the thread was ready and did not run, whatever it was about to do, so that
 * these two have nothing to switch. 7.x names the VM. Running stage, in a callback.
 */
#if QVM_VDEV_API < 80
void guest_clock_start(struct guest_system *gsp);
void guest_clock_stop(struct guest_system *gsp);
#else
void guest_clock_start(void);
void guest_clock_stop(void);
#endif

/* vCPUs that wait for an interrupt (halted, or not started yet), that are off (values ours). */
typedef enum guest_power_state_cmd {
	GPSC_WAIT = 0x1,
	GPSC_OFF = 0x2,
	GPSC_FROM = 0x100, /* notify when the state was mask/bits and is no longer */
	GPSC_TO = 0x200	   /* notify when it becomes mask/bits */
} guest_power_state_cmd_t;

struct guest_power_state_notify;
typedef void guest_power_state_callback_func_t(void *data, uint64_t current, unsigned base);

/*
 * The vCPUs in that state (GPSC_WAIT, GPSC_OFF or both), a bit each, from vCPU 64 * base on. base
 * is 0. Returns the number of results filled in, 1; or -EINVAL. Running stage, any thread.
 */
#if QVM_VDEV_API < 80
int guest_power_state_current(struct guest_system *gsp, guest_power_state_cmd_t cmd, unsigned base,
			      unsigned nresult, uint64_t *result)
	QVM_API_71(guest_power_state_current);
struct guest_power_state_notify *guest_power_state_notify_create(struct guest_system *gsp)
	QVM_API_71(guest_power_state_notify_create);
#else
int guest_power_state_current(guest_power_state_cmd_t cmd, unsigned base, unsigned nresult,
			      uint64_t *result);

/*
 * A notification: when the vCPUs in the state cmd (GPSC_WAIT, GPSC_OFF or both), taken with mask,
 * become (GPSC_TO) or no longer are (GPSC_FROM) bits, func is called on the VM's clock thread with
 * the set as it is then. KVM does not report that a vCPU halts: the states are looked at every 10
 * ms while a notification is registered, and what comes and goes in between is not seen. _create:
 * NULL without memory. _register with func NULL ends it; it may be registered anew. _delete waits
 * for a callback that runs on another thread. _create in the start-up stage, the others in both.
 */
struct guest_power_state_notify *guest_power_state_notify_create(void);
#endif
void guest_power_state_notify_register(struct guest_power_state_notify *qpnp,
				       guest_power_state_cmd_t cmd, unsigned base, uint64_t mask,
				       uint64_t bits, guest_power_state_callback_func_t *func,
				       void *data);
void guest_power_state_notify_delete(struct guest_power_state_notify *qpnp);

/*
 * This vdev tells its guest of the power button: it gets VDEV_CTRL_BUTTON at the first SIGTERM or
 * SIGINT, and the VM does not end then as one whose guest cannot be told would. Start-up stage.
 * Returns EOK, or EINVAL: too late. (Arguments ours.)
 */
int guest_button_register(vdev_t *vdp);

/* Why a VM ends: becomes qvm's exit status. 1 to 31 are the system's, 32 to 63 a vdev's own. */
typedef enum guest_termination_cause {
	GTC_NORMAL_EXIT = 0,
	GTC_POWER_CUT = 3,
	GTC_WATCHDOG = 4,
	GTC_UNSUPPORTED = 5,
	GTC_VDEV_ERROR = 6,
	GTC_UNEXPECTED_ERROR = 7,
	GTC_CUSTOM_MIN = 32,
	GTC_CUSTOM_MAX = 63
} guest_termination_cause_t;

/*
 * Dump the guest to where the configuration's `dump` says. Returns at once: the dump is made on
 * another thread while the guest's vCPUs stand still, and a guest_terminate that comes meanwhile
 * waits for it. Running stage, any thread. Returns EOK, or ENOENT: the configuration has no `dump`.
 * (What it returns is ours.)
 */
int guest_write_core_file(void);

/* End the VM. Returns at once; the guest's vCPUs stop soon after. Any stage. */
void guest_terminate(guest_termination_cause_t cause);

#ifdef __cplusplus
}
#endif

#endif
