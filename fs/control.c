#include "fs/control.h"
#include "fs/blockdev.h"
#include "fs/dirty.h"
#include "fs/gauge.h"
#include "fs/metrics.h"
#include "fs/reload.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	mode_t mode;
} entries[] = {
	[NODE_CTL_DIR] = {CONTROL_DIR, S_IFDIR | 0555},	  [NODE_CTL_STATS] = {"stats", S_IFREG | 0440},
	[NODE_CTL_JSON] = {"stats.json", S_IFREG | 0440}, [NODE_CTL_CONFIG] = {"config", S_IFREG | 0440},
	[NODE_CTL_CONTROL] = {"control", S_IFREG | 0600}, [NODE_CTL_DIRTY] = {"dirty", S_IFREG | 0400},
	[NODE_CTL_METRICS] = {"metrics", S_IFREG | 0440}, [NODE_CTL_HISTORY] = {"history", S_IFREG | 0440},
};
_Static_assert(sizeof(entries) / sizeof(*entries) == NODE_CTL_END, "a name for each");

static bool is_there(const struct clawfs *fs, uint32_t node)
{
	return fs->config.metrics || (node != NODE_CTL_METRICS && node != NODE_CTL_HISTORY);
}

uint32_t control_find(const struct clawfs *fs, const char *name)
{
	for (uint32_t i = NODE_CTL_STATS; i < NODE_CTL_END; i++)
		if (is_there(fs, i) && strcmp(entries[i].name, name) == 0)
			return i;
	return 0;
}

void control_stat(struct clawfs *fs, uint32_t node, struct stat *st)
{
	struct stat root = {0};

	fs->lower.sys->fstat(fs->lower.root, &root);
	memset(st, 0, sizeof(*st));
	st->st_ino = fs_node(fs, node)->ino;
	st->st_mode = entries[node].mode;
	st->st_nlink = S_ISDIR(st->st_mode) ? 2 : 1;
	st->st_uid = root.st_uid;
	st->st_gid = root.st_gid;
	st->st_atim = st->st_mtim = st->st_ctim = clock_stamp();
}

struct listing *control_list(const struct clawfs *fs)
{
	struct listing *list = listing_create();
	bool ok = list && listing_add(list, ".", NODE_CTL_DIR, DT_DIR) && listing_add(list, "..", NODE_ROOT, DT_DIR);

	for (uint32_t i = NODE_CTL_STATS; ok && i < NODE_CTL_END; i++)
		ok = !is_there(fs, i) || listing_add(list, entries[i].name, i, DT_REG);
	if (ok) {
		listing_sort(list);
		return list;
	}
	listing_destroy(list);
	return NULL;
}

/* --- text ---------------------------------------------------------------- */

static void text_class(struct listing *out, const char *name, const struct gauge *g, msec_t now,
		       const struct stats_class *c)
{
	listing_text(out, "%-9s %6llu %11llu %8.1f %10llu %12llu %8llu %12llu %9llu %9llu %6llu\n", name,
		     (unsigned long long)g->files, (unsigned long long)g->dirty_bytes, (double)gauge_age(g, now) / 1000,
		     (unsigned long long)c->app_writes, (unsigned long long)c->app_bytes,
		     (unsigned long long)c->lower_writes, (unsigned long long)c->lower_bytes,
		     (unsigned long long)c->coalesced, (unsigned long long)c->identical, (unsigned long long)c->errors);
}

static void text_table(struct listing *out, const struct gauge gauge[], msec_t now, const struct stats_class stats[])
{
	struct stats_class sum = {0};
	struct gauge all = gauge_sum(gauge);

	listing_text(out, "%-9s %6s %11s %8s %10s %12s %8s %12s %9s %9s %6s\n", "class", "in RAM", "bytes", "oldest s",
		     "app writes", "app bytes", "written", "bytes", "coalesced", "identical", "errors");
	for (int c = 0; c < CLASS_COUNT; c++) {
		text_class(out, policy_class_name(c), &gauge[c], now, &stats[c]);
		stats_add(&sum, &stats[c]);
	}
	text_class(out, "total", &all, now, &sum);
}

