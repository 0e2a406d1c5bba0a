/* What a path is, and that the matcher agrees with the plainest one there is. */
#include "policy/classify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct expected {
	const char *path;
	enum policy_class cls;
};

static void assert_classes(const struct policy_rules *rules, const struct expected *e)
{
	for (; e->path; e++) {
		enum policy_class cls = policy_classify(rules, e->path);

		if (cls != e->cls)
			fail_msg("%s is %s, expected %s", e->path, policy_class_name(cls), policy_class_name(e->cls));
	}
}

static struct policy_rules rules_of(const char *const *texts)
{
	struct policy_rules rules = {.count = 0};
	char why[128];

	for (; *texts; texts++) {
		if (policy_rules_add(&rules, *texts, why, sizeof(why)) != 0)
			fail_msg("%s: %s", *texts, why);
	}
	return rules;
}

static void test_names(void **state)
{
	static const char *const classes[] = {"log", "append", "snapshot", "state", "volatile", "sqlite", "through"};
	unsigned i, j;

	for (i = 0; i < CLASS_COUNT; i++) {
		assert_string_equal(policy_class_name((enum policy_class)i), classes[i]);
		assert_int_equal(policy_class_parse(classes[i], strlen(classes[i])), i);
	}
	assert_int_equal(policy_class_parse("logs", 4), CLASS_COUNT);
	assert_int_equal(policy_class_parse("logs", 3), CLASS_LOG);
	assert_int_equal(policy_class_parse("lo", 2), CLASS_COUNT);
	assert_int_equal(policy_class_parse("LOG", 3), CLASS_COUNT);
	assert_int_equal(policy_class_parse("", 0), CLASS_COUNT);
	assert_string_equal(policy_class_name(CLASS_COUNT), "unknown");
	for (i = 0; i < CAUSE_COUNT; i++) {
		assert_non_null(policy_cause_name((enum policy_cause)i));
		for (j = 0; j < i; j++)
			assert_string_not_equal(policy_cause_name((enum policy_cause)i),
						policy_cause_name((enum policy_cause)j));
	}
	assert_string_equal(policy_cause_name(CAUSE_INTERVAL), "interval");
	assert_string_equal(policy_cause_name(CAUSE_END), "end");
	assert_string_equal(policy_cause_name(CAUSE_COUNT), "unknown");
}

static void test_locks(void **state)
{
	assert_true(policy_is_lock("sessions.json.lock"));
	assert_true(policy_is_lock("x.lock"));
	assert_false(policy_is_lock(".lock"));
	assert_false(policy_is_lock("lock"));
	assert_false(policy_is_lock(""));
	assert_false(policy_is_lock("x.lock.tmp"));
	assert_false(policy_is_lock("xlock"));
}

