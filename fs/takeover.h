/* How a worker takes over what the one before it has left when it died, at any
 * instruction: a view that is derived by looking.
 *
 *   what                        taken from
 *   names, nodes, open files    the tables; what joins records is made anew (fs/noderevive.c)
 *   a change of names under way the intent, completed or undone (takeover_names.c)
 *   where a file's bytes are    the upper tree and the lower (takeover_files.c)
 *   since when a file waits     its record: windows do not double (P4); what was being flushed waits on
 *   descriptors                 the records'; all others are closed
 *   what databases owe          nothing is believed: all of it is synced
 *   requests done, unanswered   fs/request.h
 *   counts, RAM, deadlines      made anew
 *   listings of directories     made anew; readdir's offsets come from names
 *
 * What is lost: references of the kernel that were given back or taken in the
 * very moment (a node more stays in memory). It may die itself at any
 * instruction: the next one begins again. */
#ifndef CLAWFS_TAKEOVER_H
#define CLAWFS_TAKEOVER_H

#include "fs/fs.h"

/* Before the first worker: notes in fs->kept which descriptors are the supervisor's. 0 or a negative errno. */
int takeover_keep(struct clawfs *fs);

/* In a fresh worker, before it has threads. 0 or a negative errno: it cannot serve. */
int takeover(struct clawfs *fs, msec_t now);

#endif
