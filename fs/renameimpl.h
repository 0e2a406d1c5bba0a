/* What rename.c and renameram.c share. For nobody else. Tree lock for writing throughout. */
#ifndef CLAWFS_RENAMEIMPL_H
#define CLAWFS_RENAMEIMPL_H

#include "fs/fs.h"

struct rename {
	uint32_t parent, new_parent;
	const char *name, *new_name;
	unsigned flags;
	uint32_t src, dst; /* dst 0: the new name is free */
	uint32_t view;	   /* one of them that must be brought back to life first; 0 */
	msec_t now;
};

/* Says what is about to happen; `ino` of the source on the side of the decisive step. */
void rename_intend(struct clawfs *fs, const struct rename *r, bool lower, uint64_t ino, int cls);
/* A name in each of the two directories has changed. */
void rename_touch_parents(struct clawfs *fs, const struct rename *r, bool lower);

/* Whether it can be done in the upper alone: the class of the new name, or CLASS_THROUGH when not. */
enum policy_class rename_ram_class(struct clawfs *fs, const struct rename *r);
/* Does it, for that class. */
int rename_in_ram(struct clawfs *fs, const struct rename *r, enum policy_class cls);
/* A directory in RAM that stays there. True when it was handled, with *rc. */
bool rename_ram_dir(struct clawfs *fs, const struct rename *r, int *rc);

#endif
