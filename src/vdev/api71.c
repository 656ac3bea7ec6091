/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vdev of the 7.x API calls by names that 8.0 gives other arguments: the headers give these
 * functions the documented names under `#define QVM_VDEV_API 71`. The VM that 7.x passes is the one
 * of this process.
 */
#include "vdev/api.h"

#include "vdev/host.h"

#pragma GCC visibility push(default)

int gasp_lock_71(struct guest_system *gsp, uint16_t type);
int gasp_unlock_71(struct guest_system *gsp, uint16_t type);
unsigned gasp_region_set_71(struct guest_system *gsp, unsigned num, const struct gasp_region *rgn);
unsigned gasp_region_set_soft_71(struct guest_system *gsp, unsigned num,
				 const struct gasp_region *rgn);
int gasp_region_info_71(const struct guest_system *gsp, const struct qvm_state_block *blk,
			struct gasp_region *rgn);
uint64_t gasp_find_free_71(const struct guest_system *gsp, unsigned qst, uint64_t size,
			   uint64_t align);
uint64_t gasp_find_free_range_71(const struct guest_system *gsp, unsigned qst, uint64_t size,
				 uint64_t align, uint64_t min_addr, uint64_t max_addr);
uint64_t gram_find_free_71(struct guest_system *gsp, uint64_t size, uint64_t align,
			   gram_hint_flags_t flags);
uint64_t gram_find_free_range_71(struct guest_system *gsp, uint64_t size, uint64_t align,
				 uint64_t min_addr, uint64_t max_addr, gram_hint_flags_t flags);
int gram_reserve_71(struct guest_system *gsp, uint64_t start, uint64_t size);
int gasp_walk_init_71(struct guest_system *gsp, gasp_walk_state_t *walk, uint64_t guest_loc,
		      uint64_t length, gasp_walk_flags_t flags);
void *gasp_map_vdma_71(const vdev_t *vdev, int prot, uint64_t guest_paddr, size_t length);
void *gasp_map_sys_71(struct guest_system *gsp, int prot, uint64_t guest_paddr, size_t length);
void *gasp_map_contig_71(const vdev_t *vdev, int prot, uint64_t *ppaddr, size_t *plength);
char *qvm_parse_intr_71(const struct guest_system *gsp, const char *str, struct guest_intr *ip);
int guest_msi_signal_71(const vdev_t *src, uint64_t addr, unsigned data);
void guest_intr_notify(const vdev_t *vdp, unsigned param, guest_intr_notifications_t gin);
int guest_power_state_current_71(struct guest_system *gsp, guest_power_state_cmd_t cmd,
				 unsigned base, unsigned nresult, uint64_t *result);
struct guest_power_state_notify *guest_power_state_notify_create_71(struct guest_system *gsp);

#pragma GCC visibility pop

int gasp_lock_71(struct guest_system *gsp, uint16_t type)
{
	(void)gsp;
	return gasp_lock(type);
}

int gasp_unlock_71(struct guest_system *gsp, uint16_t type)
{
	(void)gsp;
	return gasp_unlock(type);
}

unsigned gasp_region_set_71(struct guest_system *gsp, unsigned num, const struct gasp_region *rgn)
{
	(void)gsp;
	return gasp_region_set(num, rgn);
}

unsigned gasp_region_set_soft_71(struct guest_system *gsp, unsigned num,
				 const struct gasp_region *rgn)
{
	(void)gsp;
	return gasp_region_set_soft(num, rgn);
}

int gasp_region_info_71(const struct guest_system *gsp, const struct qvm_state_block *blk,
			struct gasp_region *rgn)
{
	(void)gsp;
	return gasp_region_info(blk, rgn);
}

uint64_t gasp_find_free_71(const struct guest_system *gsp, unsigned qst, uint64_t size,
			   uint64_t align)
{
	(void)gsp;
	return gasp_find_free(qst, size, align);
}

uint64_t gasp_find_free_range_71(const struct guest_system *gsp, unsigned qst, uint64_t size,
				 uint64_t align, uint64_t min_addr, uint64_t max_addr)
{
	(void)gsp;
	return gasp_find_free_range(qst, size, align, min_addr, max_addr);
}

uint64_t gram_find_free_71(struct guest_system *gsp, uint64_t size, uint64_t align,
			   gram_hint_flags_t flags)
{
	(void)gsp;
	return gram_find_free(size, align, flags);
}

uint64_t gram_find_free_range_71(struct guest_system *gsp, uint64_t size, uint64_t align,
				 uint64_t min_addr, uint64_t max_addr, gram_hint_flags_t flags)
{
	(void)gsp;
	return gram_find_free_range(size, align, min_addr, max_addr, flags);
}

int gram_reserve_71(struct guest_system *gsp, uint64_t start, uint64_t size)
{
	(void)gsp;
	return gram_reserve(start, size);
}

int gasp_walk_init_71(struct guest_system *gsp, gasp_walk_state_t *walk, uint64_t guest_loc,
		      uint64_t length, gasp_walk_flags_t flags)
{
	(void)gsp;
	return gasp_walk_init(walk, guest_loc, length, flags);
}

void *gasp_map_vdma_71(const vdev_t *vdev, int prot, uint64_t guest_paddr, size_t length)
{
	return gasp_map_vdma((vdev_t *)(uintptr_t)vdev, guest_paddr, length, (unsigned)prot);
}

void *gasp_map_sys_71(struct guest_system *gsp, int prot, uint64_t guest_paddr, size_t length)
{
	(void)gsp;
	return gasp_map_sys(guest_paddr, length, (unsigned)prot);
}

void *gasp_map_contig_71(const vdev_t *vdev, int prot, uint64_t *ppaddr, size_t *plength)
{
	return gasp_map_contig((vdev_t *)(uintptr_t)vdev, ppaddr, plength, (unsigned)prot);
}

char *qvm_parse_intr_71(const struct guest_system *gsp, const char *str, struct guest_intr *ip)
{
	(void)gsp;
	return qvm_parse_intr(str, ip);
}

int guest_msi_signal_71(const vdev_t *src, uint64_t addr, unsigned data)
{
	return vdev_msi_send(src, addr, data);
}

void guest_intr_notify(const vdev_t *vdp, unsigned param, guest_intr_notifications_t gin)
{
	guest_pic_notify(vdp, param, gin);
}

int guest_power_state_current_71(struct guest_system *gsp, guest_power_state_cmd_t cmd,
				 unsigned base, unsigned nresult, uint64_t *result)
{
	(void)gsp;
	return guest_power_state_current(cmd, base, nresult, result);
}

struct guest_power_state_notify *guest_power_state_notify_create_71(struct guest_system *gsp)
{
	(void)gsp;
	return guest_power_state_notify_create();
}