static void text_flushes(struct listing *out, const struct stats_class stats[])
{
	listing_text(out, "flushes by cause, and how long until durable (ms):\n");
	for (int c = 0; c < CLASS_COUNT; c++) {
		uint64_t count = 0;
		for (int k = 0; k < CAUSE_COUNT; k++)
			count += stats[c].flushes[k];
		if (!count)
			continue;
		listing_text(out, "%-9s p50 %.1f p95 %.1f p99 %.1f;", policy_class_name(c),
			     (double)stats_percentile(&stats[c], 50) / 1000,
			     (double)stats_percentile(&stats[c], 95) / 1000,
			     (double)stats_percentile(&stats[c], 99) / 1000);
		for (int k = 0; k < CAUSE_COUNT; k++)
			if (stats[c].flushes[k])
				listing_text(out, " %s %llu", policy_cause_name(k),
					     (unsigned long long)stats[c].flushes[k]);
		listing_text(out, "\n");
	}
}

/* Of the process to signal: the supervisor, if there is one. */
static int main_pid(struct clawfs *fs)
{
	return fs->shared->supervisor ? fs->shared->supervisor : (int)getpid();
}

/* What the device has counted since the mount, beside what we have. */
static bool blockdev_since_mount(const struct clawfs *fs, struct blockdev *d, char name[BLOCKDEV_NAME_MAX])
{
	struct blockdev now;

	*d = (struct blockdev){0};
	blockdev_name(fs->lower.dev, name);
	if (!fs->blockdev_known || !blockdev_read(fs->lower.dev, &now))
		return false;
	d->reads = now.reads - fs->blockdev.reads;
	d->read_bytes = now.read_bytes - fs->blockdev.read_bytes;
	d->writes = now.writes - fs->blockdev.writes;
	d->written_bytes = now.written_bytes - fs->blockdev.written_bytes;
	d->flushes = now.flushes - fs->blockdev.flushes;
	return true;
}

static void text_blockdev(const struct clawfs *fs, struct listing *out)
{
	char name[BLOCKDEV_NAME_MAX];
	struct blockdev d;

	if (blockdev_since_mount(fs, &d, name))
		listing_text(out, "device %s by its own count, of everybody: %llu writes, %.1f MiB, %llu flushes\n",
			     name, (unsigned long long)d.writes, (double)d.written_bytes / 1048576,
			     (unsigned long long)d.flushes);
	else
		listing_text(out, "device: unknown, the lower's file system has none that counts\n");
}

static void json_blockdev(const struct clawfs *fs, struct listing *out)
{
	char name[BLOCKDEV_NAME_MAX];
	struct blockdev d;
	bool known = blockdev_since_mount(fs, &d, name);

	listing_text(out, ",\"device\":{\"known\":%s,\"name\":", known ? "true" : "false");
	listing_json_string(out, name);
	listing_text(out,
		     ",\"reads\":%llu,\"read_bytes\":%llu,\"writes\":%llu,\"written_bytes\":%llu,\"flushes\":%llu}",
		     (unsigned long long)d.reads, (unsigned long long)d.read_bytes, (unsigned long long)d.writes,
		     (unsigned long long)d.written_bytes, (unsigned long long)d.flushes);
}

