/* SIGHUP: all layers are read again (layers.h), and what may change while it is mounted changes. What may not, and
 * what is wrong, keeps its value; the log says each of them, with the place it comes from. */
#ifndef CLAWFS_RELOAD_H
#define CLAWFS_RELOAD_H

#include "fs/fs.h"

/* No lock held. */
void reload(struct clawfs *fs);

/* The configuration in force, for `.clawfs/config`; see layers_show. */
struct listing;
void reload_show(struct clawfs *fs, struct listing *out);

#endif
