/* A clawfs under test: started, killed, ended. One at a time, in the foreground of a child. */
#ifndef CLAWFS_TESTS_CRASH_DAEMON_H
#define CLAWFS_TESTS_CRASH_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct fault_page;

struct daemon {
	const char *program;
	char lower[512], mnt[512], upper[512], log[512];
	const char *preload; /* a library for LD_PRELOAD; NULL */
	char page[512];	     /* what it shares with us (faultpage.h) */
	pid_t pid;	     /* of the process that was started; 0 none */
	pid_t worker;	     /* of the one that serves: the same without a supervisor */
	int slow;	     /* how many times as long time-outs are */
};

/* Lays out card/lower/ (where `card` may be a mount), mnt/ and daemon.log in `dir`, and upper/ in `shm`. */
void daemon_init(struct daemon *d, const char *program, const char *dir, const char *shm);
/* Mounts, and waits until it serves. `options` as after -o; "" none. 0, or -1 with a line on stderr, or 1 when it was
 * killed meanwhile (SIGKILL). */
int daemon_start(struct daemon *d, const char *options);
/* Whether the process has ended, and how (as waitpid); it is reaped. */
bool daemon_ended(struct daemon *d, int *status);
/* Whether a dead worker is replaced by another. Started. */
bool daemon_is_supervised(const struct daemon *d);
/* Loads preload.so, from the directory of this program, into the daemons to come; NULL with a line on stderr. Lower and
 * upper must be there, each on a device of its own. */
struct fault_page *daemon_with_faults(struct daemon *d, const char *dir);
/* Asks the mount who serves it; 0 when it does not answer. */
pid_t daemon_worker(const struct daemon *d);
/* kill -9 of everything. The dead mount stays, so that programs fail on it and do not go on in the directory beneath.
 */
void daemon_kill(struct daemon *d);
/* Takes the dead mount away. */
void daemon_take_away(struct daemon *d);
/* SIGTERM, and its end waited for: exit status 0, no mount, an upper without files. 0, or -1 with a line on stderr. */
int daemon_end(struct daemon *d);
/* "flush" to the control file: 0 or a negative errno. */
int daemon_flush(const struct daemon *d);
/* A number of stats.json by its key, the first of that name; -1 when there is none. */
long long daemon_stat(const struct daemon *d, const char *key);
/* Bytes in files below the upper, -1 when it is not there. */
long long daemon_upper_bytes(const struct daemon *d);

#endif
