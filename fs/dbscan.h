/* Databases on the lower, when nobody else can be there: before the mount is
 * served and after it has ended. */
#ifndef CLAWFS_DBSCAN_H
#define CLAWFS_DBSCAN_H

struct clawfs;

/* Finds every database by its header, whatever its name; lets the steward put
 * those that are not excluded into WAL mode (SQLite rolls back a hot journal
 * on the way), and gives each a record. What is no database although its name
 * says so, or cannot be read, is left as it is and said once in the log. Takes
 * the tree lock; no request may be served yet. */
void dbscan_enforce(struct clawfs *fs);

/* Folds every WAL into its database, so that a clean unmount leaves one file
 * each (P8). 0, or the first error: then that WAL stays, and SQLite reads it. */
int dbscan_fold(struct clawfs *fs);

#endif
