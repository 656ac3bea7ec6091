/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of a Linux guest: two clients of a region of vdev shmem, each a process that maps its
 * pages by /dev/mem. Argument: the guest-physical address of the factory page, and the config file
 * of its PCI function, whose status shows the interrupt ("-": none). Says what it has seen; every
 * number is in the words of vdev-shmem(7).
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 4, TURNS = 2000 };

static int mem;
static const char *config;
static volatile uint32_t *factory;

static volatile uint32_t *map(uint64_t gpa, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, mem, (off_t)gpa);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

/* Returns the control page; its data pages follow. */
static volatile uint32_t *attach(const char *name, uint32_t pages)
{
	uint32_t words[8] = { 0 };

	strncpy((char *)words, name, sizeof(words) - 1);
	for (unsigned i = 0; i < 8; i++)
		factory[0x1c / 4 + i] = words[i];
	factory[0x18 / 4] = pages;
	if (factory[0x14 / 4]) {
		printf("status=%u\n", factory[0x14 / 4]);
		return NULL;
	}
	return map(factory[2] | (uint64_t)factory[3] << 32, (size_t)(1 + factory[0x18 / 4]) * PAGE);
}

/* Does the function ask for an interrupt? */
static int interrupt(void)
{
	uint16_t status = 0;
	int fd = open(config, O_RDONLY);

	if (fd < 0 || pread(fd, &status, sizeof(status), 6) != sizeof(status))
		return -1;
	close(fd);
	return status >> 3 & 1;
}

/* The turn goes to and fro in the data pages; each side writes all of the others' and checks. */
static int play(volatile uint32_t *data, uint32_t me)
{
	for (uint32_t turn = 0; turn < TURNS; turn++) {
		if (turn % 2 != me) {
			while (data[0] <= turn)
				sched_yield();
			if (data[1 + turn % (PAGES * PAGE / 4 - 1)] != turn * 7)
				return 0;
			continue;
		}
		data[1 + turn % (PAGES * PAGE / 4 - 1)] = turn * 7;
		__sync_synchronize();
		data[0] = turn + 1;
	}
	return 1;
}

int main(int argc, char **argv)
{
	volatile uint32_t *one, *two;
	char signature[8];
	uint32_t first;
	int status, whole;

	if (argc < 3)
		return 2;
	mem = open("/dev/mem", O_RDWR | O_SYNC);
	config = argv[2];
	factory = map(strtoull(argv[1], NULL, 0), PAGE);
	/* Word by word: registers are not read by what string functions are made of. */
	memcpy(signature, (uint32_t[]){ factory[0], factory[1] }, 8);
	printf("signature=%.8s vector=%u\n", signature, factory[4]);
	attach("forbidden", 1);
	one = attach("testing", PAGES);
	two = attach("testing", 1);
	if (!one || !two)
		return 1;
	printf("clients=%x indices=%u,%u pages=%u\n", one[0] >> 16, one[1], two[1],
	       factory[0x18 / 4]);
	fflush(stdout);
	(void)two[0];
	if (fork() == 0)
		_exit(!play(two + PAGE / 4, 1));
	whole = play(one + PAGE / 4, 0);
	wait(&status);
	printf("data=%s\n", whole && !status ? "whole" : "broken");
	printf("quiet=%d\n", interrupt());
	one[2] = 0xffffffff;
	printf("asks=%d\n", interrupt());
	first = two[0];
	printf("notified=%08x then=%08x\n", first, two[0]);
	printf("served=%d\n", interrupt());
	two[3] = 1;
	printf("left=%08x gone=%08x\n", one[0], two[0]);
	for (unsigned i = 0; i < 100; i++) {
		volatile uint32_t *again = attach("testing", 1);

		if (!again)
			return 1;
		again[3] = 1;
		munmap((void *)(uintptr_t)again, (1 + PAGES) * PAGE);
	}
	printf("again=whole\n");
	return 0;
}
