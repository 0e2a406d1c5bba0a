/* Options: what text is taken, what is refused and with which words. */
#include "policy/barrier.h"
#include "policy/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct policy_config config, before;
static char why[256];

static int setup(void **state)
{
	policy_config_init(&config);
	why[0] = '\0';
	return 0;
}

static int set(const char *name, const char *value)
{
	return policy_config_set(&config, name, value, why, sizeof(why));
}

/* Refused with `error`, for a reason that contains `part`, and nothing changed. */
static void assert_refused(const char *name, const char *value, int error, const char *part)
{
	int result;

	before = config;
	why[0] = '\0';
	result = set(name, value);
	if (result != error || !strstr(why, part))
		fail_msg("%s=%s: %d \"%s\", expected %d \"%s\"", name, value ? value : "(none)", result, why, error,
			 part);
	assert_memory_equal(&config, &before, sizeof(config));
	assert_null(strchr(why, '\n'));
}

static void test_defaults(void **state)
{
	assert_int_equal(config.log_flush_ms, 5000);
	assert_int_equal(config.log_lines, 100);
	assert_int_equal(config.log_bytes, 262144);
	assert_true(config.log_urgent);
	assert_int_equal(config.log_rotate_bytes, 10 << 20);
	assert_int_equal(config.log_rotate_keep, 100);
	assert_int_equal(config.log_parts, PARTS_DOT);
	assert_true(config.log_gzip);
	assert_int_equal(config.log_gzip_age_ms, 3600000);
	assert_int_equal(config.log_keep_days, 7);
	assert_int_equal(config.log_keep_bytes, 0);
	assert_int_equal(config.append_flush_ms, 2000);
	assert_int_equal(config.session_debounce_ms, 2000);
	assert_int_equal(config.session_max_ms, 5000);
	assert_int_equal(config.state_flush_ms, 1000);
	assert_int_equal(config.rewrite_max_ms, 30000);
	assert_int_equal(config.epoch_reach_ms, 500);
	assert_int_equal(config.retry_ms, 1000);
	assert_int_equal(config.retry_max_ms, 60000);
	assert_int_equal(config.ram_max, 64 << 20);
	assert_int_equal(config.file_max, 0);
	assert_string_equal(config.upper, "");
	assert_int_equal(config.passthrough, PASSTHROUGH_AUTO);
	assert_int_equal(config.rules.count, 0);
	assert_true(config.sqlite_wal);
	assert_int_equal(config.sqlite_sync, SYNC_NORMAL);
	assert_int_equal(config.sqlite_sync_ms, 5000);
	assert_int_equal(config.sqlite_checkpoint_ms, 300000);
	assert_int_equal(config.sqlite_wal_limit, 64 << 20);
	assert_int_equal(config.sqlite_exclude.count, 0);
	assert_int_equal(config.sqlite_cache, 256 << 10);
	assert_int_equal(config.cache_ms, 86400000);
	assert_true(config.metrics);
	assert_int_equal(config.metrics_window_ms, 60000);
	assert_int_equal(config.profile, PROFILE_SECURECLAW);
	assert_false(config.allow_other);
	assert_string_equal(config.logfile, "");
	assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);
	assert_int_equal(config.file_max, 32 << 20);
}

static size_t size_of(enum policy_option_type type)
{
	switch (type) {
	case OPTION_BOOL:
		return sizeof(bool);
	case OPTION_PATH:
		return sizeof(config.upper);
	case OPTION_RULE:
		return sizeof(struct policy_rules);
	case OPTION_GLOB:
		return sizeof(struct policy_globs);
	case OPTION_WORD:
		return sizeof(int);
	default:
		return sizeof(int64_t);
	}
}

/* Every byte of struct policy_config belongs to exactly one option, but for the
 * padding behind its bool and its words: a field that is forgotten in the table shows. */