/* The files of APPLICATION-IO.md, one by one. */
static void test_defaults(void **state)
{
	static const struct expected expected[] = {
		{"logs/commands.log", CLASS_LOG},
		{"logs/cache-trace.jsonl", CLASS_LOG},
		{"logs/a/b/anything", CLASS_LOG},
		{"secureclaw-2026-01-01.log", CLASS_LOG},
		{"agents/main/sessions/sessions.json", CLASS_SNAPSHOT},
		{"sessions.json", CLASS_SNAPSHOT},
		{"agents/main/sessions/sessions.json.bak.1767225600000", CLASS_SNAPSHOT},
		{"agents/main/sessions/sessions.json.lock", CLASS_VOLATILE},
		{"agents/main/sessions/sessions.json.12.3f2a.tmp", CLASS_VOLATILE},
		{"agents/main/sessions/xsessions.json", CLASS_STATE},
		{"agents/main/sessions/s1.jsonl", CLASS_APPEND},
		{"agents/main/sessions/s1-topic-4.jsonl", CLASS_APPEND},
		{"agents/main/sessions/s1.jsonl.lock", CLASS_VOLATILE},
		{"agents/main/sessions/s1.jsonl.deleted.2026", CLASS_THROUGH},
		{"cron/runs/j.jsonl", CLASS_APPEND},
		{"security-coach-audit.jsonl", CLASS_APPEND},
		{"memory/main.sqlite", CLASS_SQLITE},
		{"memory/main.sqlite-wal", CLASS_SQLITE},
		{"memory/main.sqlite-journal", CLASS_SQLITE},
		{"memory/main.sqlite-shm", CLASS_VOLATILE},
		{"memory/main.sqlite.tmp-0b6e", CLASS_SQLITE},
		{"memory/main.sqlite.tmp-0b6e-wal", CLASS_SQLITE},
		{"memory/main.sqlite.tmp-0b6e-journal", CLASS_SQLITE},
		{"memory/main.sqlite.tmp-0b6e-shm", CLASS_VOLATILE},
		{"memory/main.sqlite.backup-0b6e", CLASS_SQLITE},
		{"memory/main.sqlite.backup-0b6e-wal", CLASS_SQLITE},
		{"memory/main.sqlite.backup-0b6e-shm", CLASS_VOLATILE},
		{"x.db", CLASS_SQLITE},
		{"x.db-wal", CLASS_SQLITE},
		{"x.db-journal", CLASS_SQLITE},
		{"x.sqlite3", CLASS_SQLITE},
		{"x.sqlite3-wal", CLASS_SQLITE},
		{"x.sqlite3-journal", CLASS_SQLITE},
		{"agents/main/qmd/index.sqlite", CLASS_SQLITE},
		{"etilqs_8a7d", CLASS_VOLATILE},
		{"secureclaw.json", CLASS_STATE},
		{"secureclaw.json.bak", CLASS_THROUGH},
		{"credentials/whatsapp/a/creds.json", CLASS_STATE},
		{"identity/device.json", CLASS_STATE},
		{".env", CLASS_STATE},
		{"a/.env", CLASS_STATE},
		{"x.env", CLASS_THROUGH},
		{"a.tmp", CLASS_VOLATILE},
		{"a.tmp-1", CLASS_VOLATILE},
		{"logs/x.lock", CLASS_VOLATILE},
		{"logs/x.tmp", CLASS_VOLATILE},
		/* directories that are not ours */
		{"workspace/AGENTS.md", CLASS_THROUGH},
		{"workspace/package.json", CLASS_THROUGH},
		{"workspace/build.log", CLASS_THROUGH},
		{"workspace/sessions.json", CLASS_THROUGH},
		{"workspace-2/a.jsonl", CLASS_THROUGH},
		{"workspace/.git/index.lock", CLASS_THROUGH},
		{"other/.git/config.lock", CLASS_THROUGH},
		{".git/index.lock", CLASS_THROUGH},
		{"a.git/x.lock", CLASS_VOLATILE},
		{"a/node_modules/p/package.json", CLASS_THROUGH},
		{"node_modules/p/x.log", CLASS_THROUGH},
		{"media/inbound/a.json", CLASS_THROUGH},
		{"browser/p/user-data/000003.log", CLASS_THROUGH},
		{"browser/p/user-data/Default/Local State.tmp", CLASS_THROUGH},
		{"memory/lancedb/t/manifest.json", CLASS_THROUGH},
		{"extensions/a/package.json", CLASS_THROUGH},
		{"hooks/h.json", CLASS_THROUGH},
		{"skills/s/x.json", CLASS_THROUGH},
		{"tools/signal-cli/a.json", CLASS_THROUGH},
		{"sandboxes/a/b.json", CLASS_THROUGH},
		{"canvas/index.json", CLASS_THROUGH},
		{"completions/a.json", CLASS_THROUGH},
		{"agents/main/qmd/x.json", CLASS_THROUGH},
		{"agents/a/b/qmd/x.json", CLASS_STATE},
		{"gateway/tls/meta.json", CLASS_THROUGH},
		{"xworkspace/a.json", CLASS_STATE},
		{"a/workspace/b.json", CLASS_STATE},
		{"workspace", CLASS_THROUGH},
		/* the rest */
		{"exec-approvals.sock", CLASS_THROUGH},
		{"README", CLASS_THROUGH},
		{"a.JSON", CLASS_THROUGH},
		{"", CLASS_THROUGH},
		{NULL, CLASS_COUNT},
	};

	assert_classes(NULL, expected);
}

static void test_own_rules_come_first(void **state)
{
	static const char *const texts[] = {"through:logs/keep/**",	   "state:notes/*.md",
					    "volatile:cache/**",	   "log:logs/keep/x",
					    "append:workspace/**/*.jsonl", NULL};
	static const struct expected expected[] = {
		{"logs/keep/x", CLASS_THROUGH},	       {"logs/x", CLASS_LOG},
		{"notes/a.md", CLASS_STATE},	       {"notes/a/b.md", CLASS_THROUGH},
		{"cache/x.db", CLASS_VOLATILE},	       {"workspace/a.jsonl", CLASS_APPEND},
		{"workspace/a/b.jsonl", CLASS_APPEND}, {NULL, CLASS_COUNT},
	};
	struct policy_rules rules = rules_of(texts);

	assert_classes(&rules, expected);
}

