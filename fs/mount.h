/* What comes before and at mount(2): checks, and one line for each thing that
 * can be wrong. */
#ifndef CLAWFS_MOUNT_H
#define CLAWFS_MOUNT_H

#include "fs/fs.h"
#include "fs/options.h"

struct fuse_args;

/* Resolves source and mount point into `fs`, takes a dead mount away, and
 * refuses what is mounted already. 0 or -1, with the line on stderr. */
int mount_resolve(struct clawfs *fs, const struct options *options);

/* Refuses what cannot work here. 0 or -1, with the line on stderr. */
int mount_check(const struct options *options);

/* The FUSE session's arguments. 0 or -ENOMEM. */
int mount_args(struct fuse_args *args, const struct clawfs *fs, const struct options *options);

/* Takes the mount away, if it is still there, without the session. */
void mount_detach(struct clawfs *fs);

/* Mounts. -1 with the reason and the remedy in `why`. */
int mount_attach(struct clawfs *fs, char *why, size_t why_size);

#endif