static void test_table_is_the_struct(void **state)
{
	static unsigned char owned[sizeof(struct policy_config)];
	const struct policy_option *o;
	size_t i, gap = 0;

	memset(owned, 0, sizeof(owned));
	for (o = policy_options(); o->name; o++) {
		for (i = 0; i < size_of(o->type); i++)
			assert_int_equal(owned[o->offset + i]++, 0);
	}
	for (i = 0; i < sizeof(owned); i++) {
		gap = owned[i] ? 0 : gap + 1;
		assert_true(gap < sizeof(int64_t));
	}
}

static void test_table_is_sane(void **state)
{
	const struct policy_option *o, *p;

	for (o = policy_options(); o->name; o++) {
		assert_true(strlen(o->name) < 32); /* NAME_MAX_LEN in config.c */
		assert_true(strlen(o->help) > 10 && strlen(o->help) < 90);
		assert_null(strchr(o->help, '\n'));
		assert_int_not_equal(o->help[strlen(o->help) - 1], '.');
		assert_true(o->min <= o->def && o->def <= o->max);
		assert_true(o - policy_options() < POLICY_OPTIONS_MAX);
		/* What SIGHUP stores is one word each (fs/reload.c). */
		if (o->live)
			assert_true(o->type != OPTION_PATH && o->type != OPTION_RULE && o->type != OPTION_GLOB &&
				    o->type != OPTION_WORD);
		for (p = policy_options(); p != o; p++)
			assert_string_not_equal(p->name, o->name);
	}
}

/* Both ends of every range are taken, one beyond is not, and the message says
 * the range in words that the option itself takes. */
static void test_ranges(void **state)
{
	const struct policy_option *o;
	char text[32], low[16], high[16];

	for (o = policy_options(); o->name; o++) {
		if (o->type != OPTION_MS && o->type != OPTION_COUNT && o->type != OPTION_BYTES)
			continue;
		snprintf(text, sizeof(text), "%lld", (long long)o->min);
		assert_int_equal(set(o->name, text), 0);
		assert_int_equal(*(int64_t *)((char *)&config + o->offset), o->min);
		snprintf(text, sizeof(text), "%lld", (long long)o->max);
		assert_int_equal(set(o->name, text), 0);
		assert_int_equal(*(int64_t *)((char *)&config + o->offset), o->max);
		snprintf(text, sizeof(text), "%lld", (long long)o->min - 1);
		assert_refused(o->name, text, -ERANGE, "must be from ");
		snprintf(text, sizeof(text), "%lld", (long long)o->max + 1);
		assert_refused(o->name, text, -ERANGE, "must be from ");

		assert_int_equal(sscanf(why, "must be from %15s to %15s", low, high), 2);
		assert_int_equal(set(o->name, low), 0);
		assert_int_equal(*(int64_t *)((char *)&config + o->offset), o->min);
		assert_int_equal(set(o->name, high), 0);
		assert_int_equal(*(int64_t *)((char *)&config + o->offset), o->max);
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"1k", 1024},
		{"1K", 1024},
		{"3m", 3 << 20},
		{"3M", 3 << 20},
		{"2g", 2LL << 30},
		{"2G", 2LL << 30},
		{"007", 7},
		{"64G", 64LL << 30},
		{"00000000000000000000000000000000001K", 1024},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(set("log_bytes", cases[i].text), 0);
		assert_int_equal(config.log_bytes, cases[i].value);
	}
}

