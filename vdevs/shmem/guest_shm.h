/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest sees of vdev shmem: the factory page, with which it creates and attaches regions,
 * and the control page in front of each attached region. Numbers and layout are those of the
 * documented guest_shm interface, little endian.
 */
#ifndef GUEST_SHM_H
#define GUEST_SHM_H

#define SHM_SIGNATURE	UINT64_C(0x4d534732474d5651) /* "QVMG2GSM" */
#define SHM_PAGE	4096u
#define SHM_MAX_CLIENTS 16u /* of a region */
#define SHM_NAME_SIZE	32u /* with the NUL */

enum shm_status {
	SHM_OK,
	SHM_UNKNOWN_FAILURE,
	SHM_NOMEM,
	SHM_CLIENT_MAX,
	SHM_ILLEGAL_NAME,
	SHM_NO_PERMISSION,
	SHM_DOES_NOT_EXIST,
};

enum factory_reg {
	FACTORY_SIGNATURE = 0x00, /* 64 bits */
	FACTORY_SHMEM = 0x08, /* 64 bits: where the control page of the last attached region is */
	FACTORY_VECTOR = 0x10,
	FACTORY_STATUS = 0x14, /* of the last request */
	FACTORY_SIZE = 0x18,   /* pages; writing it attaches the region `name`, made if need be */
	FACTORY_NAME = 0x1c,
	FACTORY_FIND = 0x3c, /* writing n puts the name of the n-th region into `name` */
	FACTORY_END = 0x40,
};

enum control_reg {
	CONTROL_STATUS =
		0x0, /* low half: who notified since the last read; high half: who is there */
	CONTROL_IDX = 0x4,
	CONTROL_NOTIFY = 0x8, /* a bit for each client; all ones: everyone else */
	CONTROL_DETACH = 0xc,
	CONTROL_END = 0x10,
};

#endif
