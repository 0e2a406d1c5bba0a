/* What outlives a worker besides the tables: requests under way, the change
 * of names under way, and what the supervisor must know. One piece of shared
 * memory, mapped before the first worker is forked, so that all see it at one
 * address. No pointers in it.
 *
 * The order of stores is what makes it true at any instruction: a record is
 * filled in before the word that makes it count (`state`, `op`), and a process
 * that is killed has made all stores before that point and none after. */
#ifndef CLAWFS_SHARED_H
#define CLAWFS_SHARED_H

#include "fs/db.h"
#include "fs/intent.h"
#include "fs/request.h"
#include <stdbool.h>
#include <stdint.h>

struct shared {
	int32_t supervisor;    /* pid; 0: there is none */
	int32_t worker;	       /* pid */
	uint32_t generation;   /* of the worker: 1 is the first */
	bool ending;	       /* the mount is gone: what is left to do is the flush */
	bool detached;	       /* the supervisor has taken the mount down, as it was asked to */
	bool closed;	       /* that too is done, well or not, and everything is being given back */
	int32_t status;	       /* then: of the process; 0: everything is on the lower */
	bool upper_stays;      /* then: there is something in the upper for the next mount, or somebody writes there */
	bool reloaded;	       /* the configuration was read again, by a worker */
	int32_t steward;       /* pid of the worker's steward; 0 none */
	struct db_lease lease; /* guarded as said in fs/db.h */
	struct intent intent;  /* tree lock for writing */
	struct requests requests;
};

/* NULL without memory. */
struct shared *shared_create(void);
void shared_destroy(struct shared *shared);

#endif
