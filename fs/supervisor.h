/* Two processes share a mount: the *supervisor* opens lower and upper, mounts,
 * answers FUSE_INIT and waits; the *worker* (fs/worker.h) serves. When the
 * worker dies of anything, the supervisor starts the next one, which takes
 * over (fs/takeover.h), and asks the kernel to send again what was not
 * answered (FUSE_NOTIFY_RESEND, Linux 6.9). Applications see a pause.
 *
 * Both share one table of descriptors (clone(2) with CLONE_FILES), so a number
 * in a record stays valid when the worker dies, also that of a file without a
 * name; the lower stays locked, and the kernel keeps its backing ids. Memory is
 * not shared but for the tables and `struct shared`: a successor begins with the
 * supervisor's, as it was before the first worker.
 *
 * The supervisor runs no thread and touches nothing that a request does.
 *   - SIGTERM, SIGINT, SIGHUP, SIGPWR are passed on to the worker.
 *   - The fifth death within a minute is the last: the mount is taken down, a fresh process
 *     flushes the upper without FUSE, and the exit status is not 0.
 *   - Where the kernel cannot resend (it is tried once, at the start), the mount is made anew
 *     and the upper recovered: open files are lost to their programs.
 *   - If the supervisor is killed, the worker flushes and goes on without.
 *
 * For tests, in the environment: CLAWFS_SUPERVISOR=off serves in one process;
 * CLAWFS_RESEND=off is a kernel that cannot; CLAWFS_DEATHS=N is another number than five. */
#ifndef CLAWFS_SUPERVISOR_H
#define CLAWFS_SUPERVISOR_H

#include "fs/fs.h"
#include <signal.h>

/* The signal by which the worker, which may start no program, has an ordinary user's mount taken down. */
#define SUPERVISOR_UNMOUNT SIGALRM

/* Mounted anew is wanted. */
#define SUPERVISE_AGAIN (-1)

/* Serves the mount, whose FUSE_INIT is answered, to its end. The exit status, with everything given back as by
 * worker_close; or SUPERVISE_AGAIN, the same, with the upper kept. */
int supervise(struct clawfs *fs);

#endif
