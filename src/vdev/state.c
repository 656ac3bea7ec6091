/* SPDX-License-Identifier: Apache-2.0 */
/* guest_cpu_read and guest_cpu_write: values between the vdev, the guest's memory and the state of
 * its vCPUs. */
#include "vdev/state.h"

#include <errno.h>
#include <string.h>

#include "vdev/host.h"
#include "vdev/instr.h"

_Static_assert(sizeof(struct qvmx_cpu_registers) == sizeof(struct engine_regs), "registers");

/* The vCPU on whose behalf this thread is in a vdev. */
static _Thread_local struct guest_cpu *own_cpu;

struct guest_cpu *state_own_set(struct guest_cpu *gcp)
{
	struct guest_cpu *before = own_cpu;

	own_cpu = gcp;
	return before;
}

/* Its state may be looked at: no one else runs it. */
static int state_access(const struct guest_cpu *gcp)
{
	if (!gcp)
		return EINVAL;
	return vdev_host_current()->running && gcp != own_cpu ? EPERM : EOK;
}

static int regs_copy(struct guest_cpu *gcp, uint64_t offset, uint8_t *data, size_t len,
		     bool to_regs)
{
	struct engine_regs regs;
	int err = state_access(gcp);

	if (err || !range_inside(offset, len, 0, sizeof(regs)))
		return err ? err : EINVAL;
	if (instr_regs_copy(gcp, offset, data, len, to_regs, &err))
		return err;
	/* The engine sets the program counter when the access is complete, which it is not yet. */
	if (to_regs && vdev_host_current()->running && instr_pc_inside(offset, len))
		return EPERM;
	int rc = gcp->engine->ops->vcpu_regs_get(gcp, &regs);

	if (rc)
		return -rc;
	if (!to_regs) {
		memcpy(data, (uint8_t *)&regs + offset, len);
		return EOK;
	}
	memcpy((uint8_t *)&regs + offset, data, len);
	return -gcp->engine->ops->vcpu_regs_set(gcp, &regs);
}

/* A part of one of the other sets of registers. */
static int more_regs_copy(struct guest_cpu *gcp, enum engine_state kind, uint64_t offset,
			  uint8_t *data, size_t len, bool to_regs)
{
	uint8_t state[ENGINE_STATE_MAX];
	size_t size;
	int err = state_access(gcp);

	if (err)
		return err;
	const struct engine_ops *ops = gcp->engine->ops;
	int rc = ops->vcpu_state_get ? ops->vcpu_state_get(gcp, kind, state, &size) : -ENOTSUP;

	if (rc)
		return -rc;
	if (!range_inside(offset, len, 0, size))
		return EINVAL;
	if (!to_regs) {
		memcpy(data, state + offset, len);
		return EOK;
	}
	memcpy(state + offset, data, len);
	return -ops->vcpu_state_set(gcp, kind, state);
}

static int register_copy(struct guest_cpu *gcp, uint64_t index, uint8_t *data, size_t len,
			 bool to_register)
{
	uint64_t value = 0;
	int err = state_access(gcp);

	if (err || index > UINT32_MAX || len != sizeof(value))
		return err ? err : EINVAL;
	if (instr_register_copy(gcp, (uint32_t)index, data, to_register))
		return EOK;
	const struct engine_ops *ops = gcp->engine->ops;
	int rc = -ENOTSUP;

	if (to_register)
		memcpy(&value, data, len);
	if (ops->vcpu_register_get)
		rc = to_register ? ops->vcpu_register_set(gcp, (uint32_t)index, value)
				 : ops->vcpu_register_get(gcp, (uint32_t)index, &value);
	if (!rc && !to_register)
		memcpy(data, &value, len);
	return rc == -ENOENT ? -1 : -rc;
}

