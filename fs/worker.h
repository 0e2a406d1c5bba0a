/* The process that serves the mount. It opens, reads, writes and flushes; the
 * supervisor (fs/supervisor.h) only waits for it, and starts the next one when
 * it dies. What confines it (seccomp, capabilities) and what its end needs
 * belongs here. */
#ifndef CLAWFS_WORKER_H
#define CLAWFS_WORKER_H

#include "fs/fs.h"
#include <signal.h>

/* Serves the mount until it is unmounted or a signal ends it, then flushes everything (P8), gives everything back but
 * `fs` itself and its log, and returns the exit status. `successor`: takes over first what the worker before it has
 * left (fs/takeover.h). worker_signals are blocked in the calling thread, which pthread_create made. */
int worker_run(struct clawfs *fs, bool successor);

/* Those that it waits for, and the supervisor hands on. */
sigset_t worker_signals(void);

/* Before it, in the process's first thread, because capabilities are a thread's, and handed on: from here on no program
 * is started but stewards (fs/sandbox.h). False: it is logged, and the process must end. */
bool worker_confine(struct clawfs *fs);

/* Gives everything back. `status` that of the flush; 0 and nothing left out: the upper goes too. */
void worker_close(struct clawfs *fs, int status);

/* In the supervisor, when its worker has given everything back: frees this process's own memory of it. The descriptors,
 * which both share, are closed already, and so are their numbers here. */
void worker_forget(struct clawfs *fs);

/* Flushes what the upper holds, by a view made of the trees alone, when workers die of the tables. Lower and upper of
 * `dead`, the rest is made anew. Exit status. */
int worker_rescue(const struct clawfs *dead);

#endif
