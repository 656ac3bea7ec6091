/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/adversary.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "step.h"

enum { PAGE = 4096, WIDEST_ACCESS = 16 };

struct range {
	uint8_t *at;
	size_t len;
	uint8_t mask;
	unsigned reads; /* until it flips */
};

static struct {
	struct range ranges[ADVERSARY_MAX_RANGES];
	volatile unsigned num;
	volatile bool closed;
	bool hooked;
	struct sigaction old_segv, old_trap;
	volatile int hit; /* the range that is being read, -1: none */
} state;

static void protect(int prot)
{
	for (unsigned i = 0; i < state.num; i++) {
		uintptr_t from = (uintptr_t)state.ranges[i].at & ~(uintptr_t)(PAGE - 1);
		uintptr_t to = align_up((uintptr_t)state.ranges[i].at + state.ranges[i].len, PAGE);

		mprotect((void *)from, to - from, prot);
	}
}

static bool page_is_ours(uintptr_t addr)
{
	for (unsigned i = 0; i < state.num; i++) {
		uintptr_t from = (uintptr_t)state.ranges[i].at & ~(uintptr_t)(PAGE - 1);

		if (addr >= from &&
		    addr < align_up((uintptr_t)state.ranges[i].at + state.ranges[i].len, PAGE))
			return true;
	}
	return false;
}

static int range_of(uintptr_t addr)
{
	for (unsigned i = 0; i < state.num; i++) {
		uintptr_t at = (uintptr_t)state.ranges[i].at;

		if (addr + WIDEST_ACCESS > at && addr < at + state.ranges[i].len)
			return (int)i;
	}
	return -1;
}

/* Somebody else's fault: what was there before. */
static void pass_on(const struct sigaction *old, int number, siginfo_t *info, void *context)
{
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(number, info, context);
	} else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
		old->sa_handler(number);
	} else {
		/* The instruction runs again and ends the process as it would have. */
		sigaction(number, old, NULL);
	}
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;

	if (!state.closed || !page_is_ours(addr)) {
		pass_on(&state.old_segv, number, info, context);
		return;
	}
	state.hit = step_is_write(context) ? -1 : range_of(addr);
	protect(PROT_READ | PROT_WRITE);
	step_begin(context);
}

static void on_step(int number, siginfo_t *info, void *context)
{
	if (!state.closed) {
		pass_on(&state.old_trap, number, info, context);
		return;
	}
	step_end(context);
	if (state.hit >= 0) {
		struct range *r = &state.ranges[state.hit];

		if (!--r->reads) {
			for (size_t i = 0; i < r->len; i++)
				r->at[i] ^= r->mask;
			*r = state.ranges[--state.num];
		}
		state.hit = -1;
	}
	protect(PROT_NONE);
}

int adversary_arm(void *hva, size_t len, uint8_t mask, unsigned reads)
{
	if (!STEP_POSSIBLE)
		return -ENOTSUP;
	if (state.num == ADVERSARY_MAX_RANGES)
		return -ENOSPC;
	if (!state.hooked) {
		struct sigaction segv = { .sa_sigaction = on_fault,
					  .sa_flags = SA_SIGINFO | SA_NODEFER };
		struct sigaction trap = { .sa_sigaction = on_step,
					  .sa_flags = SA_SIGINFO | SA_NODEFER };

		sigaction(SIGSEGV, &segv, &state.old_segv);
		sigaction(SIGTRAP, &trap, &state.old_trap);
		state.hooked = true;
		state.hit = -1;
	}
	state.ranges[state.num++] =
		(struct range){ .at = hva, .len = len, .mask = mask, .reads = reads };
	return 0;
}

void adversary_disarm(void)
{
	adversary_set(false);
	state.num = 0;
	if (state.hooked) {
		sigaction(SIGSEGV, &state.old_segv, NULL);
		sigaction(SIGTRAP, &state.old_trap, NULL);
		state.hooked = false;
	}
}

unsigned adversary_armed(void)
{
	return state.num;
}

bool adversary_set(bool closed)
{
	bool before = state.closed;

	if (closed == before)
		return before;
	if (!state.num && closed)
		return false;
	state.closed = closed;
	if (state.num)
		protect(closed ? PROT_NONE : PROT_READ | PROT_WRITE);
	return before;
}
