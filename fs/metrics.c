#include "fs/metrics.h"
#include "fs/blockdev.h"
#include "fs/gauge.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Bounds of the histograms that are shown, as powers of two of 1 us: to 17 s; from 16 us, and from 1 ms where
 * milliseconds are counted. */
#define BOUND_US   4
#define BOUND_MS   10
#define BOUND_LAST 24

/* --- words --------------------------------------------------------------- */

/* The lines before a metric's samples. `unit` is the end of its name, or NULL. */
static void family(struct listing *out, const char *name, const char *type, const char *unit, const char *help)
{
	listing_text(out, "# TYPE clawfs_%s %s\n", name, type);
	if (unit)
		listing_text(out, "# UNIT clawfs_%s %s\n", name, unit);
	listing_text(out, "# HELP clawfs_%s %s\n", name, help);
}

static void counter(struct listing *out, const char *name, const char *unit, const char *help, uint64_t value)
{
	family(out, name, "counter", unit, help);
	listing_text(out, "clawfs_%s_total %llu\n", name, (unsigned long long)value);
}

static void gauge(struct listing *out, const char *name, const char *unit, const char *help, double value)
{
	family(out, name, "gauge", unit, help);
	listing_text(out, "clawfs_%s %.12g\n", name, value);
}

/* Of each class the counter at `offset` of its struct. */
static void class_counter(struct listing *out, const char *name, const char *unit, const char *help,
			  const struct stats_class total[], size_t offset)
{
	family(out, name, "counter", unit, help);
	for (int c = 0; c < CLASS_COUNT; c++)
		listing_text(out, "clawfs_%s_total{class=\"%s\"} %llu\n", name, policy_class_name((enum policy_class)c),
			     (unsigned long long)*(const uint64_t *)((const char *)&total[c] + offset));
}

/* One histogram of doubling bounds: `below` counts what took less than 2^bound us. */
typedef uint64_t below_fn(const void *from, unsigned bound);

static void histogram(struct listing *out, const char *name, const char *key, const char *value, const void *from,
		      unsigned first, below_fn *below, uint64_t count, uint64_t sum_us)
{
	for (unsigned bound = first; bound <= BOUND_LAST; bound++)
		listing_text(out, "clawfs_%s_bucket{%s=\"%s\",le=\"%.9g\"} %llu\n", name, key, value,
			     (double)(1ULL << bound) / 1e6, (unsigned long long)below(from, bound));
	listing_text(out, "clawfs_%s_bucket{%s=\"%s\",le=\"+Inf\"} %llu\n", name, key, value,
		     (unsigned long long)count);
	listing_text(out, "clawfs_%s_count{%s=\"%s\"} %llu\n", name, key, value, (unsigned long long)count);
	listing_text(out, "clawfs_%s_sum{%s=\"%s\"} %.6f\n", name, key, value, (double)sum_us / 1e6);
}

/* --- what is so now ------------------------------------------------------ */

