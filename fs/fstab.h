/* What mount(8) and fstab(5) say to every file system, and how mount(8) calls its helpers: mount.clawfs and
 * mount.fuse.clawfs are names of this program. */
#ifndef CLAWFS_FSTAB_H
#define CLAWFS_FSTAB_H

#include <stdbool.h>

enum fstab_option {
	FSTAB_UNKNOWN, /* not of these */
	FSTAB_KERNEL,  /* to be handed on to mount(2): "noexec", "ro" */
	FSTAB_IGNORED, /* was for mount(8) or for systemd: "nofail", "x-systemd.automount" */
	FSTAB_REMOUNT  /* a running FUSE mount's options cannot be changed */
};

/* Which of them `name` is; `valued`: a "=" followed it. */
enum fstab_option fstab_option(const char *name, bool valued);

/* Whether the program was called under a helper's name. */
bool fstab_is_helper(const char *argv0);

enum fstab_call {
	FSTAB_RUN,  /* `out` has clawfs's own arguments: SOURCE MOUNTPOINT -o OPTIONS ... */
	FSTAB_DONE, /* mount --fake: nothing is to be done */
	FSTAB_USAGE /* the line is printed */
};

/* Reads a helper's arguments: SOURCE DIR [-sfnvrw] [-t TYPE] [-N NAMESPACE] [-o OPTIONS] (mount(8), "External
 * helpers"). `out` has room for 2 * argc + 2 words, the last of which is NULL; *out_count of them are clawfs's. */
enum fstab_call fstab_helper_args(int argc, char **argv, char **out, int *out_count);

#endif
