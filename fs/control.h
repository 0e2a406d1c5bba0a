/* .clawfs at the mount's root: `stats`, `stats.json`, `config`, `metrics`, `history`, `dirty` to read, `control` to
 * write. Not listed; owned by the owner of the mounted directory; `control` and
 * `dirty`, which names files of any directory, are the owner's alone (P10). */
#ifndef CLAWFS_CONTROL_H
#define CLAWFS_CONTROL_H

#include "fs/listing.h"

#define CONTROL_DIR                                                                                                    \
	"."                                                                                                            \
	"clawfs"

enum {
	NODE_CTL_STATS = NODE_CTL_DIR + 1,
	NODE_CTL_JSON,
	NODE_CTL_CONTROL,
	NODE_CTL_DIRTY,
	NODE_CTL_CONFIG,
	NODE_CTL_METRICS,
	NODE_CTL_HISTORY,
	NODE_CTL_END
};

/* The virtual node of that name in .clawfs, or 0. */
uint32_t control_find(const struct clawfs *fs, const char *name);
/* What stat shows for a virtual node. */
void control_stat(struct clawfs *fs, uint32_t node, struct stat *st);
/* The names in .clawfs. NULL without memory. */
struct listing *control_list(const struct clawfs *fs);
/* The text of such a file as of now. NULL without memory. */
struct listing *control_read(struct clawfs *fs, uint32_t node, msec_t now);

/* Carries out one command, which is one write to `control`. "flush" returns
 * when everything is durable, "flush PATH" (from the mount's root) when that
 * file, or all below that directory, is. 0; the flush's errno; -EINVAL for an unknown
 * command, with a line in the log that names those there are. */
int control_command(struct clawfs *fs, const char *text, size_t len);

#endif
