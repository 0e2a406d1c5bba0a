/* What the parts of a takeover share: takeover.c (order, tables, descriptors),
 * takeover_names.c (the change of names under way), takeover_files.c (where
 * files are). For nobody else. One thread, so nobody holds or wants a lock. */
#ifndef CLAWFS_TAKEOVERIMPL_H
#define CLAWFS_TAKEOVERIMPL_H

#include "fs/fs.h"

/* Whether the record is a node. */
bool takeover_is_node(struct clawfs *fs, uint32_t node);

/* Which names the change under way was about; their number. */
unsigned intent_names(struct clawfs *fs, struct name_drop drop[2]);
/* The node that it takes a name from for good, 0 none. */
uint32_t intent_victim(struct clawfs *fs);
/* Completes or undoes it. */
void intent_settle(struct clawfs *fs, const struct name_drop drop[2], msec_t now);

/* Flags of nodes, places, marks and descriptors of files, as the trees say. */
void takeover_look(struct clawfs *fs, msec_t now);

#endif
