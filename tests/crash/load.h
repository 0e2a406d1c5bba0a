/* The mixed load of the crash, power cut, fault and soak tiers, and what must be left of it.
 *
 * An *actor* does numbered operations on files of its own, one after the other. What operation n does
 * follows from the seed, the actor and n alone, so that what must be on a disk can be said from two
 * numbers: an actor's files must be in the state after some operation in [min, max], where `min` is the last
 * that must have lasted and `max` the last that had begun. Begin and acknowledgement of each operation are
 * noted in a file off the mount (struct ack), so that one process can judge what another did.
 *
 * Times are microseconds of CLOCK_MONOTONIC. Functions return 0 or a negative errno unless they say
 * otherwise. */
#ifndef CLAWFS_TESTS_CRASH_LOAD_H
#define CLAWFS_TESTS_CRASH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint64_t usec_t;

struct ack {
	usec_t begin;
	usec_t end; /* 0: not acknowledged */
};
#define ACKS_MAX (1u << 20) /* operations of one actor */

struct actor;

/* How sharply an actor's files are judged. */
enum judge {
	JUDGE_MOUNT, /* the mount after a kill: exactly the state of min or of max */
	JUDGE_LOWER, /* the lower after a clean end: the same */
	JUDGE_CUT,   /* the lower after a power cut: a state in [min, max], and each file by the rule of its class */
	JUDGE_FAULT, /* the mount after an operation that failed: as JUDGE_MOUNT, but that one may be half done */
};

struct verdict {
	uint32_t found; /* the last operation of which something was seen */
	bool partial;	/* the one after it is half there */
	char why[512];	/* what is wrong */
};

struct actor_kind {
	const char *name;   /* also of its file of acknowledgements */
	const char *path;   /* what it works on, below the root */
	unsigned window_ms; /* a power cut may cost so much of it (P4), with the default options */
	unsigned short_ms;  /* and so much with those of `windows=short` in cuts.sh */
	unsigned pause_us;  /* between operations, at pace 1 */
	unsigned arg;	    /* the kind's own */
	bool kill_only;	    /* a power cut costs it what the card's own file system costs: not judged then */
	/* Operation n, from the state of n - 1, or, when `a->doubt`, from that, n's or one between. */
	int (*step)(struct actor *a, uint32_t n);
	/* Whether the files below `root` are as they must be; 0, or -1 with `why`. */
	int (*check)(struct actor *a, const char *root, enum judge judge, uint32_t min, uint32_t max,
		     struct verdict *v);
	void (*drop)(struct actor *a); /* closes what it holds open: the mount is gone */
};

struct actor {
	const struct actor_kind *kind;
	uint64_t seed;
	char root[512];	    /* of the mount */
	bool doubt;	    /* the last operation failed; nobody knows how far it came */
	bool stale;	    /* the one before was cut off, and was found to be done: it may have left its lock */
	bool gone;	    /* the mount may fail: errors mean nothing */
	bool forgets_times; /* a remount may cost a file of identical content the time it was given (DESIGN.md, section
			       2) */
	int fd;		    /* held open between operations; -1 */
	void *own;	    /* the kind's, freed with the actor */
	char error[256];
};

extern const struct actor_kind *const actor_kinds[];
extern const unsigned actor_kind_count;

/* stream.c */
extern const struct actor_kind kind_log, kind_append, kind_audit, kind_workerlog;
/* version.c */
extern const struct actor_kind kind_sessions, kind_state, kind_config, kind_synced;
/* database.c */
extern const struct actor_kind kind_rows, kind_busydb;
int database_work(char **args); /* what the process that they start runs */
/* data.c */
extern const struct actor_kind kind_data;
/* names.c */
extern const struct actor_kind kind_names, kind_plain;
/* gone.c */
extern const struct actor_kind kind_gone;

/* --- what they share (load.c) ---------------------------------------------- */

usec_t usec_now(void);
/* A random number that follows from all three. */
uint64_t mix(uint64_t seed, uint64_t stream, uint64_t n);
/* Fills with printable bytes that follow from `n`. */
void fill(char *buf, size_t len, uint64_t n);
/* Full name of `path` below `root`, in a buffer of the thread's; four can be used at a time. */
const char *below(const char *root, const char *path);
/* A whole file, to be freed; -1 and errno when it cannot be read. */
ssize_t slurp(const char *path, char **data);
/* All of it or a negative errno, by one call. */
int put(int fd, const void *buf, size_t len);
/* Notes in the actor what failed, and returns -errno. */
int failed(struct actor *a, const char *what);
/* Writes `why`; returns -1. */
__attribute__((format(printf, 2, 3))) int wrong(struct verdict *v, const char *format, ...);

#endif