static void write_state(struct clawfs *fs, struct listing *out, msec_t now, int64_t uptime)
{
	struct gauge gauges[CLASS_COUNT];
	uint64_t used;
	struct refusal refused = {.next = MSEC_NEVER};

	gauges_read(fs, gauges, &used, &refused);
	family(out, "build_info", "gauge", NULL, "Which clawfs this is; always 1.");
	listing_text(out, "clawfs_build_info{version=\"" CLAWFS_VERSION "\"} 1\n");
	gauge(out, "uptime_seconds", "seconds", "Since the mount.", (double)uptime / 1000);
	gauge(out, "ram_used_bytes", "bytes", "RAM that holds files.", (double)used);
	gauge(out, "ram_limit_bytes", "bytes", "ram_max.", (double)CONFIG(fs, ram_max));
	gauge(out, "lower_refuses", NULL, "1 while the lower refuses something, which is tried again.",
	      refused.error != 0);
	gauge(out, "refused_files", NULL, "Files that the lower refuses.", refused.files);
	gauge(out, "passthrough_active", NULL, "1 while the kernel reads and writes files of class through itself.",
	      __atomic_load_n(&fs->passthrough.active, __ATOMIC_ACQUIRE));
	counter(out, "passthrough_opens", NULL, "Opened files that the kernel reads and writes itself.",
		__atomic_load_n(&fs->passthrough.opens, __ATOMIC_RELAXED));
	family(out, "ram_files", "gauge", NULL, "Files in RAM.");
	for (int c = 0; c < CLASS_COUNT; c++)
		listing_text(out, "clawfs_ram_files{class=\"%s\"} %llu\n", policy_class_name((enum policy_class)c),
			     (unsigned long long)gauges[c].files);
	family(out, "dirty_bytes", "gauge", "bytes", "Bytes in RAM that are not on the lower yet.");
	for (int c = 0; c < CLASS_COUNT; c++)
		listing_text(out, "clawfs_dirty_bytes{class=\"%s\"} %llu\n", policy_class_name((enum policy_class)c),
			     (unsigned long long)gauges[c].dirty_bytes);
	family(out, "oldest_dirty_seconds", "gauge", "seconds", "Age of the oldest change that the lower misses.");
	for (int c = 0; c < CLASS_COUNT; c++)
		listing_text(out, "clawfs_oldest_dirty_seconds{class=\"%s\"} %.3f\n",
			     policy_class_name((enum policy_class)c), (double)gauge_age(&gauges[c], now) / 1000);
}

/* --- since the mount ----------------------------------------------------- */

static uint64_t flush_below(const void *from, unsigned bound)
{
	const struct stats_class *c = from;
	uint64_t n = 0;

	/* Four buckets to each doubling (stats.h). */
	for (unsigned b = 0; b < STATS_BUCKETS && b < bound * 4; b++)
		n += c->flush_us[b];
	return n;
}

static void write_classes(struct listing *out, const struct stats_class total[])
{
#define COUNTER(name, unit, help, field)                                                                               \
	class_counter(out, name, unit, help, total, offsetof(struct stats_class, field))
	COUNTER("app_writes", NULL, "Write calls of applications, but those that the kernel passes through.",
		app_writes);
	COUNTER("app_written_bytes", "bytes", "Bytes that applications wrote.", app_bytes);
	COUNTER("lower_writes", NULL, "Replaces, appends and writes on the lower.", lower_writes);
	COUNTER("lower_written_bytes", "bytes", "Bytes written to the lower.", lower_bytes);
	COUNTER("saves_coalesced", NULL, "Saves that a later one made unnecessary to write.", coalesced);
	COUNTER("saves_identical", NULL, "Saves that equalled what the lower had.", identical);
	COUNTER("flush_errors", NULL, "Flushes that failed; they are tried again.", errors);
#undef COUNTER
	family(out, "flushes", "counter", NULL, "Flushes of files by cause.");
	for (int c = 0; c < CLASS_COUNT; c++)
		for (int k = CAUSE_NONE + 1; k < CAUSE_COUNT; k++)
			if (total[c].flushes[k])
				listing_text(out, "clawfs_flushes_total{class=\"%s\",cause=\"%s\"} %llu\n",
					     policy_class_name((enum policy_class)c),
					     policy_cause_name((enum policy_cause)k),
					     (unsigned long long)total[c].flushes[k]);
	family(out, "flush_duration_seconds", "histogram", "seconds", "From a flush's begin until it is durable.");
	for (int c = 0; c < CLASS_COUNT; c++) {
		uint64_t count = flush_below(&total[c], STATS_BUCKETS);
		if (count)
			histogram(out, "flush_duration_seconds", "class", policy_class_name((enum policy_class)c),
				  &total[c], BOUND_MS, flush_below, count, total[c].flush_us_sum);
	}
}

