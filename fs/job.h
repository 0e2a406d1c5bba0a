/* One file's part in an epoch, step by step; see epoch.h. Each step is a
 * function here, so that the order is to be read in epoch.c alone. */
#ifndef CLAWFS_JOB_H
#define CLAWFS_JOB_H

#include "fs/fs.h"
#include <limits.h>

struct job {
	uint32_t slot, node, parent;
	char name[NAME_MAX + 1];
	/* Says whether what is now called `name` descends from this file: a
	 * save that is replaced by the next one while it is flushed may still
	 * be renamed into place (P4 under steady saves), one whose name was
	 * unlinked may not. */
	uint64_t lineage;
	uint64_t version;
	enum policy_class cls;
	enum policy_cause cause;
	msec_t begin;
	bool append;	  /* the tail, else the whole */
	bool own;	  /* in place: the lower's file of this name is this one, attributes are kept */
	bool retry;	  /* an earlier flush failed, wholly or in part */
	bool distrust;	  /* so that what the lower shows of it may not be on the card, and never get there */
	bool sync_failed; /* of the file itself; set by epoch.c */
	bool created;	  /* a name appeared on the lower */
	bool identical;	  /* the lower has these bytes already */
	bool followed;	  /* complete lines too, for who follows the log (rotate.h) */
	bool left;	  /* an unfinished last line stays behind */
	bool cancelled;	  /* the name is gone */
	bool rewriting;	  /* it was being rewritten when this began, and is flushed all the same */
	bool aborted; /* to be begun anew: its writer began to rewrite it after this began, so that there is no version
		       * to be had (P3); or the lower's file that was the same is not the name's any more */
	off_t from, to; /* bytes to write */
	struct stat st; /* of the upper file */
	int src;	/* on the upper file */
	int fd;		/* on the lower file or its replacement */
	int dir;	/* the parent on the lower, our own; -1 not yet needed */
	int old;	/* holds what the replacement replaces; -1 */
	int temp_dir;	/* where the replacement is; -1 none */
	char temp[48];
	int error;
	bool active;
};

/* The steps; no lock held. */

/* Takes what is dirty: false when there is nothing to do. */
bool job_begin(struct clawfs *fs, struct job *job, uint32_t slot, enum policy_cause cause);
/* Writes to the lower, without waiting for the card. */
void job_write(struct clawfs *fs, struct job *job);
/* Renames a replacement into place, without a lock (underway.h). */
void job_commit(struct clawfs *fs, struct job *job);
/* Books the outcome; closes and frees. `now` is when it was durable. */
void job_end(struct clawfs *fs, struct job *job, msec_t now);

/* --- for the files that implement them (job.c, jobwrite.c, jobcommit.c); tree lock held --- */

/* Sees to job->dir. 0 or a negative errno. */
int job_hold_dir(struct clawfs *fs, struct job *job);
/* What the mount now has under the job's name, if that is (a successor of) its file; else 0. */
uint32_t job_current(struct clawfs *fs, const struct job *job);

#endif
