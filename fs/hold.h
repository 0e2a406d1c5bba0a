/* Keeps the writers of one file out for an instant, those that the kernel serves itself (FILE_IO_UPPER) as well.
 *
 * What the kernel writes past us it writes with the file's inode locked, the mount's. It holds the same lock while it
 * waits for our answer to a SETXATTR (Documentation/filesystems/locking.rst in the kernel's source). So a small
 * process of ours sets an attribute of the file through the mount: from the moment that the request arrives until it
 * is answered nobody writes, and what is done to the upper file meanwhile (fs/rotate.h) loses no line (P6).
 *
 *   - It is a process of its own: a thread that waits for an answer of its own process cannot be killed, nor can its
 *     process, so nobody would start the next worker.
 *   - Killed while the request is with us, the process waits for the answer all the same, and so the lock is held until
 *     a successor has answered. But a request that the kernel sends again may be given up before it is read. So a
 *     successor undoes what it finds half done (rotate_settle), and does nothing that wants the writers out unless the
 *     request comes to it.
 *   - When the connection is aborted (umount -f), all locks end at once.
 *   - No lock of ours is held while such a process is asked for, and nobody waits for it.
 *
 * The attribute is never stored, and who may write a file may ask for it too: nothing happens that was not due. */
#ifndef CLAWFS_HOLD_H
#define CLAWFS_HOLD_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

struct clawfs;

#define HOLD_ATTRIBUTE "user.clawfs.hold"
/* At once, each for another file. */
#define HOLDS_MAX 8

struct holds {
	pthread_mutex_t lock; /* a leaf */
	pid_t pid[HOLDS_MAX]; /* 0: none */
};

void holds_init(struct holds *holds);
/* Ends those that still wait. */
void holds_fini(struct holds *holds);

/* Asks for the writers of the file at `path`, from the mount's root, to be kept out. What comes of it hold_serve will
 * see, or nobody. 0; -EAGAIN when as many are under way; or another negative errno. No lock held. */
int hold_ask(struct clawfs *fs, const char *path);

/* From SETXATTR of HOLD_ATTRIBUTE: the node's writers are out until this returns. No lock held. 0; -EBUSY when
 * nothing was due, or not now; or another negative errno. */
int hold_serve(struct clawfs *fs, uint32_t node);

/* The process's main program. */
int hold_main(int sock);

#endif
