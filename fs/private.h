/* A directory that is the daemon's alone: the upper, and where rescues go. */
#ifndef CLAWFS_PRIVATE_H
#define CLAWFS_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

/* Opens the directory `path` (relative to `dirfd`), making it with mode 0700 if need be; `existed` says whether it was
 * there. /dev/shm and /var/tmp belong to everybody: what another user has prepared there, a link, or what others may
 * enter is refused (P10). `what` and `option` are for the sentence, with thing, reason and remedy, that `why` gets.
 * A descriptor, or a negative errno. */
int private_dir_open(int dirfd, const char *path, bool *existed, const char *what, const char *option, char *why,
		     size_t why_size);

#endif
