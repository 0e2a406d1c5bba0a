/* One epoch: make this set of files durable.
 *
 * The one entry through which anything that is held in RAM reaches the lower.
 * All files of the set are written, then their fdatasyncs are issued together
 * so that they share a journal commit, then replacements are renamed into
 * place, then the directories that changed are synced, together again. */
#ifndef CLAWFS_EPOCH_H
#define CLAWFS_EPOCH_H

#include "policy/types.h"
#include <stdint.h>

struct clawfs;

/* Flushes those of the files that are dirty now. Files that are clean,
 * nameless or already being flushed are passed over. Returns how many were
 * made durable, or the first failure (negative errno of the lower) after
 * having tried all; a file that failed stays dirty, in RAM (P9), and its retry
 * is scheduled. `cause` CAUSE_NONE lets each file's policy say why.
 * The caller holds a reference on each file, and no lock. */
int epoch_run(struct clawfs *fs, const uint32_t *slots, uint32_t count, enum policy_cause cause);

/* Sets times on the lower that an identical save left to be set (NODE_TIMES).
 * No lock held. */
void epoch_set_times(struct clawfs *fs);

#endif
