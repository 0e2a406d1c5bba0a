/* The process's descriptors by number: which are open, which are whose.
 * For a successor, which finds those of a worker that died. */
#ifndef CLAWFS_FDSET_H
#define CLAWFS_FDSET_H

#include <stdbool.h>
#include <stdint.h>

struct fdset {
	uint8_t *bits;
	int size; /* numbers from there on are not in it */
};

/* What is open now. 0 or a negative errno. */
int fdset_open(struct fdset *set);
void fdset_free(struct fdset *set);
bool fdset_has(const struct fdset *set, int fd);
void fdset_remove(struct fdset *set, int fd);
/* Closes all of them. */
void fdset_close(const struct fdset *set);

#endif