static uint64_t request_below(const void *from, unsigned bound)
{
	const struct latency *l = from;
	uint64_t n = 0;

	for (unsigned b = 0; b < LATENCY_BUCKETS && b <= bound; b++)
		n += __atomic_load_n(&l->bucket[b], __ATOMIC_RELAXED);
	return n;
}

static void write_requests(const struct device *device, struct listing *out)
{
	family(out, "requests", "counter", NULL, "Requests of the kernel by kind.");
	for (uint32_t op = 0; op < DEVICE_OPCODES; op++) {
		uint64_t n = __atomic_load_n(&device->requests[op], __ATOMIC_RELAXED);
		if (n)
			listing_text(out, "clawfs_requests_total{op=\"%s\"} %llu\n", device_opcode_name(op),
				     (unsigned long long)n);
	}
	family(out, "request_duration_seconds", "histogram", "seconds", "From a request's arrival to its reply.");
	for (uint32_t op = 0; op < DEVICE_OPCODES; op++) {
		/* A copy, so that the bounds and the count agree. */
		struct latency l;
		for (unsigned b = 0; b < LATENCY_BUCKETS; b++)
			l.bucket[b] = __atomic_load_n(&device->latency[op].bucket[b], __ATOMIC_RELAXED);
		l.sum_us = __atomic_load_n(&device->latency[op].sum_us, __ATOMIC_RELAXED);
		uint64_t count = request_below(&l, LATENCY_BUCKETS);
		if (count)
			histogram(out, "request_duration_seconds", "op", device_opcode_name(op), &l, BOUND_US,
				  request_below, count, l.sum_us);
	}
	family(out, "request_errors", "counter", NULL, "Replies with an error of the card or of memory.");
	for (int e = 0; e < DEVICE_ERRORS; e++)
		listing_text(out, "clawfs_request_errors_total{error=\"%s\"} %llu\n", device_error_names[e],
			     (unsigned long long)__atomic_load_n(&device->errors[e], __ATOMIC_RELAXED));
}

static void write_counts(struct clawfs *fs, struct listing *out)
{
	const struct stats *s = fs->stats;

	family(out, "reads", "counter", NULL, "Reads that reached the daemon, by where the bytes were.");
	listing_text(out, "clawfs_reads_total{from=\"ram\"} %llu\nclawfs_reads_total{from=\"lower\"} %llu\n",
		     (unsigned long long)stats_counted(s, STATS_READS_RAM),
		     (unsigned long long)stats_counted(s, STATS_READS_LOWER));
	family(out, "read_bytes", "counter", "bytes", "Bytes of those reads.");
	listing_text(out, "clawfs_read_bytes_total{from=\"ram\"} %llu\nclawfs_read_bytes_total{from=\"lower\"} %llu\n",
		     (unsigned long long)stats_counted(s, STATS_READ_BYTES_RAM),
		     (unsigned long long)stats_counted(s, STATS_READ_BYTES_LOWER));
	counter(out, "database_syncs_asked", NULL, "Syncs of databases that applications asked for.",
		stats_counted(s, STATS_DB_ASKED));
	counter(out, "database_syncs_done", NULL, "Syncs of databases that were done.",
		stats_counted(s, STATS_DB_DONE));
	counter(out, "database_syncs_elided", NULL,
		"Syncs of databases that were acknowledged and left to a later one.",
		stats_counted(s, STATS_DB_ELIDED));
	counter(out, "wal_checkpoints", NULL, "Checkpoints of databases, whoever made them.",
		stats_counted(s, STATS_CHECKPOINTS));
}

/* --- rates --------------------------------------------------------------- */

static double per(uint64_t value, double divisor)
{
	return divisor > 0 ? (double)value / divisor : 0;
}

static void write_sides(struct listing *out, const char *name, const char *help, const struct stats_minute *w,
			const enum stats_value of[3], double divisor)
{
	static const char *const sides[] = {"application", "lower", "device"};

	family(out, name, "gauge", NULL, help);
	for (int i = 0; i < 3; i++)
		if (i < 2 || w->device)
			listing_text(out, "clawfs_%s{side=\"%s\"} %.6g\n", name, sides[i],
				     per(w->value[of[i]], divisor));
}

