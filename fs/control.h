/* .clawfs at the mount's root: `stats`, `stats.json`, `config` to read, `control` to
 * write. Not listed; owned by the owner of the mounted directory; `control`
 * is the owner's alone (P10). */
#ifndef CLAWFS_CONTROL_H
#define CLAWFS_CONTROL_H

#include "fs/listing.h"

#define CONTROL_DIR                                                                                                    \
	"."                                                                                                            \
	"clawfs"

enum { NODE_CTL_STATS = NODE_CTL_DIR + 1, NODE_CTL_JSON, NODE_CTL_CONFIG, NODE_CTL_CONTROL };

/* The virtual node of that name in .clawfs, or 0. */
uint32_t control_find(const char *name);
/* What stat shows for a virtual node. */
void control_stat(struct clawfs *fs, uint32_t node, struct stat *st);
/* The names in .clawfs. NULL without memory. */
struct listing *control_list(void);
/* The text of a file to read, as of now. NULL without memory. */
struct listing *control_read(struct clawfs *fs, uint32_t node, msec_t now);

/* Carries out one command, which is one write to `control`: "flush" returns
 * when everything is durable. 0; the flush's errno; -EINVAL for an unknown
 * command, with a line in the log that names those there are. */
int control_command(struct clawfs *fs, const char *text, size_t len);

#endif
