#include "fs/priority.h"

#include <sched.h>

static void change(int from, int to)
{
	/* Both have no static priority but 0. */
	const struct sched_param none = {0};

	if (sched_getscheduler(0) == from)
		(void)sched_setscheduler(0, to, &none);
}

void priority_background(void)
{
	change(SCHED_OTHER, SCHED_BATCH);
}

void priority_serving(void)
{
	change(SCHED_BATCH, SCHED_OTHER);
}
