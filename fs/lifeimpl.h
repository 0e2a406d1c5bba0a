/* What life.c (the table of logs) and lifethread.c (what is done to them) share. For nobody else. All but
 * life_wall_now with life.lock held. */
#ifndef CLAWFS_LIFEIMPL_H
#define CLAWFS_LIFEIMPL_H

#include "fs/fs.h"

wall_t life_wall_now(void);
/* The thread is to wake at `at`, if it would sleep for longer. */
void life_wake(struct life *l, msec_t at);
/* Asks again when the log is due. */
void life_update(struct clawfs *fs, uint32_t log);
/* Frees the entry if nothing is left of it. */
void life_leave(struct life *l, uint32_t log);
/* Archives came or went. */
void life_judge_soon(struct life *l, msec_t now);

#endif