static void test_directories(void **state)
{
	static const char *const texts[] = {"volatile:scratch", "through:data/*.lock", "volatile:workspace/*.lock",
					    NULL};
	struct policy_rules rules = rules_of(texts);

	assert_true(policy_classify_dir_volatile(NULL, "x.lock"));
	assert_true(policy_classify_dir_volatile(NULL, "agents/main/agent/auth-profiles.json.lock"));
	assert_true(policy_classify_dir_volatile(NULL, "logs/x.lock"));
	assert_true(policy_classify_dir_volatile(NULL, "data/x.lock"));
	assert_true(policy_classify_dir_volatile(NULL, "memory/main.sqlite.lock"));
	assert_false(policy_classify_dir_volatile(NULL, "workspace/x.lock"));
	assert_false(policy_classify_dir_volatile(NULL, "a/.git/x.lock"));
	assert_false(policy_classify_dir_volatile(NULL, "x.tmp"));
	assert_false(policy_classify_dir_volatile(NULL, "x-shm"));
	assert_false(policy_classify_dir_volatile(NULL, "logs"));
	assert_false(policy_classify_dir_volatile(NULL, "x.lock/sub"));
	assert_false(policy_classify_dir_volatile(NULL, ""));

	assert_true(policy_classify_dir_volatile(&rules, "a/scratch"));
	assert_false(policy_classify_dir_volatile(&rules, "data/x.lock"));
	assert_true(policy_classify_dir_volatile(&rules, "workspace/x.lock"));
	assert_true(policy_classify_dir_volatile(&rules, "y.lock"));
}

static void test_globs(void **state)
{
	static const struct {
		const char *glob, *path;
		bool match;
	} cases[] = {
		{"*.log", "a.log", true},
		{"*.log", "x/y/a.log", true},
		{"*.log", ".log", true},
		{"*.log", "a.log2", false},
		{"*.log", "a.log/b", false},
		{"a/*.log", "a/b.log", true},
		{"a/*.log", "a/b/c.log", false},
		{"a/*.log", "x/a/b.log", false},
		{"a/**", "a/b", true},
		{"a/**", "a/b/c", true},
		{"a/**", "a", false},
		{"a/**", "ab/c", false},
		{"**/a", "a", true},
		{"**/a", "x/a", true},
		{"**/a", "x/y/a", true},
		{"**/a", "xa", false},
		{"**/a", "x/ya", false},
		{"a/**/b", "a/b", true},
		{"a/**/b", "a/x/b", true},
		{"a/**/b", "a/x/y/b", true},
		{"a/**/b", "a/xb", false},
		{"a/**/b", "ab", false},
		{"a/**b", "a/x/yb", true},
		{"a**/b", "ax/y/b", true},
		{"a**/b", "a/b", true},
		{"a/***/b", "a/x/b", true},
		{"a/***/b", "a/b", false},
		{"**", "x/y", true},
		{"**/**/a", "a", true},
		{"**/*", "a", true},
		{"**/*/**", "a", false},
		{"**/*/**", "a/b", true},
		{"?", "a", true},
		{"?", "", false},
		{"a/?", "a/", false},
		{"a?b", "a/b", false},
		{"a/b?c", "a/b/c", false},
		{"[a-c]x", "bx", true},
		{"[a-c]x", "dx", false},
		{"[!a-c]x", "dx", true},
		{"[!a-c]x", "bx", false},
		{"a[!x]b/c", "a/b/c", false},
		{"[]]", "]", true},
		{"[]a]", "a", true},
		{"[!]]", "]", false},
		{"[!]]", "a", true},
		{"[a-]", "-", true},
		{"[-a]", "-", true},
		{"[\\]]", "]", true},
		{"[\\a-\\c]", "b", true},
		{"[^a]", "^", true},
		{"[a", "a", false},
		{"[a", "[a", false},
		{"a]", "a]", true},
		{"a\\", "a", false},
		{"a\\", "a\\", false},
		{"\\*", "*", true},
		{"\\*", "x", false},
		{"\\**", "*abc", true},
		{"\\\\", "\\", true},
		{"", "", false},
		{"", "a", false},
		{"a", "", false},
		{"*", "", true},
		{"\xff*", "\xff\xfe", true},
		{"[\x80-\xff]", "\xc3", true},
		{"?", "\xc3\xa9", false},
		{"*a*a*a*", "xaxaxax", true},
		{"*a*a*a*a*", "xaxaxax", false},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (policy_glob_match(cases[i].glob, cases[i].path) != cases[i].match)
			fail_msg("glob %s, path %s: expected %d", cases[i].glob, cases[i].path, cases[i].match);
	}
}

