/* The table of options, and how text becomes a configuration. Numbers are
 * parsed by hand: strtol(3) skips blanks, takes signs, reports overflow through
 * errno and knows no sizes. */
#include "policy/config.h"
#include "policy/barrier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KIB    ((int64_t)1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define DAY    ((int64_t)86400000)
#define HOUR   ((int64_t)3600000)
#define MINUTE ((int64_t)60000)

#define FIELD(field) #field, offsetof(struct policy_config, field)
/* Designated, so that only options of words need to name their words. */
#define OPTION_NAMED(text, field) .name = (text), .offset = offsetof(struct policy_config, field)
#define OPTION(field)		  OPTION_NAMED(#field, field)

/* In the order of enum policy_sync. */
static const char *const sync_words[] = {"normal", "full", "off", NULL};
/* In the order of enum policy_parts. */
static const char *const parts_words[] = {"dot", "dash", NULL};
/* In the order of enum policy_passthrough. */
static const char *const passthrough_words[] = {"auto", "off", NULL};

static const struct policy_option options[] = {
	{OPTION(log_flush_ms), OPTION_MS, 0, HOUR, 5000, "log: flush so long after the first line that waits"},
	{OPTION(log_lines), OPTION_COUNT, 0, 1000000000, 100, "log: flush when so many lines wait; 0: no such bound"},
	{OPTION(log_bytes), OPTION_BYTES, 0, 64 * GIB, 256 * KIB,
	 "log, append: flush when so many bytes wait; 0: no such bound"},
	{OPTION(log_urgent), OPTION_BOOL, 0, 1, 1, "log: flush at once on a line of level error or fatal"},
	{OPTION(log_rotate_bytes), OPTION_BYTES, 0, 64 * GIB, 10 * MIB,
	 "log: rotate a log that has grown so large; 0: never"},
	{OPTION(log_rotate_keep), OPTION_COUNT, 0, LOG_PART_MAX, 100,
	 "log: keep so many rotated parts of a log; 0: no such bound"},
	{OPTION(log_parts), OPTION_WORD, 0, PARTS_COUNT - 1, PARTS_DOT,
	 "log: name rotated parts of NAME.log NAME.N.log or NAME-N.log", parts_words},
	{OPTION(log_gzip), OPTION_BOOL, 0, 1, 1, "log: compress rotated parts, and logs that are idle"},
	{OPTION(log_gzip_age_ms), OPTION_MS, 0, 30 * DAY, HOUR,
	 "log: idle is what is not open and was not written for so long"},
	{OPTION(log_keep_days), OPTION_COUNT, 0, 36500, 7,
	 "log: delete compressed logs so many days after their last line; 0: never"},
	{OPTION(log_keep_bytes), OPTION_BYTES, 0, 1024 * GIB, 0,
	 "log: delete the oldest compressed logs above so many bytes; 0: no bound"},
	{OPTION(append_flush_ms), OPTION_MS, 0, HOUR, 2000, "append: flush so long after the first line that waits"},
	{OPTION(session_debounce_ms), OPTION_MS, 0, HOUR, 2000, "snapshot: flush so long after the last save"},
	{OPTION(session_max_ms), OPTION_MS, 0, HOUR, 5000,
	 "snapshot: and at most so long after the first save that waits"},
	{OPTION(state_flush_ms), OPTION_MS, 0, HOUR, 1000, "state: flush so long after the first change that waits"},
	{OPTION(rewrite_max_ms), OPTION_MS, 0, HOUR, 30000,
	 "snapshot, state: hold a file that is being rewritten in place at most so long"},
	{OPTION(epoch_reach_ms), OPTION_MS, 0, MINUTE, 500, "flush together what is due within so much of each other"},
	{OPTION(retry_ms), OPTION_MS, 10, HOUR, 1000, "try again so long after a flush that failed; doubles each time"},
	{OPTION(retry_max_ms), OPTION_MS, 10, HOUR, 60000, "and at most so long after it"},
	{OPTION(ram_max), OPTION_BYTES, MIB, 64 * GIB, 64 * MIB, "RAM for what is not on the card yet"},
	{OPTION(file_max), OPTION_BYTES, 0, 64 * GIB, 0, "largest file that is held in RAM whole; 0: half of ram_max"},
	{OPTION(upper), OPTION_PATH, 0, 0, 0,
	 "directory in RAM for what is not on the card yet; default: one in /dev/shm"},
	{OPTION(passthrough), OPTION_WORD, 0, 1, PASSTHROUGH_AUTO,
	 "let the kernel read and write open files of class through without the daemon", passthrough_words},
	{OPTION(sqlite_wal), OPTION_BOOL, 0, 1, 1, "databases: put them into WAL mode and keep them there"},
	{OPTION(sqlite_sync), OPTION_WORD, 0, SYNC_COUNT - 1, SYNC_NORMAL,
	 "databases: commits are durable within sqlite_sync_ms, at once, or by a checkpoint", sync_words},
	{OPTION(sqlite_sync_ms), OPTION_MS, 10, HOUR, 5000,
	 "databases: with sqlite_sync=normal, at most so long after a commit"},
	{OPTION(sqlite_checkpoint_ms), OPTION_MS, 0, 24 * HOUR, 5 * MINUTE,
	 "databases: checkpoint a WAL that grew so often; 0: leave it to the application"},
	{OPTION(sqlite_wal_limit), OPTION_BYTES, 0, 64 * GIB, 64 * MIB,
	 "databases: truncate a WAL that is larger; 0: never"},
	{OPTION(sqlite_exclude), OPTION_GLOB, 0, 0, 0,
	 "databases that keep their journal mode and every fsync; may be given many times"},
	{OPTION_NAMED("rule", rules), OPTION_RULE, 0, 0, 0,
	 "class:glob, tried before the default rules; may be given many times"},
	{.name = NULL},
};

