/* Flushing, and saying what it brought to the lower. */
#ifndef CLAWFSCTL_FLUSH_H
#define CLAWFSCTL_FLUSH_H

#include "tools/clawfsctl/snapshot.h"

/* Flushes `place->inside` and, unless `quiet`, prints what that took. CTL_OK; CTL_UNFLUSHED or CTL_FAILED with the line
 * printed. */
int flush_place(const struct ctl_command *self, const struct place *place, bool quiet);

#endif