/* 255 bytes of stars against 64 KiB: exponential backtracking would not end,
 * quadratic in the path would be 4 * 10^9 steps. */
static void test_hostile_glob(void **state)
{
	static char path[65537];
	char glob[POLICY_GLOB_MAX + 2];
	size_t i;

	memset(path, 'a', sizeof(path) - 1);
	for (i = 4096; i < sizeof(path) - 1; i += 4096)
		path[i] = '/';
	for (i = 0; i + 3 <= POLICY_GLOB_MAX - 1; i += 3)
		memcpy(glob + i, "**a", 3);
	memcpy(glob + i, "[b]", 4);
	assert_true(strlen(glob) <= POLICY_GLOB_MAX);
	assert_false(policy_glob_match(glob, path));
	path[sizeof(path) - 2] = 'b';
	assert_true(policy_glob_match(glob, path));

	/* A glob that no rule can hold matches nothing, not even itself. */
	memset(glob, 'a', POLICY_GLOB_MAX + 1);
	glob[POLICY_GLOB_MAX + 1] = '\0';
	assert_false(policy_glob_match(glob, glob));
	glob[POLICY_GLOB_MAX] = '\0';
	assert_true(policy_glob_match(glob, glob));
}

/* --- the reference: what classify.h says, by recursion ------------------- */

static bool naive(const char *whole, const char *g, const char *p);

static bool naive_any(const char *whole, const char *rest, const char *p, bool cross)
{
	for (;; p++) {
		if (naive(whole, rest, p))
			return true;
		if (!*p || (!cross && *p == '/'))
			return false;
	}
}

static bool naive_dirs(const char *whole, const char *rest, const char *p)
{
	if (naive(whole, rest, p))
		return true;
	for (; *p; p++) {
		if (*p == '/' && naive(whole, rest, p + 1))
			return true;
	}
	return false;
}

static bool naive(const char *whole, const char *g, const char *p)
{
	bool inverted, found = false;
	size_t stars;

	switch (*g) {
	case '\0':
		return !*p;
	case '*':
		stars = strspn(g, "*");
		if (stars == 2 && g[2] == '/' && (g == whole || g[-1] == '/'))
			return naive_dirs(whole, g + 3, p);
		return naive_any(whole, g + stars, p, stars > 1);
	case '?':
		return *p && *p != '/' && naive(whole, g + 1, p + 1);
	case '[':
		inverted = g[1] == '!';
		for (g += 1 + inverted; *g != ']'; g++) {
			if (g[1] == '-' && g[2] != ']') {
				found |= g[0] <= *p && *p <= g[2];
				g += 2;
			} else {
				found |= *g == *p;
			}
		}
		return *p && *p != '/' && found != inverted && naive(whole, g + 1, p + 1);
	case '\\':
		return *p && g[1] == *p && naive(whole, g + 2, p + 1);
	default:
		return *g == *p && naive(whole, g + 1, p + 1);
	}
}

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned rnd(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 33) % below);
}

static void test_against_reference(void **state)
{
	static const char *const pieces[] = {"a",   "b", "/",	 "/",	 "*",	  "**",	 "**/",
					     "/**", "?", "[ab]", "[!a]", "[a-b]", "\\a", "\\*"};
	static const char bytes[] = "aaabb//*";
	char glob[64], path[16];
	unsigned i, j, parts, matched = 0;
	const char *text;

	for (i = 0; i < 300000; i++) {
		uint64_t now = seed;

		glob[0] = '\0';
		for (parts = 1 + rnd(7), j = 0; j < parts; j++)
			strcat(glob, pieces[rnd(sizeof(pieces) / sizeof(pieces[0]))]);
		for (parts = rnd(10), j = 0; j < parts; j++)
			path[j] = bytes[rnd(sizeof(bytes) - 1)];
		path[j] = '\0';
		text = strchr(glob, '/') || !strrchr(path, '/') ? path : strrchr(path, '/') + 1;
		if (policy_glob_match(glob, path) != naive(glob, glob, text))
			fail_msg("round %u, seed %#llx: glob %s, path %s: reference says %d", i,
				 (unsigned long long)now, glob, path, naive(glob, glob, text));
		matched += policy_glob_match(glob, path);
	}
	/* The comparison says something only if both answers are common. */
	assert_in_range(matched, 20000, 280000);
}

