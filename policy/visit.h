/* When does the steward visit a database, and what for? One struct
 * policy_visit a database.
 *
 *   reason     when
 *   ENFORCE    it is not in WAL mode: once it was quiet for VISIT_QUIET_MS, or VISIT_PATIENCE_MS after it was
 *              seen, whichever is first (so that a new database is in WAL mode within 2 s)
 *   CHECKPOINT sqlite_checkpoint_ms after the last visit, if the WAL has changed since
 *   TRUNCATE   the WAL is larger than sqlite_wal_limit
 *
 * A visit that found the database locked is repeated with a growing distance,
 * one that failed otherwise only after the application has used the database
 * again, and not within VISIT_FAILED_MS. A database that the application has
 * not touched since is not visited. */
#ifndef CLAWFS_POLICY_VISIT_H
#define CLAWFS_POLICY_VISIT_H

#include "policy/types.h"

#define VISIT_QUIET_MS	  150
#define VISIT_PATIENCE_MS 1000
#define VISIT_RETRY_MS	  50
#define VISIT_RETRY_MAX	  2000
#define VISIT_BUSY_MANY	  8 /* visits in vain; then the next is made when the application has used it again */
#define VISIT_FAILED_MS	  60000

enum visit_work { VISIT_ENFORCE = 1, VISIT_CHECKPOINT = 2, VISIT_TRUNCATE = 4 };

struct visit_rules {
	bool enforce;
	int64_t checkpoint_ms; /* 0: never */
	int64_t wal_limit;     /* bytes; 0: none */
};

struct policy_visit {
	bool rollback; /* not in WAL mode */
	bool touched;  /* the WAL changed since the last visit */
	bool running;
	msec_t rollback_since; /* first seen so */
	msec_t active_at;      /* last change by the application */
	msec_t last;	       /* end of the last visit, or when the database was first seen */
	msec_t retry_at;
	uint32_t busy; /* visits in a row that found it locked */
	uint64_t wal_bytes;
};

enum visit_result { VISIT_DONE, VISIT_BUSY, VISIT_FAILED };

void policy_visit_init(struct policy_visit *v, msec_t now);
/* The header says how commits are made. */
void policy_visit_mode(struct policy_visit *v, bool rollback, msec_t now);
/* The application wrote to the database or its WAL, which now has `wal_bytes`. */
void policy_visit_active(struct policy_visit *v, bool wal, uint64_t wal_bytes, msec_t now);
/* When, MSEC_NEVER if at all not; what for, at `now` (0: nothing yet). */
msec_t policy_visit_due(const struct policy_visit *v, const struct visit_rules *rules);
unsigned policy_visit_work(const struct policy_visit *v, const struct visit_rules *rules, msec_t now);
void policy_visit_begin(struct policy_visit *v);
void policy_visit_end(struct policy_visit *v, enum visit_result result, msec_t now);

#endif