const struct policy_option *policy_options(void)
{
	return options;
}

static bool is_number(enum policy_option_type type)
{
	return type == OPTION_MS || type == OPTION_COUNT || type == OPTION_BYTES;
}

static void *field_at(struct policy_config *config, size_t offset)
{
	return (char *)config + offset;
}

void policy_config_init(struct policy_config *config)
{
	const struct policy_option *option;

	memset(config, 0, sizeof(*config));
	for (option = options; option->name; option++) {
		if (is_number(option->type))
			*(int64_t *)field_at(config, option->offset) = option->def;
		else if (option->type == OPTION_BOOL)
			*(bool *)field_at(config, option->offset) = option->def != 0;
		else if (option->type == OPTION_WORD)
			*(int *)field_at(config, option->offset) = (int)option->def;
	}
}

/* --- words of the messages ---------------------------------------------- */

struct number_text {
	char text[32];
};

/* Sizes as a person would give them: in the largest unit that divides them. */
static struct number_text show(enum policy_option_type type, int64_t value)
{
	static const char units[] = "\0KMG";
	struct number_text shown;
	unsigned unit = 0;

	while (type == OPTION_BYTES && value != 0 && value % 1024 == 0 && unit < 3) {
		value /= 1024;
		unit++;
	}
	snprintf(shown.text, sizeof(shown.text), "%lld%.1s", (long long)value, &units[unit]);
	return shown;
}

static const char *wanted(enum policy_option_type type)
{
	switch (type) {
	case OPTION_MS:
		return "a number of milliseconds";
	case OPTION_BYTES:
		return "a size; write a number, then K, M or G if need be";
	case OPTION_BOOL:
		return "a switch; write on or off";
	case OPTION_COUNT:
	case OPTION_PATH:
	case OPTION_RULE:
	case OPTION_GLOB:
	case OPTION_WORD:
		break;
	}
	return "a number";
}

/* --- values ------------------------------------------------------------- */

static unsigned shift_of(char unit)
{
	switch (unit) {
	case 'k':
	case 'K':
		return 10;
	case 'm':
	case 'M':
		return 20;
	case 'g':
	case 'G':
		return 30;
	default:
		return 0;
	}
}

/* 0, -EINVAL for what is no number, -ERANGE for one that is negative or does
 * not fit. */
static int parse_number(const char *text, bool size, int64_t *number)
{
	bool negative = *text == '-', too_big = false;
	const char *p = text + negative;
	unsigned shift = 0;
	int64_t value = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
			too_big = true;
	}
	if (size && *p)
		shift = shift_of(*p);
	if (shift)
		p++;
	if (*p)
		return -EINVAL;
	if (negative || too_big || __builtin_mul_overflow(value, (int64_t)1 << shift, &value))
		return -ERANGE;
	*number = value;
	return 0;
}

static int set_number(int64_t *field, const struct policy_option *option, const char *text, char *why, size_t why_size)
{
	int64_t value;
	int error = parse_number(text, option->type == OPTION_BYTES, &value);

	if (error == -EINVAL) {
		snprintf(why, why_size, "not %s", wanted(option->type));
		return error;
	}
	if (error || value < option->min || value > option->max) {
		snprintf(why, why_size, "must be from %s to %s", show(option->type, option->min).text,
			 show(option->type, option->max).text);
		return -ERANGE;
	}
	*field = value;
	return 0;
}

static int set_bool(bool *field, const char *text, char *why, size_t why_size)
{
	static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "0", "1"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) == 0) {
			*field = i % 2 == 1;
			return 0;
		}
	}
	snprintf(why, why_size, "not %s", wanted(OPTION_BOOL));
	return -EINVAL;
}

/* "must be normal, full or off" */
static int set_word(int *field, const struct policy_option *option, const char *text, char *why, size_t why_size)
{
	const char *const *words = option->words;
	size_t used;
	int i;

	for (i = 0; words[i]; i++) {
		if (strcmp(text, words[i]) == 0) {
			*field = i;
			return 0;
		}
	}
	used = (size_t)snprintf(why, why_size, "must be %s", words[0]);
	for (i = 1; words[i] && used < why_size; i++)
		used += (size_t)snprintf(why + used, why_size - used, "%s%s", words[i + 1] ? ", " : " or ", words[i]);
	return -EINVAL;
}

