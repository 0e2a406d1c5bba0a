/* Databases in the stats. */
#include "fs/fs.h"
#include "fs/listing.h"
#include <limits.h>
#include <string.h>

static const char *const mode_names[] = {[DB_UNKNOWN] = "unknown", [DB_ROLLBACK] = "rollback", [DB_WAL] = "wal"};

typedef void db_show_fn(struct listing *out, const struct db *d, const char *path, msec_t now, bool first);

static void for_each(struct clawfs *fs, struct listing *out, msec_t now, db_show_fn *show)
{
	uint32_t end = shm_table_end(fs->dbs.table);
	bool first = true;

	for (uint32_t i = 1; i < end; i++) {
		char path[PATH_MAX];
		pthread_rwlock_rdlock(&fs->tree);
		pthread_mutex_lock(&fs->dbs.lock);
		struct db d = *db_at(fs, i);
		pthread_mutex_unlock(&fs->dbs.lock);
		bool known = d.node && node_path(&fs->nodes, d.node, path, sizeof(path)) == 0;
		pthread_rwlock_unlock(&fs->tree);
		if (!known)
			continue;
		show(out, &d, path, now, first);
		first = false;
	}
}

static long long ago(msec_t at, msec_t now)
{
	return at ? (long long)(now - at) : 0;
}

static void show_text(struct listing *out, const struct db *d, const char *path, msec_t now, bool first)
{
	const struct policy_barrier *b = &d->barrier;

	if (first)
		listing_text(out, "\ndatabases:\n%-8s %10s %8s %8s %8s %10s %6s %6s  %s\n", "mode", "WAL bytes",
			     "asked", "done", "elided", "longest ms", "ckpts", "busy", "path");
	listing_text(out, "%-8s %10llu %8llu %8llu %8llu %10lld %6llu %6llu  %s%s", mode_names[d->mode],
		     (unsigned long long)d->wal_bytes, (unsigned long long)b->fsyncs_asked,
		     (unsigned long long)b->fsyncs_done, (unsigned long long)b->fsyncs_elided, (long long)b->longest,
		     (unsigned long long)d->checkpoints, (unsigned long long)d->retries, path,
		     d->excluded ? " (excluded)" : "");
	if (d->changed_at)
		listing_text(out, "; another mode set %lld s ago by %s (pid %d)", ago(d->changed_at, now) / 1000,
			     d->changed_comm[0] ? d->changed_comm : "?", (int)d->changed_by);
	if (d->enforced)
		listing_text(out, "; put into WAL mode %u times, last %lld s ago", d->enforced,
			     ago(d->enforced_at, now) / 1000);
	if (d->trouble[0])
		listing_text(out, "; LEFT AS IT IS: %s", d->trouble);
	if (b->error)
		listing_text(out, "; THE LOWER REFUSES: %s", strerror(-b->error));
	listing_text(out, "\n");
}

static void show_json(struct listing *out, const struct db *d, const char *path, msec_t now, bool first)
{
	const struct policy_barrier *b = &d->barrier;

	listing_text(out, "%s", first ? "" : ",");
	listing_json_string(out, path);
	listing_text(out,
		     ":{\"mode\":\"%s\",\"excluded\":%s,\"enforced\":%u,\"enforced_ms_ago\":%lld,\"changed_by\":%d,"
		     "\"changed_ms_ago\":%lld,\"wal_bytes\":%llu,"
		     "\"fsyncs_asked\":%llu,\"fsyncs_done\":%llu,\"fsyncs_elided\":%llu,\"longest_wait_ms\":%lld,"
		     "\"checkpoints\":%llu,\"checkpoint_ms\":%.3f,\"retries\":%llu,\"error\":%d,\"changed_comm\":",
		     mode_names[d->mode], d->excluded ? "true" : "false", d->enforced, ago(d->enforced_at, now),
		     (int)d->changed_by, ago(d->changed_at, now), (unsigned long long)d->wal_bytes,
		     (unsigned long long)b->fsyncs_asked, (unsigned long long)b->fsyncs_done,
		     (unsigned long long)b->fsyncs_elided, (long long)b->longest, (unsigned long long)d->checkpoints,
		     (double)d->checkpoint_us / 1000, (unsigned long long)d->retries, -b->error);
	listing_json_string(out, d->changed_comm);
	listing_text(out, ",\"trouble\":");
	listing_json_string(out, d->trouble);
	listing_text(out, "}");
}

void db_stats_text(struct clawfs *fs, struct listing *out, msec_t now)
{
	for_each(fs, out, now, show_text);
}

void db_stats_json(struct clawfs *fs, struct listing *out, msec_t now)
{
	listing_text(out, ",\"sqlite\":{");
	for_each(fs, out, now, show_json);
	listing_text(out, "}");
}

void db_stats_metrics(struct clawfs *fs, struct listing *out)
{
	uint32_t end = shm_table_end(fs->dbs.table);
	unsigned long long count[DB_WAL + 1] = {0}, bytes = 0;

	for (uint32_t i = 1; i < end; i++) {
		pthread_rwlock_rdlock(&fs->tree);
		pthread_mutex_lock(&fs->dbs.lock);
		const struct db *d = db_at(fs, i);
		if (d->node) {
			count[d->mode]++;
			bytes += d->wal_bytes;
		}
		pthread_mutex_unlock(&fs->dbs.lock);
		pthread_rwlock_unlock(&fs->tree);
	}
	listing_text(out, "# TYPE clawfs_databases gauge\n# HELP clawfs_databases Databases by journal mode.\n");
	for (int mode = 0; mode <= DB_WAL; mode++)
		listing_text(out, "clawfs_databases{mode=\"%s\"} %llu\n", mode_names[mode], count[mode]);
	listing_text(out,
		     "# TYPE clawfs_wal_bytes gauge\n# UNIT clawfs_wal_bytes bytes\n"
		     "# HELP clawfs_wal_bytes Bytes of write-ahead logs.\nclawfs_wal_bytes %llu\n",
		     bytes);
}
