#include "fs/priority.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of Linux: no glibc before 2.41 has it. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period; /* ns */
};

/* The least that the kernel allows. */
#define SERVING_SLICE_NS 100000

static void change(uint32_t from, uint32_t to, uint64_t slice)
{
	struct attributes a = {0};

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) < 0 || a.policy != from)
		return;
	a.size = sizeof(a);
	a.policy = to;
	a.runtime = slice;
	(void)syscall(SYS_sched_setattr, 0, &a, 0);
}

void priority_background(void)
{
	change(SCHED_OTHER, SCHED_BATCH, 0);
}

void priority_serving(void)
{
	change(SCHED_BATCH, SCHED_OTHER, SERVING_SLICE_NS);
}
