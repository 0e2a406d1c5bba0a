/* A process of its own that makes the worker's helpers, because the worker, once it is confined (sandbox.h), cannot
 * start a program. It is small, without threads or secrets, and only forks. A helper is its sibling, the worker's
 * child: who serves it waits for it, and hears of its death. Until the spawner is there, and without it, helpers are
 * started as programs. */
#ifndef CLAWFS_SPAWNER_H
#define CLAWFS_SPAWNER_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

struct clawfs;

/* What a helper is to do. */
enum helper {
	HELPER_STEWARD, /* opens databases; steward.h */
	HELPER_HOLD,	/* keeps writers out for an instant; hold.h */
};

/* Each end of a SOCK_SEQPACKET, in the helper and in the spawner itself. */
#define HELPER_SOCK 3

struct spawner {
	pthread_mutex_t lock; /* a leaf: one question at a time */
	pid_t pid;	      /* 0: none; set before there are threads that ask */
	int sock;
};

void spawner_init(struct spawner *s);
void spawner_fini(struct spawner *s);

/* From a thread that lives as long as the process: the spawner ends with it. 0 or a negative errno. */
int spawner_start(struct clawfs *fs);
/* Ends it, if it was started. */
void spawner_end(struct clawfs *fs);

/* A helper that has the other end of `sock`, which is given back. No lock held. 0 or a negative errno. */
int spawner_make(struct clawfs *fs, enum helper what, int *sock, pid_t *pid);
/* One message, with a descriptor unless `fd` is -1. */
int spawner_send(int sock, const void *data, size_t size, int fd);

/* Its main program: for each message, a helper that gets the descriptor that comes along. */
int spawner_main(int sock);
/* A helper's: runs it, and returns its exit status. */
int helper_main(enum helper what, int sock);

#endif
