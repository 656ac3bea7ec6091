/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's address space: regions that come, change and go, also while the guest runs; walks
 * over its memory; mappings of guest RAM into the vdev. Follows the documented QNX Hypervisor 8.0
 * vdev API; what its documents do not give is ours and marked.
 *
 * A region is trapped (GRF_VIRT_*: accesses reach a vdev's vread and vwrite), passed (GRF_PASS_*:
 * the guest has host memory there, without an exit), or both: GRF_PASS_RD | GRF_VIRT_WR is memory
 * that the guest reads by itself and whose writes the vdev sees. Regions never overlap each other,
 * RAM, ROM or what the machine has at fixed places. Passed memory is the guest's alone: VirtIO
 * queues and gasp_map_vdma reach RAM only.
 *
 * Any thread. A pointer from gasp_map_* outlives a callback until it is unmapped.
 */
#ifndef QVM_GASP_H
#define QVM_GASP_H

#include <qvm/vdev-core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Access that a mapping is for (values of PROT_READ and PROT_WRITE). */
#define GMF_READ    0x1u
#define GMF_WRITE   0x2u
#define GMF_MAP_ANY 0x100u /* ROM may be written too (value ours) */

/* Mappings of a guest address, as values (contents private). */
typedef struct {
	uint64_t reserved[3];
} gasp_map_handle_t;

/* What a walk tells. GWS_HOST is its name in some documents. */
#define GWF_NONE 0x0u
#define GWF_HOST 0x1u /* the host address too (value ours) */
#define GWS_HOST GWF_HOST
typedef uint32_t gasp_walk_flags_t;

#if QVM_VDEV_API < 80
struct gasp_walk_state {
	void *span; /* private */
	uint64_t guest_loc, host_loc, length, max_length;
	gasp_walk_flags_t flags;
};
#define GASP_WALK struct gasp_walk_state
#else
/* A walk over the guest's memory; see gasp_walk_init. */
typedef struct gasp_walk_state {
	void *gw_span;		/* private */
	uint64_t gw_guest_loc;	/* this piece: guest-physical address */
	uint64_t gw_host_loc;	/* with GWF_HOST: host-virtual address in this process */
	uint64_t gw_length;	/* bytes */
	uint64_t gw_max_length; /* bytes that remain to be walked, behind this piece */
	gasp_walk_flags_t gwf_flags;
} gasp_walk_state_t;
#define GASP_WALK gasp_walk_state_t
#endif

/* Which memory gram_find_free takes (values ours). */
#define GRAM_HINT_NONE 0x0u /* the lowest that is free */
#define GRAM_HINT_HIGH 0x1u /* the highest */
#define GRAM_HINT_ROM  0x2u /* of ROM, not of RAM */
typedef uint32_t gram_hint_flags_t;

#if QVM_VDEV_API < 80
/* 7.x: the VM comes first; NULL is this process's. */
int gasp_lock(struct guest_system *gsp, uint16_t type) QVM_API_71(gasp_lock);
int gasp_unlock(struct guest_system *gsp, uint16_t type) QVM_API_71(gasp_unlock);
unsigned gasp_region_set(struct guest_system *gsp, unsigned num_regions,
			 const struct gasp_region *rgn) QVM_API_71(gasp_region_set);
unsigned gasp_region_set_soft(struct guest_system *gsp, unsigned num_regions,
			      const struct gasp_region *rgn) QVM_API_71(gasp_region_set_soft);
int gasp_region_info(const struct guest_system *gsp, const struct qvm_state_block *blk,
		     struct gasp_region *rgn) QVM_API_71(gasp_region_info);
uint64_t gasp_find_free(const struct guest_system *gsp, unsigned qst, uint64_t size, uint64_t align)
	QVM_API_71(gasp_find_free);
uint64_t gasp_find_free_range(const struct guest_system *gsp, unsigned qst, uint64_t size,
			      uint64_t align, uint64_t min_addr, uint64_t max_addr)
	QVM_API_71(gasp_find_free_range);
uint64_t gram_find_free(struct guest_system *gsp, uint64_t size, uint64_t align,
			gram_hint_flags_t flags) QVM_API_71(gram_find_free);
uint64_t gram_find_free_range(struct guest_system *gsp, uint64_t size, uint64_t align,
			      uint64_t min_addr, uint64_t max_addr, gram_hint_flags_t flags)
	QVM_API_71(gram_find_free_range);
int gram_reserve(struct guest_system *gsp, uint64_t start, uint64_t size) QVM_API_71(gram_reserve);
int gasp_walk_init(struct guest_system *gsp, GASP_WALK *walk, uint64_t guest_loc, uint64_t length,
		   gasp_walk_flags_t flags) QVM_API_71(gasp_walk_init);
void *gasp_map_vdma(const vdev_t *vdev, int prot, uint64_t guest_paddr, size_t length)
	QVM_API_71(gasp_map_vdma);
void *gasp_map_sys(struct guest_system *gsp, int prot, uint64_t guest_paddr, size_t length)
	QVM_API_71(gasp_map_sys);
void *gasp_map_contig(const vdev_t *vdev, int prot, uint64_t *ppaddr, size_t *plength)
	QVM_API_71(gasp_map_contig);
#else

/*
 * Keep others from changing regions of that type (QST_MEMORY or QST_X86_IO) until gasp_unlock: the
 * lock that gasp_region_set_soft and, in the running stage, gasp_find_free need. The same thread
 * may take it again. Hold no lock of the vdev that its vread or vwrite takes. Any stage. Returns
 * EOK, EINVAL: another type; gasp_unlock EPERM: not this thread's.
 */
int gasp_lock(uint16_t type);
int gasp_unlock(uint16_t type);