static void write_rates(struct clawfs *fs, struct listing *out, msec_t now)
{
	static const enum stats_value writes[] = {MINUTE_APP_WRITES, MINUTE_LOWER_WRITES, MINUTE_DEV_WRITES};
	static const enum stats_value bytes[] = {MINUTE_APP_BYTES, MINUTE_LOWER_BYTES, MINUTE_DEV_BYTES};
	struct stats_minute w;
	unsigned want = (unsigned)((CONFIG(fs, metrics_window_ms) + MINUTE_MS - 1) / MINUTE_MS);
	unsigned got = stats_window(fs->stats, now, want, &w);
	const uint64_t *v = w.value;
	double minutes = got;

	w.device &= got > 0;
	gauge(out, "window_seconds", "seconds", "Full minutes that the rates below are of; 0 in the first one.",
	      minutes * 60);
	write_sides(out, "writes_per_minute", "Writes: of applications, on the lower, on the device by its own count.",
		    &w, writes, minutes);
	write_sides(out, "written_bytes_per_minute", "Bytes: of applications, to the lower, to the device.", &w, bytes,
		    minutes);
	family(out, "write_amplification_ratio", "gauge", NULL, "Bytes written there for each byte of an application.");
	listing_text(out, "clawfs_write_amplification_ratio{side=\"lower\"} %.6g\n",
		     per(v[MINUTE_LOWER_BYTES], (double)v[MINUTE_APP_BYTES]));
	if (w.device)
		listing_text(out, "clawfs_write_amplification_ratio{side=\"device\"} %.6g\n",
			     per(v[MINUTE_DEV_BYTES], (double)v[MINUTE_APP_BYTES]));
	if (w.device)
		gauge(out, "device_flushes_per_minute", NULL, "Flushes of the device's cache, by its own count.",
		      per(v[MINUTE_DEV_FLUSHES], minutes));
	gauge(out, "log_growth_bytes_per_minute", NULL, "Bytes written to logs.", per(v[MINUTE_LOG_BYTES], minutes));
	gauge(out, "session_saves_per_minute", NULL, "Saves of snapshots.", per(v[MINUTE_SAVES], minutes));
	gauge(out, "session_replaces_per_minute", NULL, "Saves of snapshots that reached the lower.",
	      per(v[MINUTE_REPLACES], minutes));
	gauge(out, "flushes_per_minute", NULL, "Flushes of files.", per(v[MINUTE_FLUSHES], minutes));
	gauge(out, "flush_errors_per_minute", NULL, "Flushes that failed.", per(v[MINUTE_ERRORS], minutes));
	gauge(out, "wal_checkpoints_per_minute", NULL, "Checkpoints of databases.",
	      per(v[MINUTE_COUNTS + STATS_CHECKPOINTS], minutes));
	gauge(out, "database_syncs_asked_per_minute", NULL, "Syncs that applications asked for.",
	      per(v[MINUTE_COUNTS + STATS_DB_ASKED], minutes));
	gauge(out, "database_syncs_done_per_minute", NULL, "Syncs that were done.",
	      per(v[MINUTE_COUNTS + STATS_DB_DONE], minutes));
	uint64_t ram = v[MINUTE_COUNTS + STATS_READS_RAM], lower = v[MINUTE_COUNTS + STATS_READS_LOWER];
	if (ram + lower)
		gauge(out, "cache_hit_ratio", NULL,
		      "Reads answered from RAM, of those that reached the daemon: the kernel answers most itself.",
		      per(ram, (double)(ram + lower)));
}

/* --- the device ---------------------------------------------------------- */

static void device_counter(struct listing *out, const char *name, const char *unit, const char *help,
			   const char *device, uint64_t value)
{
	family(out, name, "counter", unit, help);
	listing_text(out, "clawfs_%s_total{device=\"%s\"} %llu\n", name, device, (unsigned long long)value);
}

