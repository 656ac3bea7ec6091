/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tap.h"

#define TUN_DEVICE  "/dev/net/tun"
#define DRAIN_LIMIT 4096 /* packets; more than an interface queues */

int tap_set_offloads(int fd, unsigned offloads)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads) == 0 ? 0 : errno;
}

const char *tap_check(const char *name)
{
	if (*name == '\0' || strlen(name) >= IFNAMSIZ)
		return "an interface name has 1 to 15 characters";
	if (strpbrk(name, "/:% \t") || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "an interface name has no '/', ':', '%' or blanks";
	if (access(TUN_DEVICE, R_OK | W_OK) == 0)
		return NULL;
	return errno == ENOENT ? "there is no " TUN_DEVICE ": load the module with `modprobe tun`"
			       : TUN_DEVICE " may not be opened by this user";
}

unsigned tap_mtu(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };
	unsigned mtu = 0;

	if (fd < 0)
		return 0;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFMTU, &ifr) == 0 && ifr.ifr_mtu > 0)
		mtu = (unsigned)ifr.ifr_mtu;
	close(fd);
	return mtu;
}

static const char *attach_advice(int err)
{
	switch (err) {
	case EPERM:
		return "making or using it needs CAP_NET_ADMIN, or a tap that belongs to this "
		       "user: "
		       "`ip tuntap add dev NAME mode tap user USER`";
	case EBUSY:
		return "another program has it open";
	case EINVAL:
		return "it is no tap interface with one queue";
	default:
		return strerror(err);
	}
}

int tap_open(const char *name, int *ret_fd, const char **ret_why)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = TAP_HEADER, little_endian = 1, err;
	int fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		err = errno;
		*ret_why = strerror(err);
		return err;
	}
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) != 0) {
		err = errno;
		*ret_why = attach_advice(err);
		close(fd);
		return err;
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) != 0 ||
	    ioctl(fd, TUNSETVNETLE, &little_endian) != 0 || ioctl(fd, TUNSETOFFLOAD, 0ul) != 0) {
		err = errno;
		*ret_why = "this kernel's taps have no VirtIO header";
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

void tap_drain(int fd)
{
	char byte[TAP_HEADER + 1];

	for (int i = 0; i < DRAIN_LIMIT && read(fd, byte, sizeof(byte)) >= 0; i++)
		;
}
