/* All actors at work, each in a thread of its own, and their acknowledgements. */
#ifndef CLAWFS_TESTS_CRASH_CREW_H
#define CLAWFS_TESTS_CRASH_CREW_H

#include "load.h"

struct crew;

struct crew_options {
	const char *mnt;  /* where they work; may be absent when only checking */
	const char *acks; /* directory of the acknowledgements, off the mount; made */
	const char *only; /* comma-separated names of actors; NULL: all */
	uint64_t seed;
	double pace;	    /* how many times as fast as the kinds say */
	bool short_windows; /* judge by short_ms */
	bool forgets_times; /* see struct actor */
	bool fresh;	    /* forget earlier acknowledgements */
};

/* NULL with a line on stderr. */
struct crew *crew_create(const struct crew_options *options);
/* Stops them first. */
void crew_destroy(struct crew *c);

/* Directories and files that are there before the first operation. 0 or -1. */
int crew_prepare(const char *root);

/* Lets all work. */
void crew_go(struct crew *c);
/* No operation is begun any more; returns when none runs. */
void crew_halt(struct crew *c);
/* From now on, until crew_go, an operation that fails means nothing: the mount is killed. */
void crew_expect_failure(struct crew *c);
/* Closes what they hold open. Halted. */
void crew_drop(struct crew *c);
/* Operations that failed though nothing was to fail; the first is described on stderr. */
unsigned crew_errors(struct crew *c);
/* Operations acknowledged by all together. */
uint64_t crew_done(struct crew *c);
/* Longest time between begin and acknowledgement of an operation since the last call. */
usec_t crew_longest(struct crew *c);

/* Judges all actors. Halted, or not of this process. For JUDGE_CUT `cut` says when, `slack` what is added to the
 * windows. With `settle` an operation in doubt is found to have been done or not, so that the crew may go on.
 * Returns how many actors are wrong, each with a line on stderr. */
unsigned crew_check(struct crew *c, const char *root, enum judge judge, usec_t cut, usec_t slack, bool settle);
/* Prints per actor: operations, and the largest loss that crew_check has seen. */
void crew_report(struct crew *c);

#endif
