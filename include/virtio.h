/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the OASIS Virtual I/O Device specification that devices and drivers share.
 * Device-specific layouts stand in the vdevs that use them.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

/* Device status */
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER	  2u
#define VIRTIO_STATUS_DRIVER_OK	  4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED	  128u

#define VIRTIO_DS_ACKNOWLEDGE	  VIRTIO_STATUS_ACKNOWLEDGE
#define VIRTIO_DS_DRIVER	  VIRTIO_STATUS_DRIVER
#define VIRTIO_DS_DRIVER_OK	  VIRTIO_STATUS_DRIVER_OK
#define VIRTIO_DS_FEATURES_OK	  VIRTIO_STATUS_FEATURES_OK
#define VIRTIO_DS_NEEDS_RESET	  VIRTIO_STATUS_NEEDS_RESET
#define VIRTIO_DS_FAILED	  VIRTIO_STATUS_FAILED

/* Reserved feature bits (bit numbers) */
#define VIRTIO_F_INDIRECT_DESC	   28
#define VIRTIO_F_EVENT_IDX	   29
#define VIRTIO_F_VERSION_1	   32
#define VIRTIO_F_ACCESS_PLATFORM   33
#define VIRTIO_F_RING_PACKED	   34
#define VIRTIO_F_IN_ORDER	   35
#define VIRTIO_F_NOTIFICATION_DATA 38
#define VIRTIO_F_RING_RESET	   40

/* Device ids */
#define VIRTIO_ID_NET	  1
#define VIRTIO_ID_BLOCK	  2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_ENTROPY 4
#define VIRTIO_ID_INPUT	  18

#define VIRTIO_DT_NET	  VIRTIO_ID_NET
#define VIRTIO_DT_BLOCK	  VIRTIO_ID_BLOCK
#define VIRTIO_DT_CONSOLE VIRTIO_ID_CONSOLE
#define VIRTIO_DT_ENTROPY VIRTIO_ID_ENTROPY
#define VIRTIO_DT_BALLOON 5
#define VIRTIO_DT_SCSI	  8
#define VIRTIO_DT_9P	  9
#define VIRTIO_DT_GPU	  16
#define VIRTIO_DT_INPUT	  18
#define VIRTIO_DT_VSOCK	  19
#define VIRTIO_DT_CRYPTO  20
#define VIRTIO_DT_SOUND	  25
#define VIRTIO_DT_FS	  26

/* Split ring: descriptor flags */
#define VIRTQ_DESC_F_NEXT     1u
#define VIRTQ_DESC_F_WRITE    2u
#define VIRTQ_DESC_F_INDIRECT 4u

#define VIRTQ_MAX_SIZE	      32768u
#define VIRTIO_MSI_NO_VECTOR  0xffffu

#endif
