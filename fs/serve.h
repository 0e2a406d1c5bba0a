/* The threads that serve requests.
 *
 * A round trip is two context switches. They are cheap when program and daemon
 * take turns on one core, and dear when each request wakes another thread,
 * which the scheduler puts on another core that it must wake first. The kernel
 * wakes the reader that has waited longest, so with several readers it is
 * always a cold one. Measured on two virtual cores, empty request: 13 us with one
 * reader, 22 with libfuse's pool of them; every 2 ms, 32 us and 103.
 *
 * So one thread, the *leader*, reads the device and serves what it has read
 * itself. A second one, the *deputy*, takes its place when a request takes long:
 * at once when the leader says that it will wait (serve_waits), else after
 * 20 ms, which a timer tells it that runs until nothing was asked for 100 ms.
 * Who lost the lead finishes its request and becomes a spare. Idle,
 * nobody wakes up.
 *
 * A leader that finds itself on another core than the program it serves (steer.h)
 * appoints a spare, its *heir*, that may run on that core only: so a
 * RELEASE cannot draw it away from the program, and the program's own sleep is
 * what lets it run. A core kept busy by a third delays it as it delays the
 * program. Measured: a session save 2.3 ms and 1.0, a log append 160 us and 55. */
#ifndef CLAWFS_SERVE_H
#define CLAWFS_SERVE_H

struct clawfs;

/* Serves until the session has ended: unmounted, or fuse_session_exit and a signal to the calling
 * thread that interrupts it. 0 or a negative errno. Nothing is being served any more when it returns. */
int serve_run(struct clawfs *fs);

/* The calling thread is about to wait for the card, or for RAM. If it is the leader, another goes on reading
 * the device; else without effect. Any lock may be held. */
void serve_waits(struct clawfs *fs);

#endif
