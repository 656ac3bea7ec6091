/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

struct asked {
	unsigned prio;
	char policy;
	int rc, nice, scheduler, prio_now;
};

/* On a thread of its own: an ordinary user cannot take back what it asked for. */
static void *ask(void *arg)
{
	struct asked *a = arg;
	struct sched_param param = { 0 };

	a->rc = thread_schedule(a->prio, a->policy);
	a->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
	a->scheduler = sched_getscheduler(0);
	sched_getparam(0, &param);
	a->prio_now = param.sched_priority;
	return NULL;
}

static struct asked asking(unsigned prio, char policy)
{
	struct asked a = { .prio = prio, .policy = policy };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask, &a), 0);
	pthread_join(thread, NULL);
	return a;
}

static void test_ordinary(void **state)
{
	struct asked a = asking(3, 0);

	(void)state;
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.nice, 7);
	assert_int_equal(a.scheduler, sched_getscheduler(0)); /* it stays what it was */
	a = asking(10, 'o');
	assert_true(a.rc == 0 || a.rc == -EPERM); /* the tests may run nicer than usual */
	a = asking(255, 'o');
	assert_true(a.rc ? a.rc == -EPERM : a.nice == -20);
}

static void test_real_time(void **state)
{
	struct asked a = asking(5, 'r');

	(void)state;
	if (a.rc) {
		assert_int_equal(a.rc, -EPERM);
		skip();
	}
	assert_int_equal(a.scheduler, SCHED_RR);
	assert_int_equal(a.prio_now, 5);
	a = asking(99, 'f');
	assert_int_equal(a.scheduler, SCHED_FIFO);
	assert_int_equal(a.prio_now, 99);
	assert_int_equal(asking(100, 'f').rc, -EINVAL);
}

static void *run_on(void *arg)
{
	unsigned *cpu = arg;
	cpu_set_t now;

	if (thread_run_on(cpu, 1) || sched_getaffinity(0, sizeof(now), &now))
		return (void *)(intptr_t)-1;
	return (void *)(intptr_t)(CPU_COUNT(&now) == 1 && CPU_ISSET(*cpu, &now));
}

static void test_cpus(void **state)
{
	unsigned cpu = 0, far = 1023, wrong = CPU_SETSIZE;
	cpu_set_t before;
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	while (!CPU_ISSET(cpu, &before))
		cpu++;
	assert_int_equal(pthread_create(&thread, NULL, run_on, &cpu), 0);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, 1);
	assert_int_equal(thread_run_on(&far, 1), -EINVAL);
	assert_int_equal(thread_run_on(&wrong, 1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary),
		cmocka_unit_test(test_real_time),
		cmocka_unit_test(test_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
