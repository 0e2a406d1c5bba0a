/* The modes of the program `crash`, and how they get at its arguments. Each returns the exit status. */
#ifndef CLAWFS_TESTS_CRASH_MODES_H
#define CLAWFS_TESTS_CRASH_MODES_H

#include "crew.h"

/* The value of key=value; `otherwise` NULL: it must be there. */
const char *argument(const char *key, const char *otherwise);
long long argument_number(const char *key, long long otherwise);
/* only=, seed= and pace=. */
struct crew_options crew_arguments(const char *mnt, const char *acks);

int mode_kill(void);   /* kill.c */
int mode_points(void); /* points.c */
int mode_faults(void); /* faults.c */
int mode_soak(void);   /* soak.c */

/* --- what they share (kill.c) --- */

struct daemon;
/* Starts it, and judges what it shows to the byte. 0 or -1. */
int remount_and_judge(struct daemon *d, struct crew *c, const char *options);
/* With keep=1: what the next mount finds goes to found/ in `dir`, for whoever looks into a failure. */
void keep_copy(const struct daemon *d, const char *dir);
/* Ends it, and judges the lower to the byte. 0 or -1. */
int end_and_judge(struct daemon *d, struct crew *c);
/* Processes that have something open below `dir`, on stderr, for whoever looks into a failure. */
void say_who_holds(const char *dir);

#endif