static void test_bad_numbers(void **state)
{
	static const char *const no_size[] = {"",     " 1",  "1 ",  "M",  "+1",	 "-",  "0x10",
					      "1.5M", "1KB", "1KK", "1T", "1M ", "ten"};
	static const char *const no_ms[] = {"", "5s", "5K", "5000ms", "1e3", "5,000", "--5", "\xc2\xb2"};
	size_t i;

	for (i = 0; i < sizeof(no_size) / sizeof(no_size[0]); i++)
		assert_refused("ram_max", no_size[i], -EINVAL, "not a size; write a number, then K, M or G");
	for (i = 0; i < sizeof(no_ms) / sizeof(no_ms[0]); i++)
		assert_refused("log_flush_ms", no_ms[i], -EINVAL, "not a number of milliseconds");
	assert_refused("log_lines", "10K", -EINVAL, "not a number");
	assert_refused("log_flush_ms", "-1", -ERANGE, "must be from 0 to 3600000");
	assert_refused("log_flush_ms", "9223372036854775807", -ERANGE, "must be from");
	assert_refused("log_flush_ms", "9223372036854775808", -ERANGE, "must be from");
	assert_refused("log_flush_ms", "18446744073709551616", -ERANGE, "must be from");
	assert_refused("log_flush_ms", "18446744073709556616", -ERANGE, "must be from"); /* 5000 modulo 2^64 */
	assert_refused("ram_max", "17179869184G", -ERANGE, "must be from 1M to 64G");	 /* 2^64 */
	assert_refused("ram_max", "9999999999999999999999999999999G", -ERANGE, "must be from 1M to 64G");
	assert_refused("ram_max", "1023K", -ERANGE, "must be from 1M to 64G");
}

static void test_booleans(void **state)
{
	static const char *const on[] = {"on", "yes", "true", "1", NULL};
	static const char *const off[] = {"off", "no", "false", "0"};
	size_t i;

	for (i = 0; i < 4; i++) {
		assert_int_equal(set("log_urgent", off[i]), 0);
		assert_false(config.log_urgent);
		assert_int_equal(set("log_urgent", on[i]), 0);
		assert_true(config.log_urgent);
	}
	config.log_urgent = false;
	assert_int_equal(set("log_urgent", NULL), 0);
	assert_true(config.log_urgent);
	assert_refused("log_urgent", "", -EINVAL, "write on or off");
	assert_refused("log_urgent", "maybe", -EINVAL, "write on or off");
	assert_refused("log_urgent", "2", -EINVAL, "write on or off");
}

/* Every word of every option is taken and gives its index; others are refused
 * with the list of them. */
static void test_words(void **state)
{
	const struct policy_option *o;
	int64_t i;

	for (o = policy_options(); o->name; o++) {
		assert_int_equal(o->words != NULL, o->type == OPTION_WORD);
		if (!o->words)
			continue;
		assert_int_equal(o->min, 0);
		for (i = 0; o->words[i]; i++) {
			assert_int_equal(set(o->name, o->words[i]), 0);
			assert_int_equal(*(int *)((char *)&config + o->offset), i);
		}
		assert_int_equal(o->max, i - 1);
		assert_refused(o->name, "", -EINVAL, "must be ");
		assert_refused(o->name, NULL, -EINVAL, "needs a value");
	}
	assert_int_equal(set("passthrough", "off"), 0);
	assert_int_equal(config.passthrough, PASSTHROUGH_OFF);
	assert_refused("passthrough", "on", -EINVAL, "must be auto or off");
	assert_refused("passthrough", "OFF", -EINVAL, "must be auto or off");
	assert_refused("passthrough", "offf", -EINVAL, "must be auto or off");
}

static void test_paths(void **state)
{
	static char longest[4097];

	memset(longest, 'x', sizeof(longest) - 1);
	assert_refused("upper", longest, -EINVAL, "longer than a path may be");
	assert_refused("upper", "", -EINVAL, "empty path");
	longest[4095] = '\0';
	assert_int_equal(set("upper", longest), 0);
	assert_string_equal(config.upper, longest);
	assert_int_equal(set("upper", "/dev/shm/x"), 0);
	assert_string_equal(config.upper, "/dev/shm/x");
}

static void test_rules(void **state)
{
	assert_int_equal(set("rule", "log:notes/**"), 0);
	assert_int_equal(set("rule", "through:*.json"), 0);
	assert_int_equal(config.rules.count, 2);
	assert_int_equal(policy_classify(&config.rules, "notes/x"), CLASS_LOG);
	assert_int_equal(policy_classify(&config.rules, "a.json"), CLASS_THROUGH);
	assert_refused("rule", "lgo:x", -EINVAL, "unknown class");
	assert_refused("rule", "log:[", -EINVAL, "unclosed [");
}

