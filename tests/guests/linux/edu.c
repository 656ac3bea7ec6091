/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives QEMU's educational PCI device from a program, in a guest or on the host itself:
 *
 *   edu FOLDER check            its registers, and the factorial of 10
 *   edu FOLDER interrupt UIO N  N interrupts, taken by uio_pci_generic
 *   edu FOLDER copy ADDRESS     DMA: its own memory there and back, then ADDRESS (physical, as the
 * device sees it) read and written edu target FIRST END        a page of this program's memory in
 * that range of physical addresses: prints where it is, waits for a line, and prints what is in it
 *
 * FOLDER is the device's in /sys/bus/pci/devices.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	BAR = 1 << 20,
	LIVE = 0x04,
	FACTORIAL = 0x08,
	STATUS = 0x20,
	RAISE = 0x60,
	ACKNOWLEDGE = 0x64,
	SOURCE = 0x80,
	DESTINATION = 0x88,
	COUNT = 0x90,
	COMMAND = 0x98,
	DEVICE_MEMORY = 0x40000,
	LENGTH = 1024, /* QEMU 7.2 ends if it is the whole of the device's memory, 4096 */
	TO_RAM = 2,
	START = 1,
	POLLS = 100000, /* of 100 us */
};

static volatile uint8_t *bar;
static int config;

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t read32(int reg)
{
	return *(volatile uint32_t *)(bar + reg);
}

static void write32(int reg, uint32_t value)
{
	*(volatile uint32_t *)(bar + reg) = value;
}

static void write64(int reg, uint64_t value)
{
	*(volatile uint64_t *)(bar + reg) = value;
}

/* The PCI command register: memory and DMA on, INTx not disabled (uio_pci_generic disables it at
 * each interrupt). */
static void enable(void)
{
	uint16_t command;

	if (pread(config, &command, 2, 4) != 2)
		fail("reading config");
	command = (uint16_t)((command | 6) & ~0x400);
	if (pwrite(config, &command, 2, 4) != 2)
		fail("writing config");
}

static void open_device(const char *folder)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/config", folder);
	config = open(path, O_RDWR);
	if (config < 0)
		fail(path);
	enable();
	snprintf(path, sizeof(path), "%s/resource0", folder);
	fd = open(path, O_RDWR | O_SYNC);
	if (fd < 0)
		fail(path);
	bar = mmap(NULL, BAR, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bar == MAP_FAILED)
		fail("mmap of resource0");
}

static uint64_t physical(const void *page)
{
	uint64_t entry;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 ||
	    pread(fd, &entry, 8, (off_t)((uintptr_t)page / PAGE * sizeof(entry))) != sizeof(entry))
		fail("/proc/self/pagemap");
	close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

static char *pages(size_t count)
{
	char *memory = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

	if (memory == MAP_FAILED)
		fail("mmap");
	return memory;
}

static void wait_until_clear(int reg, uint32_t bits)
{
	for (int i = 0; read32(reg) & bits; i++) {
		if (i == POLLS) {
			printf("stuck=%#x\n", (unsigned)reg);
			exit(1);
		}
		usleep(100);
	}
}

static void dma(uint64_t source, uint64_t destination, uint32_t direction)
{
	write64(SOURCE, source);
	write64(DESTINATION, destination);
	write64(COUNT, LENGTH);
	write64(COMMAND, direction | START);
	wait_until_clear(COMMAND, START);
}

static void check(void)
{
	write32(LIVE, 0x12345678);
	printf("ident=%08x live=%08x\n", read32(0), read32(LIVE));
	write32(FACTORIAL, 10);
	wait_until_clear(STATUS, 1);
	printf("factorial=%u\n", read32(FACTORIAL));
}

static void interrupts(const char *uio, int wanted)
{
	struct pollfd poller = { .fd = open(uio, O_RDONLY), .events = POLLIN };
	int came = 0;
	uint32_t count;

	if (poller.fd < 0)
		fail(uio);
	for (; came < wanted; came++) {
		enable();
		write32(RAISE, 1);
		if (poll(&poller, 1, 10000) != 1 || read(poller.fd, &count, 4) != 4)
			break;
		write32(ACKNOWLEDGE, 1);
	}
	printf("interrupts=%d\n", came);
}

static void copy(uint64_t address)
{
	char *mine = pages(1), *back = pages(1);

	for (int i = 0; i < LENGTH; i += 16)
		memcpy(mine + i, "by edu's own DMA", 16);
	dma(physical(mine), DEVICE_MEMORY, 0);
	dma(DEVICE_MEMORY, physical(back), TO_RAM);
	printf("own=%s\n", memcmp(mine, back, LENGTH) ? "other" : "same");
	/* What cannot be read leaves something else in the device. */
	dma(address, DEVICE_MEMORY, 0);
	memset(back, 0, LENGTH);
	dma(DEVICE_MEMORY, physical(back), TO_RAM);
	for (int i = 0; i < 16; i++)
		if (back[i] < ' ' || back[i] > '~')
			back[i] = '.';
	printf("read=%.16s\n", back);
	dma(physical(mine), DEVICE_MEMORY, 0);
	dma(DEVICE_MEMORY, address, TO_RAM);
}

static void target(uint64_t first, uint64_t end)
{
	enum { MANY = 16384 };
	char *memory = pages(MANY), *found = NULL;

	for (int i = 0; i < MANY && !found; i++) {
		uint64_t at = physical(memory + (size_t)i * PAGE);

		if (at >= first && at < end)
			found = memory + (size_t)i * PAGE;
	}
	if (!found) {
		printf("target=none\n");
		exit(1);
	}
	for (int i = 0; i < PAGE; i += 16)
		memcpy(found + i, "the host's page.", 16);
	printf("target=%#" PRIx64 "\n", physical(found));
	fflush(stdout);
	getchar();
	printf("holds=%.16s\n", found);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "target") == 0) {
		target(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
		return 0;
	}
	if (argc < 3)
		return 2;
	open_device(argv[1]);
	if (strcmp(argv[2], "check") == 0)
		check();
	else if (strcmp(argv[2], "interrupt") == 0 && argc == 5)
		interrupts(argv[3], atoi(argv[4]));
	else if (strcmp(argv[2], "copy") == 0 && argc == 4)
		copy(strtoull(argv[3], NULL, 0));
	else
		return 2;
	return 0;
}
