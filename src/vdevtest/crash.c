/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/crash.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "step.h"

enum { STACK = 64 << 10 };

/* Of the sanitizers' run time, where the program has one. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*func)(void));

static void (*tell_about)(const char *what);

int crash_has_sanitizer(void)
{
	return __sanitizer_set_death_callback != NULL;
}

static void on_death(void)
{
	void (*tell)(const char *) = tell_about;

	tell_about = NULL;
	if (tell)
		tell("a sanitizer's report");
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	uintptr_t pc = step_pc(context);
	const char *name = sigabbrev_np(number), *file = NULL;
	char what[160];
	Dl_info where;

	(void)info;
	if (dladdr((void *)pc, &where) && where.dli_fname) {
		file = strrchr(where.dli_fname, '/');
		file = file ? file + 1 : where.dli_fname;
	}
	snprintf(what, sizeof(what), "SIG%s at %s+0x%llx", name ? name : "?", file ? file : "",
		 (unsigned long long)(file ? pc - (uintptr_t)where.dli_fbase : pc));
	if (tell_about)
		tell_about(what);
	signal(number, SIG_DFL);
	raise(number);
}

void crash_watch(void (*tell)(const char *what))
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	static uint8_t stack[STACK];
	const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	const struct sigaction action = { .sa_sigaction = on_signal,
					  .sa_flags = SA_SIGINFO | SA_ONSTACK };

	tell_about = tell;
	if (crash_has_sanitizer()) {
		__sanitizer_set_death_callback(on_death);
		sigaction(SIGABRT, &action, NULL);
		return;
	}
	sigaltstack(&alternate, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(faults); i++)
		sigaction(faults[i], &action, NULL);
}