/* By the vCPU's page tables, a page at a time. */
static int virtual_copy(struct guest_cpu *gcp, uint64_t gva, uint8_t *data, size_t len,
			bool to_guest)
{
	enum { PAGE = 4096 };
	int err = state_access(gcp);

	while (!err && len) {
		const struct engine_ops *ops = gcp->engine->ops;
		size_t n = MIN(len, PAGE - gva % PAGE);
		uint64_t gpa;
		int rc = ops->vcpu_translate ? ops->vcpu_translate(gcp, gva, &gpa) : -ENOTSUP;

		if (rc)
			return rc == -ENOENT ? -1 : -rc;
		void *p = memory_translate(vdev_host_current()->mem, gpa, n, to_guest);

		if (!p)
			return EFAULT;
		memcpy(to_guest ? p : (void *)data, to_guest ? (void *)data : p, n);
		gva += n;
		data += n;
		len -= n;
	}
	return err;
}

/* What has no address in this process. */
static int state_copy(struct guest_cpu *gcp, const struct qvm_state_block *b, uint8_t *data,
		      size_t n, bool to_block)
{
	switch (b->qst_type) {
	case QST_CPUREGS:
		return regs_copy(gcp, b->location, data, n, to_block);
	case QST_FPUREGS:
		return more_regs_copy(gcp, ENGINE_STATE_FPU, b->location, data, n, to_block);
	case QST_X86_SEGREGS:
		return more_regs_copy(gcp, ENGINE_STATE_SEGMENTS, b->location, data, n, to_block);
	case QST_X86_CTRLREGS:
		return more_regs_copy(gcp, ENGINE_STATE_CONTROL, b->location, data, n, to_block);
	case QST_X86_DBGREGS:
		return more_regs_copy(gcp, ENGINE_STATE_DEBUG, b->location, data, n, to_block);
	case QST_VIRTUAL:
		return virtual_copy(gcp, b->location, data, n, to_block);
	default:
		return b->qst_type == state_register_type
			       ? register_copy(gcp, b->location, data, n, to_block)
			       : ENOTSUP;
	}
}

static int block_copy(struct guest_cpu *gcp, const struct qvm_state_block *b, uint8_t *data,
		      size_t n, bool to_block)
{
	uint64_t immediate = b->location;
	void *p = NULL;

	switch (b->qst_type) {
	case QST_HOST:
		p = (void *)(uintptr_t)b->location;
		break;
	case QST_MEMORY:
		p = memory_translate(vdev_host_current()->mem, b->location, n, to_block);
		if (!p)
			return EFAULT;
		break;
	case QST_IMMEDIATE:
		if (to_block || n > sizeof(immediate))
			return EINVAL;
		p = &immediate;
		break;
	default:
		return state_copy(gcp, b, data, n, to_block);
	}
	memcpy(to_block ? p : (void *)data, to_block ? (void *)data : p, n);
	return EOK;
}

/* Copy between the blocks, taken as one string of bytes, and data. */
static int blocks_copy(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		       const struct qvm_state_block *blk, unsigned nblks, uint8_t *data, size_t len,
		       bool to_blocks)
{
	if (flags & (GXF_PAUSE | GXF_UNPAUSE))
		return EINVAL;
	for (unsigned i = 0; i < nblks && len; i++) {
		size_t n = MIN(len, blk[i].length);
		int err = n ? block_copy(gcp, &blk[i], data, n, to_blocks) : EOK;

		if (err)
			return err;
		data += n;
		len -= n;
	}
	return len ? ERANGE : EOK;
}

int guest_cpu_read(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		   const struct qvm_state_block *blk, unsigned nblks, void *data, size_t data_len)
{
	return blocks_copy(gcp, flags, blk, nblks, data, data_len, false);
}

int guest_cpu_write(struct guest_cpu *gcp, guest_cpu_access_flags_t flags,
		    const struct qvm_state_block *blk, unsigned nblks, const void *data,
		    size_t data_len)
{
	return blocks_copy(gcp, flags, blk, nblks, (uint8_t *)(uintptr_t)data, data_len, true);
}

int guest_write_all_ones(struct guest_cpu *gcp, const struct qvm_state_block *blk)
{
	const uint64_t ones = UINT64_MAX;

	struct qvm_state_block part = *blk;
	int rc = EOK;

	while (rc == EOK && part.length) {
		size_t n = MIN(part.length, sizeof(ones));

		rc = guest_cpu_write(gcp, GXF_NONE, &part, 1, &ones, n);
		part.location += n;
		part.length -= n;
	}
	return rc;
}