static void write_device(struct clawfs *fs, struct listing *out)
{
	char name[BLOCKDEV_NAME_MAX];
	struct blockdev d;
	bool known = blockdev_read(fs->lower.dev, &d);

	gauge(out, "device_known", NULL, "1 where the file system's device has counters of its own.", known);
	if (!known)
		return;
	blockdev_name(fs->lower.dev, name);
	device_counter(out, "device_reads", NULL, "Reads by the device's own count, of everybody.", name, d.reads);
	device_counter(out, "device_read_bytes", "bytes", "Bytes of those.", name, d.read_bytes);
	device_counter(out, "device_writes", NULL, "Writes by the device's own count, of everybody.", name, d.writes);
	device_counter(out, "device_written_bytes", "bytes", "Bytes of those.", name, d.written_bytes);
	device_counter(out, "device_flushes", NULL, "Flushes of the whole device's cache.", name, d.flushes);
}

void metrics_write(struct clawfs *fs, struct listing *out, msec_t now)
{
	struct stats_class total[CLASS_COUNT], minute[CLASS_COUNT];
	int64_t uptime;

	stats_read(fs->stats, now, total, minute, &uptime);
	write_state(fs, out, now, uptime);
	write_classes(out, total);
	write_counts(fs, out);
	db_stats_metrics(fs, out);
	write_requests(&fs->device, out);
	write_rates(fs, out, now);
	write_device(fs, out);
	listing_text(out, "# EOF\n");
}

/* --- history ------------------------------------------------------------- */

static const struct {
	const char *name;
	enum stats_value value;
} columns[] = {
	{"app_writes", MINUTE_APP_WRITES},
	{"app_bytes", MINUTE_APP_BYTES},
	{"lower_writes", MINUTE_LOWER_WRITES},
	{"lower_bytes", MINUTE_LOWER_BYTES},
	{"dev_writes", MINUTE_DEV_WRITES},
	{"dev_bytes", MINUTE_DEV_BYTES},
	{"dev_flushes", MINUTE_DEV_FLUSHES},
	{"log_bytes", MINUTE_LOG_BYTES},
	{"saves", MINUTE_SAVES},
	{"replaces", MINUTE_REPLACES},
	{"checkpoints", MINUTE_COUNTS + STATS_CHECKPOINTS},
	{"reads_ram", MINUTE_COUNTS + STATS_READS_RAM},
	{"reads_lower", MINUTE_COUNTS + STATS_READS_LOWER},
	{"db_asked", MINUTE_COUNTS + STATS_DB_ASKED},
	{"db_done", MINUTE_COUNTS + STATS_DB_DONE},
	{"db_elided", MINUTE_COUNTS + STATS_DB_ELIDED},
	{"errors", MINUTE_ERRORS},
};
#define COLUMNS (sizeof(columns) / sizeof(*columns))

void metrics_history(struct clawfs *fs, struct listing *out, msec_t now)
{
	struct stats_minute minutes[STATS_MINUTES];
	unsigned count = stats_history(fs->stats, now, minutes);
	time_t wall = time(NULL);

	listing_text(out, "%-20s", "end");
	for (size_t c = 0; c < COLUMNS; c++)
		listing_text(out, " %12s", columns[c].name);
	listing_text(out, "\n");
	for (unsigned i = 0; i < count; i++) {
		time_t end = wall - (time_t)((now - minutes[i].end) / 1000);
		char text[32];
		struct tm tm;
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
		listing_text(out, "%-20s", text);
		for (size_t c = 0; c < COLUMNS; c++) {
			if (columns[c].value >= MINUTE_DEV_WRITES && !minutes[i].device)
				listing_text(out, " %12s", "-");
			else
				listing_text(out, " %12llu", (unsigned long long)minutes[i].value[columns[c].value]);
		}
		listing_text(out, "\n");
	}
}
