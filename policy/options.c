/* The table of options. */
#include "policy/barrier.h"
#include "policy/config.h"
#include "policy/nearest.h"

#define KIB    ((int64_t)1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define DAY    ((int64_t)86400000)
#define HOUR   ((int64_t)3600000)
#define MINUTE ((int64_t)60000)

/* Designated, so that only options of words need to name their words. */
#define OPTION_NAMED(text, field) .name = (text), .offset = offsetof(struct policy_config, field)
#define OPTION(field)		  OPTION_NAMED(#field, field)

/* In the order of enum policy_sync. */
static const char *const sync_words[] = {"normal", "full", "off", NULL};
/* In the order of enum policy_parts. */
static const char *const parts_words[] = {"dot", "dash", NULL};
/* In the order of enum policy_passthrough. */
static const char *const passthrough_words[] = {"auto", "off", NULL};
/* In the order of enum policy_profile. */
static const char *const profile_words[] = {"secureclaw", "openclaw", "generic", NULL};

static const struct policy_option options[] = {
	{OPTION(profile), OPTION_WORD, 0, PROFILE_COUNT - 1, PROFILE_SECURECLAW,
	 "the application: which rules are the default, and which JSON file is read", profile_words},
	{OPTION(log_buffer), OPTION_BOOL, 0, 1, 1, "log: hold lines in RAM; off: logs are handled as through"},
	{OPTION(log_flush_ms), OPTION_MS, 0, HOUR, 5000, "log: flush so long after the first line that waits",
	 .live = true},
	{OPTION(log_lines), OPTION_COUNT, 0, 1000000000, 100, "log: flush when so many lines wait; 0: no such bound",
	 .live = true},
	{OPTION(log_bytes), OPTION_BYTES, 0, 64 * GIB, 256 * KIB,
	 "log, append: flush when so many bytes wait; 0: no such bound", .live = true},
	{OPTION(log_urgent), OPTION_BOOL, 0, 1, 1, "log: flush at once on a line of level error or fatal",
	 .live = true},
	{OPTION(log_rotate_bytes), OPTION_BYTES, 0, 64 * GIB, 10 * MIB,
	 "log: rotate a log that has grown so large; 0: never", .live = true},
	{OPTION(log_rotate_keep), OPTION_COUNT, 0, LOG_PART_MAX, 100,
	 "log: keep so many rotated parts of a log; 0: no such bound", .live = true},
	{OPTION(log_parts), OPTION_WORD, 0, PARTS_COUNT - 1, PARTS_DOT,
	 "log: name rotated parts of NAME.log NAME.N.log or NAME-N.log", parts_words},
	{OPTION(log_gzip), OPTION_BOOL, 0, 1, 1, "log: compress rotated parts, and logs that are idle", .live = true},
	{OPTION(log_gzip_age_ms), OPTION_MS, 0, 30 * DAY, HOUR,
	 "log: idle is what is not open and was not written for so long", .live = true},
	{OPTION(log_keep_days), OPTION_COUNT, 0, 36500, 7,
	 "log: delete compressed logs so many days after their last line; 0: never", .live = true},
	{OPTION(log_keep_bytes), OPTION_BYTES, 0, 1024 * GIB, 0,
	 "log: delete the oldest compressed logs above so many bytes; 0: no bound", .live = true},
	{OPTION(append_buffer), OPTION_BOOL, 0, 1, 1, "append: hold lines in RAM; off: handled as through"},
	{OPTION(append_flush_ms), OPTION_MS, 0, HOUR, 2000, "append: flush so long after the first line that waits",
	 .live = true},
	{OPTION(session_buffer), OPTION_BOOL, 0, 1, 1, "snapshot: hold saves in RAM; off: handled as through"},
	{OPTION(session_debounce_ms), OPTION_MS, 0, HOUR, 2000, "snapshot: flush so long after the last save",
	 .live = true},
	{OPTION(session_max_ms), OPTION_MS, 0, HOUR, 5000,
	 "snapshot: and at most so long after the first save that waits", .live = true},
	{OPTION(state_buffer), OPTION_BOOL, 0, 1, 1, "state: hold changes in RAM; off: handled as through"},
	{OPTION(state_flush_ms), OPTION_MS, 0, HOUR, 1000, "state: flush so long after the first change that waits",
	 .live = true},
	{OPTION(rewrite_max_ms), OPTION_MS, 0, HOUR, 30000,
	 "snapshot, state: hold a file that is being rewritten in place at most so long", .live = true},
	{OPTION(epoch_reach_ms), OPTION_MS, 0, MINUTE, 500, "flush together what is due within so much of each other",
	 .live = true},
	{OPTION(retry_ms), OPTION_MS, 10, HOUR, 1000, "try again so long after a flush that failed; doubles each time",
	 .live = true},
	{OPTION(retry_max_ms), OPTION_MS, 10, HOUR, 60000, "and at most so long after it", .live = true},
	{OPTION(ram_max), OPTION_BYTES, MIB, 64 * GIB, 64 * MIB, "RAM for what is not on the card yet", .live = true},
	{OPTION(file_max), OPTION_BYTES, 0, 64 * GIB, 0, "largest file that is held in RAM whole; 0: half of ram_max",
	 .live = true},
	{OPTION(upper), OPTION_PATH, 0, 0, 0,
	 "directory in RAM for what is not on the card yet; default: one in /dev/shm", .guarded = true},
	{OPTION(rescue_dir), OPTION_PATH, 0, 0, 0,
	 "directory for what the card refuses to the end; default: one in /var/tmp", .guarded = true},
	{OPTION(cache_ms), OPTION_MS, 0, 30 * DAY, DAY,
	 "let the kernel keep names and attributes in RAM so long before it asks again", .live = true},
	{OPTION(passthrough), OPTION_WORD, 0, 1, PASSTHROUGH_AUTO,
	 "let the kernel read and write open files of class through without the daemon", passthrough_words},
	{OPTION(sqlite_wal), OPTION_BOOL, 0, 1, 1, "databases: put them into WAL mode and keep them there"},
	{OPTION(sqlite_sync), OPTION_WORD, 0, SYNC_COUNT - 1, SYNC_NORMAL,
	 "databases: commits are durable within sqlite_sync_ms, at once, or by a checkpoint", sync_words},
	{OPTION(sqlite_sync_ms), OPTION_MS, 10, HOUR, 5000,
	 "databases: with sqlite_sync=normal, at most so long after a commit", .live = true},
	{OPTION(sqlite_checkpoint_ms), OPTION_MS, 0, 24 * HOUR, 5 * MINUTE,
	 "databases: checkpoint a WAL that grew so often; 0: leave it to the application", .live = true},
	{OPTION(sqlite_wal_limit), OPTION_BYTES, 0, 64 * GIB, 64 * MIB,
	 "databases: truncate a WAL that is larger; 0: never", .live = true},
	{OPTION(sqlite_cache), OPTION_BYTES, 64 * KIB, GIB, 256 * KIB,
	 "databases: page cache of the steward's connections, at most", .live = true},
	{OPTION(sqlite_exclude), OPTION_GLOB, 0, 0, 0,
	 "databases that keep their journal mode and every fsync; may be given many times"},
	{OPTION_NAMED("rule", rules), OPTION_RULE, 0, 0, 0,
	 "class:glob, tried before the default rules; may be given many times"},
	{OPTION(metrics), OPTION_BOOL, 0, 1, 1, "measure what requests take, and show .clawfs/metrics and history"},
	{OPTION(metrics_window_ms), OPTION_MS, MINUTE, HOUR, MINUTE,
	 "rates in .clawfs/metrics are of the last full minutes of so long a time", .live = true},
	{OPTION(allow_other), OPTION_BOOL, 0, 1, 0,
	 "let other users in, with their permissions as ever; by default on for root", .guarded = true},
	{OPTION(logfile), OPTION_PATH, 0, 0, 0, "the daemon's own log; default: syslog", .guarded = true},
	{.name = NULL},
};

const struct policy_option *policy_options(void)
{
	return options;
}

const char *policy_option_suggest(const char *name)
{
	struct policy_nearest nearest;

	policy_nearest_init(&nearest, name);
	for (const struct policy_option *option = options; option->name; option++)
		policy_nearest_try(&nearest, option->name);
	return nearest.best;
}
