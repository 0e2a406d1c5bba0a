/* `.clawfs/metrics`: everything that is counted, for a monitoring system, in the text format of OpenMetrics 1.0
 * (github.com/OpenObservability/OpenMetrics, specification/OpenMetrics.md). Counters begin at 0 with the mount, but
 * those of the device.
 *
 * `.clawfs/history`: the last hour, minute by minute, for people and scripts: one line that names the columns, and
 * then a line for each full minute, the oldest first. Columns are separated by blanks, and later releases only add
 * some at the end:
 *   end           of the minute, UTC, by the wall clock of now
 *   app_writes    write calls of applications, but those the kernel passes through
 *   app_bytes
 *   lower_writes  replaces, appends and writes on the lower
 *   lower_bytes
 *   dev_writes    what the device itself has counted, of everybody: requests,
 *   dev_bytes     bytes,
 *   dev_flushes   flushes of its cache; "-" where that is not known, and for minutes in which the mount was idle
 *   log_bytes     written to logs
 *   saves         of snapshots (sessions.json) that were superseded or flushed
 *   replaces      of those, that reached the lower
 *   checkpoints   of databases, whoever made them
 *   reads_ram     reads that reached the daemon and were answered from RAM,
 *   reads_lower   from the lower
 *   db_asked      syncs of databases: asked for by applications,
 *   db_done       done,
 *   db_elided     acknowledged and left to the next one that is done
 *   errors        flushes that failed
 *
 * What is counted is the worker's: when one dies, the next begins at 0, with an empty history.
 *
 * Neither is there with metrics=off. */
#ifndef CLAWFS_METRICS_H
#define CLAWFS_METRICS_H

#include "fs/listing.h"

/* No lock held. */
void metrics_write(struct clawfs *fs, struct listing *out, msec_t now);
void metrics_history(struct clawfs *fs, struct listing *out, msec_t now);

#endif
