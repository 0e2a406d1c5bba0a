/* Which mount is meant, and its files below .clawfs. */
#ifndef CLAWFSCTL_PLACE_H
#define CLAWFSCTL_PLACE_H

#include "tools/clawfsctl/ctl.h"
#include <limits.h>
#include <stddef.h>

struct place {
	char mountpoint[PATH_MAX];
	char inside[PATH_MAX]; /* what the argument names, from the mount's root; "" the root itself */
};

/* The mount that `arg` names or lies in; without one the only clawfs mount
 * there is, or ~/.secureclaw. CTL_OK; or, with the line printed, CTL_NO_MOUNT, CTL_FAILED, or CTL_USAGE when
 * there are several. */
int place_find(const struct ctl_command *self, const char *arg, struct place *place);

/* The text of a file below .clawfs, to be freed; NULL with the line printed and *status set. */
char *place_read(const struct ctl_command *self, const struct place *place, const char *file, int *status);

/* Whether nobody can write into the mount, not even a command. */
bool place_is_read_only(const struct place *place);

/* Writes one command to .clawfs/control and waits for it. 0 or a negative errno. */
int place_command(const struct place *place, const char *text);

/* One mount of /proc/self/mountinfo. */
struct place_mount {
	char at[PATH_MAX];
	char source[PATH_MAX];
	char type[64];
	char options[1024]; /* of the mount and of its file system */
	unsigned major, minor;
};

/* Calls `each` for every mount, in their order; stops when it returns false. False when they cannot be read. */
bool place_mounts(bool (*each)(const struct place_mount *m, void *arg), void *arg);

/* The mount that shows at `path`, a clawfs only when `clawfs`, else what is below it. False when there is none. */
bool place_covering(const char *path, bool clawfs, struct place_mount *out);

#endif
