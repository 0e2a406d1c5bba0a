/* Tells the kernel what it did not do itself. It keeps names, attributes and
 * pages for a day (ops), so what the daemon changes by its own decision (a log
 * rotated, compressed or deleted) must be taken from its caches.
 *
 * The kernel may have to wait for a request of ours before it has done so (it
 * locks the page, or the directory). So a thread of its own says it, with no
 * lock held, and nobody waits for it. Nodes and names that the kernel does not
 * know cost nothing.
 *
 * The other way round, inval_store gives it what it would only ask for. */
#ifndef CLAWFS_INVAL_H
#define CLAWFS_INVAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct clawfs;
struct notice;

struct inval {
	pthread_mutex_t lock; /* a leaf; what follows */
	pthread_cond_t wake;
	struct notice *first, *last;
	bool running, stop;
	pthread_t thread;
};

void inval_init(struct clawfs *fs);
void inval_fini(struct clawfs *fs);
/* 0 or -EAGAIN. Before that, and after inval_stop, nothing is said. */
int inval_start(struct clawfs *fs);
void inval_stop(struct clawfs *fs);

/* The node's attributes changed; with `content` its bytes too. Any locks may be held. */
void inval_inode(struct clawfs *fs, uint32_t node, bool content);
/* Gives the kernel `len` bytes that are in the file at `off`, for its pages. Only with no handle of the file open, and
 * the file's lock held for writing: then no request of ours can have the page, and nobody can change it meanwhile. */
void inval_store(struct clawfs *fs, uint32_t node, void *buf, size_t len, off_t off);
/* What `name` means in `parent` changed, and with it the directory's times. */
void inval_entry(struct clawfs *fs, uint32_t parent, const char *name);

#endif
