/* From a command line to a mount, and from an unmount to an end. */
#ifndef CLAWFS_SESSION_H
#define CLAWFS_SESSION_H

#include "fs/fs.h"
#include "fs/options.h"

/* Mounts and serves until unmounted or told to end; then flushes everything
 * (P8). Unless -f was given, forks: the parent returns once the mount is live.
 * The layers of the configuration are read first (options_load).
 * The process's exit status: 0; 2 when the configuration is wrong; 1 with one line on stderr, and no mount and no
 * file left behind; also 1 when not everything could be flushed, with the
 * upper kept for the next mount. */
int session_run(struct options *options);

#endif
