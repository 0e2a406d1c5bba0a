/* Names whose entry on the lower a flush is changing right now.
 *
 * Making a name on the lower, or replacing what it names, can wait for the card: for the file system's journal, for
 * tens of milliseconds and more. So a flush does that without the tree lock, between two short steps that hold it: the
 * first says here that the name is under way, the second books what came of it.
 *
 * While a name is under way it stays in the tables, and means a file in the upper. What is answered from there goes on:
 * look-ups, reads and writes, and the rename of a file in RAM over it, as a save is (the second step finds the file
 * that has the name then). What would change the name on the lower itself waits for its end: unlink, renames on the
 * lower, another flush of it. A thread has at most one name under way and waits for another only without one, so that
 * nobody waits in a circle. */
#ifndef CLAWFS_UNDERWAY_H
#define CLAWFS_UNDERWAY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct clawfs;

/* One such name; belongs to the flush, and so does the text. */
struct underway_name {
	struct underway_name *next;
	uint32_t parent;
	const char *name;
};

struct underway {
	struct underway_name *first; /* read with the tree lock, written with it held for writing */
	pthread_mutex_t lock;	     /* a leaf */
	pthread_cond_t ended;
	uint64_t ends; /* that lock */
};

void underway_init(struct underway *u);
void underway_fini(struct underway *u);

/* The name is not under way, and is from now on; and not any more. Tree lock for writing. */
void underway_begin(struct clawfs *fs, struct underway_name *name);
void underway_end(struct clawfs *fs, struct underway_name *name);

/* Tree lock held. */
bool underway_is(struct clawfs *fs, uint32_t parent, const char *name);

/* Takes the tree lock for writing at a moment when the name is not under way. Waits for the card. No lock held. */
void underway_lock(struct clawfs *fs, uint32_t parent, const char *name);

/* Gives the tree lock, held for writing, back until some name's way has ended, and takes it again. */
void underway_wait(struct clawfs *fs);

#endif
