/* On which core a program waits for its answer.
 *
 * When program and daemon are on one core, a round trip is two switches of it. When they are on two, each of them
 * wakes the other's core first: measured on two virtual cores, 16 us and 95 us for an empty request, back to back. The
 * scheduler leaves a thread where it ran last as long as that core is idle, so that once apart they stay apart; and a
 * RELEASE, which nobody waits for, is what parts them: it wakes the daemon while the program runs on.
 * FUSE does not say on which core a program is; proc_pid_stat(5), field `processor`, does, for 5 us when the caches are
 * warm and 30 when they are not. So it is asked only in bursts of requests, in which the next ones pay it back. */
#ifndef CLAWFS_STEER_H
#define CLAWFS_STEER_H

#include <stdint.h>

struct steer;

/* One for all threads that lead, one at a time. NULL without memory. */
struct steer *steer_create(void);
void steer_destroy(struct steer *steer);

/* The calling thread has answered a request of the thread `client` (0: nobody waited), which it read at `now`, ns.
 * The core that it had better be on to serve the next one; -1: this one, or it is not time to ask, or not known. */
int steer_astray(struct steer *steer, uint32_t client, int64_t now);

/* Where the thread runs, or ran last. -ENOENT: there is none of that number, or it is not to be seen from here
 * (hidepid=); -EINVAL: its file says something else. */
int steer_core_of(struct steer *steer, uint32_t client);

#endif
