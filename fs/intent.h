/* The change of names under way: a change on the lower, one in the upper and
 * one of the tables, which a successor must see as done or not done.
 *
 * Written before the first of them, cleared after the last; only one at a time
 * can be, since it takes the tree lock for writing. A successor looks at the
 * trees (takeover_names.c): what makes a name is undone, unless its request is
 * DONE; what takes one away or moves it is completed if its decisive step (the
 * call on the lower if there is one, else that on the upper) was made, and
 * undone otherwise. */
#ifndef CLAWFS_INTENT_H
#define CLAWFS_INTENT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct clawfs;

enum intent_op { INTENT_NONE, INTENT_MAKE, INTENT_LINK, INTENT_UNLINK, INTENT_RMDIR, INTENT_RENAME };

struct intent {
	uint32_t op;	  /* atomic */
	uint32_t request; /* index of its record plus one; 0 none */
	uint32_t parent, new_parent;
	uint32_t src, dst; /* nodes; 0 */
	uint32_t flags;	   /* of rename(2) */
	int32_t cls;	   /* enum policy_class of the new name, rename in RAM */
	bool lower;	   /* the decisive step is on the lower */
	uint64_t ino;	   /* of src on that side, before */
	char name[NAME_MAX + 1], new_name[NAME_MAX + 1];
	char hidden[24]; /* the upper's file, out of the way; "" */
};

/* Fills `intent` in and makes it count. Tree lock for writing. */
void intent_begin(struct clawfs *fs, const struct intent *intent);
/* Making `name`: on the lower or in the upper. */
void intent_make(struct clawfs *fs, uint32_t parent, const char *name, bool lower);
/* The change is complete, and with it the request, whose answer is `rc` and `node`; or, `rc` negative, undone. */
void intent_end(struct clawfs *fs, int rc, uint32_t node);
/* The change is complete or undone; the request is not. */
void intent_clear(struct clawfs *fs);

#endif
