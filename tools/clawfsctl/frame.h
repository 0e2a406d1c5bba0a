/* One frame of `clawfsctl top`: rates of the last minute, or since it began if that is shorter. */
#ifndef CLAWFSCTL_FRAME_H
#define CLAWFSCTL_FRAME_H

#include "tools/clawfsctl/snapshot.h"

struct frame;

/* `delay` in seconds between frames, for the head line; 0: there is only one. NULL without memory. */
struct frame *frame_create(double delay);
void frame_destroy(struct frame *frame);

/* Prints it, and keeps what the next one needs. The first shows the daemon's own last full minute. */
void frame_show(struct frame *frame, const struct place *place, struct snapshot *s);

#endif