static void write_text(struct clawfs *fs, struct listing *out, msec_t now, const struct gauge gauge[], uint64_t used,
		       const struct refusal *refused, const struct stats_class total[],
		       const struct stats_class minute[], int64_t uptime)
{
	listing_text(out, "clawfs " CLAWFS_VERSION " on %s, lower %s, upper %s, pid %d, worker %d (number %u)\n",
		     fs->mountpoint, fs->source, fs->upper.path, main_pid(fs), (int)getpid(), fs->shared->generation);
	listing_text(out, "uptime %lld:%02lld:%02lld, %.1f of %.1f MiB RAM in use%s%s\n", (long long)(uptime / 3600000),
		     (long long)(uptime / 60000 % 60), (long long)(uptime / 1000 % 60), (double)used / 1048576,
		     (double)CONFIG(fs, ram_max) / 1048576, refused->error ? "; THE LOWER REFUSES: " : "",
		     refused->error ? strerror(-refused->error) : "");
	if (refused->files)
		listing_text(out, "%u files are kept in RAM for that; tried again in %.1f s\n", refused->files,
			     (double)(refused->next > now ? refused->next - now : 0) / 1000);
	listing_text(out, "kernel passthrough %s, %llu opens\n",
		     __atomic_load_n(&fs->passthrough.active, __ATOMIC_ACQUIRE) ? "on" : "off",
		     (unsigned long long)__atomic_load_n(&fs->passthrough.opens, __ATOMIC_RELAXED));
	device_stats_text(&fs->device, out);
	text_blockdev(fs, out);
	listing_text(out, "\n");
	text_table(out, gauge, now, total);
	listing_text(out, "\n");
	text_flushes(out, total);
	listing_text(out, "\nin the last full minute:\n");
	text_table(out, gauge, now, minute);
	life_stats_text(fs, out);
	db_stats_text(fs, out, now);
}

/* --- JSON ---------------------------------------------------------------- */

static void json_counters(struct listing *out, const struct stats_class *c)
{
	listing_text(
		out,
		"\"app_writes\":%llu,\"app_bytes\":%llu,\"lower_writes\":%llu,\"lower_bytes\":%llu,\"coalesced\":%llu,"
		"\"identical\":%llu,\"errors\":%llu,\"flushes\":{",
		(unsigned long long)c->app_writes, (unsigned long long)c->app_bytes,
		(unsigned long long)c->lower_writes, (unsigned long long)c->lower_bytes,
		(unsigned long long)c->coalesced, (unsigned long long)c->identical, (unsigned long long)c->errors);
	for (int k = CAUSE_NONE + 1; k < CAUSE_COUNT; k++)
		listing_text(out, "%s\"%s\":%llu", k > CAUSE_NONE + 1 ? "," : "", policy_cause_name(k),
			     (unsigned long long)c->flushes[k]);
	listing_text(out, "},\"flush_ms\":{\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f}",
		     (double)stats_percentile(c, 50) / 1000, (double)stats_percentile(c, 95) / 1000,
		     (double)stats_percentile(c, 99) / 1000);
}

static void json_gauge(struct listing *out, const struct gauge *g, msec_t now)
{
	listing_text(out, "\"files\":%llu,\"dirty_bytes\":%llu,\"oldest_dirty_ms\":%lld,", (unsigned long long)g->files,
		     (unsigned long long)g->dirty_bytes, (long long)gauge_age(g, now));
}

static void json_set(struct listing *out, const char *key, const struct gauge *gauge, msec_t now,
		     const struct stats_class stats[])
{
	struct stats_class sum = {0};

	listing_text(out, ",\"%s\":{", key);
	for (int c = 0; c < CLASS_COUNT; c++)
		stats_add(&sum, &stats[c]);
	if (gauge)
		json_gauge(out, gauge, now);
	json_counters(out, &sum);
	listing_text(out, "}");
}

static void json_member(struct listing *out, const char *key, const char *value)
{
	listing_text(out, "\"%s\":", key);
	listing_json_string(out, value);
	listing_text(out, ",");
}