static void test_names(void **state)
{
	assert_refused("log_flush_ms", NULL, -EINVAL, "needs a value; write log_flush_ms=...");
	assert_refused("rule", NULL, -EINVAL, "needs a value");
	assert_refused("upper", NULL, -EINVAL, "needs a value");
	assert_refused("lgo_lines", "5", -ENOENT, "unknown; did you mean log_lines?");
	assert_refused("session_debounce", "5", -ENOENT, "did you mean session_debounce_ms?");
	assert_refused("", "5", -ENOENT, "unknown; --help lists the options");
	assert_refused("bogus", NULL, -ENOENT, "unknown; --help lists the options");
}

static void test_suggest(void **state)
{
	static char longest[5000];
	const struct policy_option *o;

	for (o = policy_options(); o->name; o++)
		assert_string_equal(policy_option_suggest(o->name), o->name);
	assert_string_equal(policy_option_suggest("ram-max"), "ram_max");
	assert_string_equal(policy_option_suggest("log_line"), "log_lines");
	assert_string_equal(policy_option_suggest("retrymax_ms"), "retry_max_ms");
	assert_string_equal(policy_option_suggest("retry_m"), "retry_ms");
	assert_string_equal(policy_option_suggest("rules"), "rule");
	assert_string_equal(policy_option_suggest("log_flush"), "log_flush_ms"); /* just 3 */
	assert_null(policy_option_suggest("log_flus"));				 /* 4 */
	assert_string_equal(policy_option_suggest("log_xxxes"), "log_lines");	 /* as near to log_bytes */
	assert_null(policy_option_suggest("ro"));
	assert_null(policy_option_suggest("dev"));
	assert_null(policy_option_suggest(""));
	memset(longest, 'l', sizeof(longest) - 1);
	assert_null(policy_option_suggest(longest));
}

static void assert_unfit(const char *part)
{
	before = config;
	assert_int_equal(policy_config_check(&config, why, sizeof(why)), -EINVAL);
	if (!strstr(why, part))
		fail_msg("\"%s\" lacks \"%s\"", why, part);
	assert_memory_equal(&config, &before, sizeof(config));
}

static void test_check(void **state)
{
	assert_int_equal(set("session_debounce_ms", "5001"), 0);
	assert_unfit("session_debounce_ms (5001) must not be more than session_max_ms (5000)");
	assert_int_equal(set("session_max_ms", "5001"), 0);
	assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);

	policy_config_init(&config);
	assert_int_equal(set("retry_ms", "2000"), 0);
	assert_int_equal(set("retry_max_ms", "1999"), 0);
	assert_unfit("retry_ms (2000) must not be more than retry_max_ms (1999)");

	policy_config_init(&config);
	assert_int_equal(set("file_max", "65M"), 0);
	assert_unfit("file_max (65M) must not be more than ram_max (64M)");
	assert_int_equal(set("file_max", "64M"), 0);
	assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);
	assert_int_equal(config.file_max, 64 << 20);

	policy_config_init(&config);
	assert_int_equal(set("log_rotate_bytes", "4095"), 0);
	assert_unfit("log_rotate_bytes (4095) must be 0 or at least 4K");
	assert_int_equal(set("log_rotate_bytes", "4K"), 0);
	assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);
	assert_int_equal(set("log_rotate_bytes", "0"), 0);
	assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);

	policy_config_init(&config);
	assert_int_equal(set("ram_max", "1M"), 0);
	assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);
	assert_int_equal(config.file_max, 512 << 10);
}

/* off: handled as through, whoever's rule it is. */
static void test_switches(void **state)
{
	static const struct {
		const char *option, *path;
		enum policy_class cls;
	} cases[] = {
		{"log_buffer", "logs/a.log", CLASS_LOG},
		{"log_buffer", "own", CLASS_LOG},
		{"append_buffer", "a/b.jsonl", CLASS_APPEND},
		{"session_buffer", "agents/main/sessions/sessions.json", CLASS_SNAPSHOT},
		{"state_buffer", "secureclaw.json", CLASS_STATE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		policy_config_init(&config);
		assert_int_equal(set("rule", "log:own"), 0);
		assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);
		assert_int_equal(policy_classify(&config.rules, cases[i].path), cases[i].cls);
		assert_int_equal(set(cases[i].option, "off"), 0);
		assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);
		for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++)
			assert_int_equal(policy_classify(&config.rules, cases[k].path),
					 cases[k].cls == cases[i].cls ? CLASS_THROUGH : cases[k].cls);
	}
}

