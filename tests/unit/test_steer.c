/* fs/steer.h: where the program is that waits for an answer. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/steer.h"

#define MS 1000000
#define US 1000

/* A core that this process may use, the last; and one that it is not on, -1 on a machine with one. */
static int last_core(int besides)
{
	cpu_set_t cores;

	assert_int_equal(sched_getaffinity(0, sizeof(cores), &cores), 0);
	for (int i = CPU_SETSIZE - 1; i >= 0; i--)
		if (CPU_ISSET(i, &cores) && i != besides)
			return i;
	return -1;
}

static void pin(int core)
{
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(core, &only);
	assert_int_equal(sched_setaffinity(0, sizeof(only), &only), 0);
}

/* A program on that core that sleeps, and whose name looks like the end of one. */
static pid_t sleeper(int core)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pin(core);
		prctl(PR_SET_NAME, "a) S 1 2 (b", 0, 0, 0);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_core_of(void **state)
{
	struct steer *steer = steer_create();
	int core = last_core(-1);
	pid_t pid = sleeper(core);

	(void)state;
	assert_non_null(steer);
	assert_int_equal(steer_core_of(steer, (uint32_t)pid), core);
	assert_int_equal(steer_core_of(steer, (uint32_t)pid), core);
	end(pid);
	assert_int_equal(steer_core_of(steer, (uint32_t)pid), -ENOENT);
	steer_destroy(steer);
}

/* More programs than are remembered. */
static void test_many(void **state)
{
	enum { MANY = 20 };
	struct steer *steer = steer_create();
	int core = last_core(-1);
	pid_t pid[MANY];

	(void)state;
	assert_non_null(steer);
	for (int i = 0; i < MANY; i++)
		pid[i] = sleeper(core);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < MANY; i++)
			assert_int_equal(steer_core_of(steer, (uint32_t)pid[i]), core);
	for (int i = 0; i < MANY; i++)
		end(pid[i]);
	steer_destroy(steer);
}

/* Answers so many requests of the client, the first at `*now`, `gap` apart; how many sent the thread away. */
static int answer(struct steer *steer, pid_t client, int requests, int64_t gap, int64_t *now, int *where)
{
	int astray = 0;

	for (int i = 0; i < requests; i++, *now += gap) {
		int core = steer_astray(steer, (uint32_t)client, *now);
		if (core < 0)
			continue;
		astray++;
		*where = core;
	}
	return astray;
}

static void test_bursts(void **state)
{
	struct steer *steer = steer_create();
	int here = last_core(-1), there = last_core(here), where = -1;
	int64_t now = 1000 * (int64_t)MS;

	(void)state;
	if (there < 0) {
		/* There is nowhere else to go. */
		steer_destroy(steer);
		return;
	}
	assert_non_null(steer);
	pin(here);
	pid_t other = sleeper(there), near = sleeper(here);
	/* A few requests, as a log line is or a row: not worth asking. */
	assert_int_equal(answer(steer, other, 5, 20 * US, &now, &where), 0);
	now += 50 * MS;
	assert_int_equal(answer(steer, other, 5, 20 * US, &now, &where), 0);
	/* Each some time after the one before: no burst. */
	now += 50 * MS;
	assert_int_equal(answer(steer, other, 100, 2 * MS, &now, &where), 0);
	/* At the sixth, and then each ms. */
	now += 50 * MS;
	assert_int_equal(answer(steer, other, 5, 20 * US, &now, &where), 0);
	assert_int_equal(answer(steer, other, 1, 20 * US, &now, &where), 1);
	assert_int_equal(where, there);
	assert_int_equal(answer(steer, other, 150, 20 * US, &now, &where), 3);
	/* Who is here already. */
	assert_int_equal(answer(steer, near, 500, 20 * US, &now, &where), 0);
	/* Nobody waits for those. */
	assert_int_equal(answer(steer, 0, 500, 20 * US, &now, &where), 0);
	end(other);
	/* Nor does who has ended. */
	assert_int_equal(answer(steer, other, 100, 20 * US, &now, &where), 0);
	end(near);
	steer_destroy(steer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_of),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_bursts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