/* --- rules ---------------------------------------------------------------- */

static void test_bad_rules(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *why; /* a part of it */
	} cases[] = {
		{"*.log", -EINVAL, "write class:glob"},
		{"", -EINVAL, "write class:glob"},
		{"lgo:*.log", -EINVAL,
		 "unknown class \"lgo\"; one of log, append, snapshot, state, volatile, sqlite, through"},
		{":*.log", -EINVAL, "unknown class \"\""},
		{"a\nb:x", -EINVAL, "unknown class \"a?b\""},
		{"0123456789012345678901234567890123456789:x", -EINVAL, "\"01234567890123456789012\""},
		{"log:", -EINVAL, "empty glob"},
		{"log:/var/log/x", -EINVAL, "relative to the mount"},
		{"log:a/", -EINVAL, "ends in '/'"},
		{"log:a//b", -EINVAL, "empty component"},
		{"log:./a", -EINVAL, "'.' or '..'"},
		{"log:a/..", -EINVAL, "'.' or '..'"},
		{"log:a/../b", -EINVAL, "'.' or '..'"},
		{"log:[a", -EINVAL, "unclosed ["},
		{"log:a[]", -EINVAL, "unclosed ["},
		{"log:a[!]", -EINVAL, "unclosed ["},
		{"log:[\\]", -EINVAL, "unclosed ["},
		{"log:[z-a]", -EINVAL, "backwards"},
		{"log:a[x/y]", -EINVAL, "'/' in []"},
		{"log:a\\", -EINVAL, "'\\' at the end"},
		{"log:a\\/b", -EINVAL, "'\\/'"},
	};
	struct policy_rules rules = {.count = 0}, untouched = {.count = 0};
	char why[160];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why[0] = '\0';
		assert_int_equal(policy_rules_add(&rules, cases[i].text, why, sizeof(why)), cases[i].error);
		if (!strstr(why, cases[i].why))
			fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].text, why, cases[i].why);
	}
	assert_memory_equal(&rules, &untouched, sizeof(rules));
	/* Nobody has to want the reason. */
	assert_int_equal(policy_rules_add(&rules, "log:[a", NULL, 0), -EINVAL);
}

static void test_rule_limits(void **state)
{
	struct policy_rules rules = {.count = 0};
	char text[POLICY_GLOB_MAX + 8] = "log:", why[128];
	unsigned i;

	memset(text + 4, 'x', POLICY_GLOB_MAX + 1);
	text[4 + POLICY_GLOB_MAX + 1] = '\0';
	assert_int_equal(policy_rules_add(&rules, text, why, sizeof(why)), -ENAMETOOLONG);
	assert_non_null(strstr(why, "255"));
	text[4 + POLICY_GLOB_MAX] = '\0';
	for (i = 0; i < POLICY_RULES_MAX; i++)
		assert_int_equal(policy_rules_add(&rules, text, why, sizeof(why)), 0);
	assert_int_equal(policy_classify(&rules, text + 4), CLASS_LOG);
	assert_int_equal(policy_rules_add(&rules, text, why, sizeof(why)), -ENOSPC);
	assert_int_equal(rules.count, POLICY_RULES_MAX);
}

/* The defaults would be accepted from a user: no rule that can never match. */
static void test_defaults_are_good_rules(void **state)
{
	const struct policy_rule *rule;
	char text[POLICY_GLOB_MAX + 16], why[128];
	struct policy_rules rules;
	unsigned count = 0;

	for (int profile = 0; profile < PROFILE_COUNT; profile++) {
		for (rule = policy_default_rules((enum policy_profile)profile); *rule->glob; rule++, count++) {
			rules.count = 0;
			snprintf(text, sizeof(text), "%s:%s", policy_class_name(rule->cls), rule->glob);
			if (policy_rules_add(&rules, text, why, sizeof(why)) != 0)
				fail_msg("%s: %s", text, why);
		}
	}
	assert_true(count > 75);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_own_rules_come_first),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_globs),
		cmocka_unit_test(test_hostile_glob),
		cmocka_unit_test(test_against_reference),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_rule_limits),
		cmocka_unit_test(test_defaults_are_good_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