static void test_profiles(void **state)
{
	static const struct {
		const char *path;
		enum policy_class ours, generic;
	} cases[] = {
		{"logs/a", CLASS_LOG, CLASS_LOG},
		{"a/b.log", CLASS_LOG, CLASS_LOG},
		{"x.jsonl", CLASS_APPEND, CLASS_APPEND},
		{"a.json", CLASS_STATE, CLASS_STATE},
		{"a.db", CLASS_SQLITE, CLASS_SQLITE},
		{"a.db-shm", CLASS_VOLATILE, CLASS_VOLATILE},
		{"sessions.json", CLASS_SNAPSHOT, CLASS_STATE},
		{"workspace/a.json", CLASS_THROUGH, CLASS_STATE},
		{"Cargo.lock", CLASS_VOLATILE, CLASS_THROUGH},
		{"a.tmp", CLASS_VOLATILE, CLASS_THROUGH},
		{".env", CLASS_STATE, CLASS_THROUGH},
		{"a/.git/x.log", CLASS_THROUGH, CLASS_THROUGH},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int profile = 0; profile < PROFILE_COUNT; profile++) {
			config.profile = profile;
			assert_int_equal(policy_config_check(&config, why, sizeof(why)), 0);
			assert_int_equal(policy_classify(&config.rules, cases[i].path),
					 profile == PROFILE_GENERIC ? cases[i].generic : cases[i].ours);
			assert_int_equal(policy_classify_dir_volatile(&config.rules, "x.lock"),
					 profile != PROFILE_GENERIC);
		}
	}
}

static void test_exclusions(void **state)
{
	assert_int_equal(set("sqlite_exclude", "workspace"), 0);
	assert_int_equal(set("sqlite_exclude", "memory/*.db"), 0);
	assert_true(policy_globs_match(&config.sqlite_exclude, "workspace/project/x.sqlite"));
	assert_true(policy_globs_match(&config.sqlite_exclude, "memory/a.db"));
	assert_false(policy_globs_match(&config.sqlite_exclude, "memory/a.sqlite"));
	assert_false(policy_globs_match(&config.sqlite_exclude, ""));
	assert_refused("sqlite_exclude", "", -EINVAL, "empty glob");
	assert_refused("sqlite_exclude", "[x", -EINVAL, "[");
	assert_int_equal(config.sqlite_exclude.count, 2);
	for (int i = 2; i < POLICY_GLOBS_MAX; i++)
		assert_int_equal(set("sqlite_exclude", "x"), 0);
	assert_refused("sqlite_exclude", "x", -ENOSPC, "more than 32");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_defaults, setup),
		cmocka_unit_test_setup(test_table_is_the_struct, setup),
		cmocka_unit_test_setup(test_table_is_sane, setup),
		cmocka_unit_test_setup(test_ranges, setup),
		cmocka_unit_test_setup(test_exclusions, setup),
		cmocka_unit_test_setup(test_switches, setup),
		cmocka_unit_test_setup(test_profiles, setup),
		cmocka_unit_test_setup(test_sizes, setup),
		cmocka_unit_test_setup(test_bad_numbers, setup),
		cmocka_unit_test_setup(test_booleans, setup),
		cmocka_unit_test_setup(test_words, setup),
		cmocka_unit_test_setup(test_paths, setup),
		cmocka_unit_test_setup(test_rules, setup),
		cmocka_unit_test_setup(test_names, setup),
		cmocka_unit_test_setup(test_suggest, setup),
		cmocka_unit_test_setup(test_check, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