/*
 * Start-up stage, from VDEV_CTRL_OPTIONS_END on: as gasp_region_set_soft, with the lock taken here.
 * What is set before VDEV_CTRL_GUEST_CONFIGURED is a part of the plan: an overlap is then an error
 * of the configuration that names both owners, after this has returned.
 */
unsigned gasp_region_set(unsigned num_regions, const struct gasp_region *rgn);

/*
 * Add a region, change the one at exactly this place, or delete it (GRF_NONE), in the order given.
 * Running stage and VDEV_CTRL_GUEST_CONFIGURED, under gasp_lock. When a passed region is gone or
 * changed, no vCPU uses the old memory any more; a change takes the region away for a moment, in
 * which an access of the guest exits and goes to nothing.
 *
 * vdev must be given with GRF_VIRT_*, and is whose region it is in messages. host_location with
 * GRF_PASS_*, and all three places and lengths then multiples of 4 KiB; the host memory must last
 * as long as the region. With GRF_PASS_WR or GRF_PASS_EX there must be GRF_PASS_RD: KVM knows
 * memory, and memory that is read only. The flags that are not named here are ignored.
 *
 * Returns the number of regions set. If that is less than num_regions, errno says why the next one
 * was not: EEXIST: it overlaps something; EINVAL: flags or places as above, or not a vdev's;
 * ENOENT: nothing is there to delete; EPERM: the lock is not held; ENOSPC: REGIONS_MAX; ENOTSUP:
 * passed I/O ports; ENOMEM, or what KVM says.
 */
unsigned gasp_region_set_soft(unsigned num_regions, const struct gasp_region *rgn);

/*
 * What is at blk's place: the region that holds all of blk, clipped to nothing: its own start and
 * length. RAM and ROM have GRF_MEMORY, GRF_PASS_* and the host-virtual address. Any stage from
 * VDEV_CTRL_GUEST_CONFIGURED on. Returns EOK, ENOENT: nothing, or not all of it; EINVAL.
 */
int gasp_region_info(const struct qvm_state_block *blk, struct gasp_region *rgn);

/*
 * The lowest place for size bytes at a multiple of align (0 or a power of two) of that type, in
 * [min_addr, max_addr], that is neither taken nor reserved by the file; nothing is reserved by it.
 * gasp_find_free looks from 1 MiB on (ports: from 0x1000). From VDEV_CTRL_ASSIGN on; in the running
 * stage under gasp_lock. QSL_NO_LOCATION: there is none.
 */
uint64_t gasp_find_free(unsigned qst, uint64_t size, uint64_t align);
uint64_t gasp_find_free_range(unsigned qst, uint64_t size, uint64_t align, uint64_t min_addr,
			      uint64_t max_addr);

/*
 * A piece of the guest's RAM (ROM) that nothing is loaded to and the guest is not told of as
 * usable: found and reserved by gram_find_free, or reserved where it is wanted by gram_reserve.
 * Start-up stage, in VDEV_CTRL_OPTIONS_END to VDEV_CTRL_GUEST_CONFIGURED. QSL_NO_LOCATION: there is
 * none. gram_reserve returns EOK, EINVAL: not wholly in one piece of RAM or ROM, EEXIST: (partly)
 * reserved already, ENOSPC, ENOMEM.
 */
uint64_t gram_find_free(uint64_t size, uint64_t align, gram_hint_flags_t flags);
uint64_t gram_find_free_range(uint64_t size, uint64_t align, uint64_t min_addr, uint64_t max_addr,
			      gram_hint_flags_t flags);
int gram_reserve(uint64_t start, uint64_t size);

/*
 * Begin a walk over the pieces of RAM and ROM in [guest_loc, guest_loc + length). The first
 * gasp_walk_next gives the first piece; places without memory are left out. Returns EOK, or EINVAL:
 * the range wraps. (Arguments ours.)
 */
int gasp_walk_init(GASP_WALK *walk, uint64_t guest_loc, uint64_t length, gasp_walk_flags_t flags);

/*
 * Host address of [gpa, gpa + len) for access on behalf of vdp, or NULL with errno EFAULT if that
 * is not wholly guest RAM or, for reading, ROM. flags: GMF_*. gasp_map_sys is for access that is no
 * vdev's. Running stage, VDEV_CTRL_GUEST_CONFIGURED and _STARTING.
 */
void *gasp_map_vdma(vdev_t *vdp, uint64_t gpa, size_t len, unsigned flags);
void *gasp_map_sys(uint64_t gpa, size_t len, unsigned flags);

/*
 * As gasp_map_vdma, of at most *plength bytes that lie in a row in host-physical memory: *plength
 * becomes their number, *ppaddr their host-physical address now. Linux may move pages later: the
 * address is for looking, not for a device's registers. NULL with errno EPERM: no right to
 * /proc/self/pagemap (CAP_SYS_ADMIN).
 */
void *gasp_map_contig(vdev_t *vdp, uint64_t *ppaddr, size_t *plength, unsigned flags);
#endif

/* The next piece of a walk. Returns EOK, or ENOENT: there are no more. (Return ours.) */
int gasp_walk_next(GASP_WALK *walk);
/* How many pieces gasp_walk_next would still give. */
unsigned gasp_walk_count(const GASP_WALK *walk);

/* Undo gasp_map_*. flush: what was written must be seen by the guest, which it always is. Returns
 * EOK. */
int gasp_unmap(void *va, size_t len, int flush);

/* The address of a mapping made by qvmx_map (x/region.h); give the mapping up. Returns EOK. */
void *gasp_get_vaddr(const gasp_map_handle_t *handle);
int gasp_unmap_handle(gasp_map_handle_t *handle, int flush);

#undef GASP_WALK

#ifdef __cplusplus
}
#endif

#endif