static int set_path(char *field, size_t size, const char *text, char *why, size_t why_size)
{
	size_t len = strlen(text);

	if (len == 0 || len >= size) {
		snprintf(why, why_size, "%s",
			 len ? "longer than a path may be" : "an empty path; leave the option out");
		return -EINVAL;
	}
	memcpy(field, text, len + 1);
	return 0;
}

static const struct policy_option *find(const char *name)
{
	const struct policy_option *option;

	for (option = options; option->name; option++) {
		if (strcmp(option->name, name) == 0)
			return option;
	}
	return NULL;
}

int policy_config_set(struct policy_config *config, const char *name, const char *value, char *why, size_t why_size)
{
	const struct policy_option *option = find(name);
	const char *near;

	if (!option) {
		near = policy_option_suggest(name);
		if (near)
			snprintf(why, why_size, "unknown; did you mean %s?", near);
		else
			snprintf(why, why_size, "unknown; --help lists the options");
		return -ENOENT;
	}
	if (!value) {
		if (option->type != OPTION_BOOL) {
			snprintf(why, why_size, "needs a value; write %s=...", name);
			return -EINVAL;
		}
		value = "on";
	}
	switch (option->type) {
	case OPTION_BOOL:
		return set_bool(field_at(config, option->offset), value, why, why_size);
	case OPTION_PATH:
		return set_path(field_at(config, option->offset), sizeof(config->upper), value, why, why_size);
	case OPTION_GLOB:
		return policy_globs_add(field_at(config, option->offset), value, why, why_size);
	case OPTION_WORD:
		return set_word(field_at(config, option->offset), option, value, why, why_size);
	case OPTION_RULE:
		return policy_rules_add(field_at(config, option->offset), value, why, why_size);
	case OPTION_MS:
	case OPTION_COUNT:
	case OPTION_BYTES:
		break;
	}
	return set_number(field_at(config, option->offset), option, value, why, why_size);
}

/* --- what holds between options ----------------------------------------- */

struct ordered {
	const char *low;
	size_t low_offset;
	const char *high;
	size_t high_offset;
	enum policy_option_type type;
};

static const struct ordered orders[] = {
	{FIELD(session_debounce_ms), FIELD(session_max_ms), OPTION_MS},
	{FIELD(retry_ms), FIELD(retry_max_ms), OPTION_MS},
	{FIELD(file_max), FIELD(ram_max), OPTION_BYTES},
};

int policy_config_check(struct policy_config *config, char *why, size_t why_size)
{
	const struct ordered *o;
	int64_t low, high;
	size_t i;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		o = &orders[i];
		low = *(int64_t *)field_at(config, o->low_offset);
		high = *(int64_t *)field_at(config, o->high_offset);
		if (low > high) {
			snprintf(why, why_size, "%s (%s) must not be more than %s (%s); set both", o->low,
				 show(o->type, low).text, o->high, show(o->type, high).text);
			return -EINVAL;
		}
	}
	/* A smaller bound would make a part of nearly every flush. */
	if (config->log_rotate_bytes != 0 && config->log_rotate_bytes < LOG_ROTATE_MIN) {
		snprintf(why, why_size, "log_rotate_bytes (%s) must be 0 or at least %s",
			 show(OPTION_BYTES, config->log_rotate_bytes).text, show(OPTION_BYTES, LOG_ROTATE_MIN).text);
		return -EINVAL;
	}
	if (config->file_max == 0)
		config->file_max = config->ram_max / 2;
	return 0;
}

/* --- "did you mean" ----------------------------------------------------- */

#define NAME_MAX_LEN 32 /* longer than every option's name; the unit test checks */

/* Levenshtein's distance. `a` is of any length, `b` shorter than NAME_MAX_LEN. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_LEN], diagonal, above, best, i, j;
	size_t len = strlen(b);

	for (j = 0; j <= len; j++)
		row[j] = j;
	for (i = 0; a[i]; i++) {
		diagonal = row[0];
		row[0] = i + 1;
		for (j = 0; j < len; j++) {
			above = row[j + 1];
			best = diagonal + (a[i] != b[j]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			diagonal = above;
			row[j + 1] = best;
		}
	}
	return row[len];
}

const char *policy_option_suggest(const char *name)
{
	const struct policy_option *option;
	const char *nearest = NULL;
	size_t limit = strlen(name) / 2 < 3 ? strlen(name) / 2 : 3;
	size_t d;

	for (option = options; option->name; option++) {
		d = distance(name, option->name);
		if (d <= limit && (!nearest || d < distance(name, nearest)))
			nearest = option->name;
	}
	return nearest;
}
