/* Who goes first on a core, among the worker's threads.
 *
 * Who flushes, compresses and watches is in nobody's hurry: SCHED_BATCH (sched(7)), which does not preempt when it
 * wakes. Without, a flusher that a request woke ran before the reply to it (0.6 ms seen). Who answers requests stays
 * under the default policy; a short slice (sched_attr.sched_runtime, Linux 6.12) was measured for it: beside programs
 * that compute, a request waits less (126 us, 80), on an idle machine it takes longer (a log append 130 us, 170), so it
 * has none. Only a worker under the default policy does this: whoever chose another for it meant it. */
#ifndef CLAWFS_PRIORITY_H
#define CLAWFS_PRIORITY_H

/* The calling thread, and those that it starts from now on. What the kernel refuses or does not know stays as it is. */
void priority_background(void);
/* The calling thread, which answers requests. After priority_background. */
void priority_serving(void);

#endif
