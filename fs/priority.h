/* Who goes first on a core, among the worker's threads and the programs it serves.
 *
 * Who answers a request does it in some 20 us, for a program that waits. So it asks the scheduler for a short slice:
 * a thread that wakes with one preempts whoever has a longer one (sched(7), sched_attr.sched_runtime; since
 * Linux 6.12), and gets no more of the core for it. Without, a request waited for the end of another program's slice (2
 * ms beside a query). Who flushes, compresses and watches is nobody's hurry: SCHED_BATCH, which never preempts when it
 * wakes. Without, a flusher that a request woke ran before the reply (0.6 ms). Only a worker under the default policy
 * does either: whoever chose another for it meant it. */
#ifndef CLAWFS_PRIORITY_H
#define CLAWFS_PRIORITY_H

/* The calling thread, and those that it starts from now on. What the kernel refuses or does not know stays as it is. */
void priority_background(void);
/* The calling thread, which answers requests. After priority_background. */
void priority_serving(void);

#endif