static void write_json(struct clawfs *fs, struct listing *out, msec_t now, const struct gauge gauge[], uint64_t used,
		       const struct refusal *refused, const struct stats_class total[],
		       const struct stats_class minute[], int64_t uptime)
{
	listing_text(out, "{\"version\":\"" CLAWFS_VERSION "\",\"pid\":%d,\"worker\":%d,\"worker_number\":%u,",
		     main_pid(fs), (int)getpid(), fs->shared->generation);
	json_member(out, "mountpoint", fs->mountpoint);
	json_member(out, "source", fs->source);
	json_member(out, "upper", fs->upper.path);
	listing_text(out,
		     "\"uptime_ms\":%lld,\"ram_used\":%llu,\"ram_max\":%lld,\"lower_error\":%d,\"refused_files\":%u,",
		     (long long)uptime, (unsigned long long)used, (long long)CONFIG(fs, ram_max), -refused->error,
		     refused->files);
	listing_text(out, "\"passthrough\":{\"active\":%s,\"opens\":%llu},\"classes\":{",
		     __atomic_load_n(&fs->passthrough.active, __ATOMIC_ACQUIRE) ? "true" : "false",
		     (unsigned long long)__atomic_load_n(&fs->passthrough.opens, __ATOMIC_RELAXED));
	for (int c = 0; c < CLASS_COUNT; c++) {
		listing_text(out, "%s\"%s\":{", c ? "," : "", policy_class_name(c));
		json_gauge(out, &gauge[c], now);
		json_counters(out, &total[c]);
		listing_text(out, ",\"last_minute\":{");
		json_counters(out, &minute[c]);
		listing_text(out, "}}");
	}
	listing_text(out, "}");
	struct gauge all = gauge_sum(gauge);
	json_set(out, "totals", &all, now, total);
	json_set(out, "last_minute", NULL, now, minute);
	device_stats_json(&fs->device, out);
	life_stats_json(fs, out);
	json_blockdev(fs, out);
	db_stats_json(fs, out, now);
	listing_text(out, "}\n");
}

static void write_stats(struct clawfs *fs, struct listing *out, uint32_t node, msec_t now)
{
	struct gauge gauge[CLASS_COUNT];
	struct stats_class total[CLASS_COUNT], minute[CLASS_COUNT];
	int64_t uptime;
	uint64_t used;
	struct refusal refused = {.next = MSEC_NEVER};

	gauges_read(fs, gauge, &used, &refused);
	stats_read(fs->stats, now, total, minute, &uptime);
	if (node == NODE_CTL_STATS)
		write_text(fs, out, now, gauge, used, &refused, total, minute, uptime);
	else
		write_json(fs, out, now, gauge, used, &refused, total, minute, uptime);
}

struct listing *control_read(struct clawfs *fs, uint32_t node, msec_t now)
{
	struct listing *out = listing_create();

	if (!out)
		return NULL;
	switch (node) {
	case NODE_CTL_CONFIG:
		reload_show(fs, out);
		break;
	case NODE_CTL_DIRTY:
		dirty_list(fs, out, now);
		break;
	case NODE_CTL_METRICS:
		metrics_write(fs, out, now);
		break;
	case NODE_CTL_HISTORY:
		metrics_history(fs, out, now);
		break;
	case NODE_CTL_STATS:
	case NODE_CTL_JSON:
		write_stats(fs, out, node, now);
		break;
	default:
		break;
	}
	return out;
}

int control_command(struct clawfs *fs, const char *text, size_t len)
{
	static const char flush[] = "flush ";
	const size_t verb = sizeof(flush) - 1;

	/* One newline, as echo writes it; the rest may belong to a name. */
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > verb && memcmp(text, flush, verb) == 0 && text[verb] != ' ')
		return dirty_flush(fs, text + verb, len - verb);
	while (len > 0 && text[len - 1] == ' ')
		len--;
	if (len == verb - 1 && memcmp(text, flush, len) == 0)
		return sched_flush_all(fs, CAUSE_SYNC);
	log_warn(fs->log, "unknown command \"%.*s\" written to " CONTROL_DIR "/control; known: flush [PATH]",
		 (int)(len > 64 ? 64 : len), text);
	return -EINVAL;
}
