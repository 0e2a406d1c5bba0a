/* What the parts of the handling of databases share: db.c (which files are
 * one, their names), dbsync.c (what must be durable, around each change). For nobody else. */
#ifndef CLAWFS_DBIMPL_H
#define CLAWFS_DBIMPL_H

#include "fs/db.h"

/* Where the header says how commits are made: 2 is WAL (SQLite, fileformat2.html 1.3.3). */
#define SQLITE_READ_VERSION 19

/* What a file is to a database, and which. */
enum db_role { DB_ROLE_NONE, DB_ROLE_MAIN, DB_ROLE_WAL };

/* Of a node, or of the name below `parent`. Tree lock held. */
enum db_role db_role_of(struct clawfs *fs, uint32_t node, uint32_t *db);
enum db_role db_role_of_name(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *db);

/* Whether the user wants it left as it is. Tree lock held. */
bool db_is_excluded(struct clawfs *fs, uint32_t node);
/* Under its present name the database is ours to handle, or not. Everything of it is durable. dbs.lock held. */
void db_judge(struct clawfs *fs, struct db *d, bool excluded);

/* Books the mode that the header says. `pid`: who set it, 0 not known. dbs.lock held. */
void db_note_mode(struct db *d, const uint8_t *header, int pid, bool by_steward, msec_t now);

/* Does what the event needs before it may be. Negative errno of the sync that failed. No lock held. */
int db_settle_before(struct clawfs *fs, uint32_t index, enum barrier_event event);

/* Tells the barrier what the kernel has written to the database's WAL past us. `asked`: it is to be synced, so
 * something was written, although times are too coarse to show it. No lock held. */
void db_wal_look(struct clawfs *fs, uint32_t index, bool asked, msec_t when);

#endif
