/* Names in a log's life: exhaustively over short ones, at the ends of what a
 * name may be, and by class. */
#include "policy/logname.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct log_name out;

/* --- against a parser written another way ------------------------------- */

static bool plain_by_hand(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && len <= 255 && strcmp(name + len - 4, ".log") == 0 && !strchr(name, '/');
}

static bool unpacked_by_hand(const char *name, char *log)
{
	size_t len = strlen(name);

	if (len < 8 || len > 255 || strcmp(name + len - 7, ".log.gz") != 0)
		return false;
	sprintf(log, "%.*s", (int)len - 3, name);
	return plain_by_hand(log);
}

/* From the front: the number read and written again must be what is there. */
static uint32_t part_by_hand(char separator, const char *name, char *log)
{
	char stem[512], again[600];
	unsigned long long number;
	char *mark;

	if (!unpacked_by_hand(name, stem))
		strcpy(stem, name);
	if (!plain_by_hand(stem))
		return 0;
	stem[strlen(stem) - 4] = '\0';
	mark = strrchr(stem, separator);
	if (!mark || mark == stem)
		return 0;
	number = strtoull(mark + 1, NULL, 10);
	sprintf(again, "%llu", number);
	if (strcmp(again, mark + 1) != 0 || number == 0 || number > 999999)
		return 0;
	sprintf(log, "%.*s.log", (int)(mark - stem), stem);
	return (uint32_t)number;
}

static void check_part(enum policy_parts parts, const char *name)
{
	static char log[512];
	uint32_t expected = part_by_hand(parts == PARTS_DASH ? '-' : '.', name, log);
	uint32_t number = policy_log_part(parts, name, &out);

	if (number != expected || (number && strcmp(out.text, log) != 0))
		fail_msg("\"%s\": %u of %s, expected %u of %s", name, number, out.text, expected, log);
	assert_int_equal(policy_log_part(parts, name, NULL), expected);
}

static void check_name(const char *name)
{
	static char log[512];
	bool packed = unpacked_by_hand(name, log);

	assert_int_equal(policy_log_is(name), plain_by_hand(name));
	assert_int_equal(policy_log_unpacked(name, &out), packed);
	if (packed)
		assert_string_equal(out.text, log);
	/* There and back again. */
	if (policy_log_packed(name, &out)) {
		struct log_name back;
		assert_true(plain_by_hand(name));
		assert_true(policy_log_unpacked(out.text, &back));
		assert_string_equal(back.text, name);
	}
	check_part(PARTS_DOT, name);
	check_part(PARTS_DASH, name);
}

static void all_short_names(void **state)
{
	static const char *const words[] = {"",	 "a",	".",	  "-",	     "0",    "1",	"42",
					    "/", "log", "999999", "1000000", ".log", ".log.gz", ".gz"};
	enum { COUNT = sizeof(words) / sizeof(words[0]) };
	char name[128];

	for (int i = 0; i < COUNT * COUNT * COUNT * COUNT; i++) {
		snprintf(name, sizeof(name), "%s%s%s%s.log", words[i % COUNT], words[i / COUNT % COUNT],
			 words[i / COUNT / COUNT % COUNT], words[i / COUNT / COUNT / COUNT]);
		check_name(name);
		strcat(name, ".gz");
		check_name(name);
		name[strlen(name) - 7] = '\0';
		check_name(name);
	}
}

static void random_bytes(void **state)
{
	uint64_t seed = 0x2545f4914f6cdd1d;
	char name[300];

	for (int i = 0; i < 20000; i++) {
		size_t len = 0;
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		for (uint64_t bits = seed >> 8; bits && len < 14; bits >>= 4)
			name[len++] = "\xff\x01.-0123456789a"[bits & 15] ? "\xff\x01.-0123456789a"[bits & 15] : 'z';
		strcpy(name + len, i & 1 ? ".log" : ".log.gz");
		check_name(name);
	}
}

static void some_names_by_eye(void **state)
{
	assert_int_equal(policy_log_part(PARTS_DOT, "gateway.7.log", &out), 7);
	assert_string_equal(out.text, "gateway.log");
	assert_int_equal(policy_log_part(PARTS_DOT, "gateway.7.log.gz", &out), 7);
	assert_string_equal(out.text, "gateway.log");
	assert_int_equal(policy_log_part(PARTS_DOT, "a.1.2.log", &out), 2);
	assert_string_equal(out.text, "a.1.log");
	assert_int_equal(policy_log_part(PARTS_DOT, "a.999999.log", NULL), 999999);
	/* Dates, times, other people's padding, other people's parts. */
	assert_int_equal(policy_log_part(PARTS_DOT, "a.1000000.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.20260101.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.1767225600.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.18446744073709551617.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.001.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.0.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.+1.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.1.LOG", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.log.1", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a.1.gz", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, ".1.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "1.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DOT, "a-1.log", NULL), 0);
	assert_int_equal(policy_log_part(PARTS_DASH, "a-1.log", NULL), 1);
	assert_int_equal(policy_log_part(PARTS_DASH, "a-2026-01-09.log", NULL), 0);
	assert_false(policy_log_is(".log"));
	assert_false(policy_log_unpacked(".log.gz", &out));
	assert_false(policy_log_unpacked("a.gz", &out));
}

/* --- the next part ------------------------------------------------------ */

static void check_next(enum policy_parts parts, uint32_t highest)
{
	struct log_name part;

	assert_true(policy_log_next(parts, "x.log", highest, &part));
	assert_int_equal(policy_log_part(parts, part.text, &out), highest + 1);
	assert_string_equal(out.text, "x.log");
}

static void the_next_part_is_one_more_than_the_highest(void **state)
{
	static const char *const names[] = {"a.log",	  "a.2.log.gz", "a.10.log", "a.9.log",	"b.77.log",
					    "a.1.78.log", "a.010.log",	"a.3.txt",  "a-90.log", "aa.80.log"};
	uint32_t highest = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		policy_log_seen(PARTS_DOT, "a.log", names[i], &highest);
	assert_int_equal(highest, 10);
	assert_true(policy_log_next(PARTS_DOT, "a.log", highest, &out));
	assert_string_equal(out.text, "a.11.log");
	/* The application's own a.1.log is a log with parts of its own. */
	highest = 0;
	policy_log_seen(PARTS_DOT, "a.1.log", "a.1.78.log", &highest);
	assert_int_equal(highest, 78);
	for (uint32_t i = 0; i < 2000; i++) {
		check_next(PARTS_DOT, i);
		check_next(PARTS_DASH, i);
	}
	for (uint32_t i = 9; i < LOG_PART_MAX; i = i * 10 + 9) {
		check_next(PARTS_DOT, i - 1);
		check_next(PARTS_DOT, i);
	}
	assert_true(policy_log_next(PARTS_DASH, "a.log", LOG_PART_MAX - 1, &out));
	assert_string_equal(out.text, "a-999999.log");
	assert_false(policy_log_next(PARTS_DOT, "a.log", LOG_PART_MAX, &out));
	assert_false(policy_log_next(PARTS_DOT, "a.log", UINT32_MAX, &out));
	assert_false(policy_log_next(PARTS_DOT, "a.txt", 0, &out));
	assert_false(policy_log_next(PARTS_DOT, "", 0, &out));
	assert_false(policy_log_next(PARTS_DOT, ".log", 0, &out));
}

/* Whatever comes out is a name, and fits with everything that follows. */
static void names_as_long_as_names_may_be(void **state)
{
	static const uint32_t numbers[] = {0, 9, 99999, LOG_PART_MAX - 1};
	char name[400], end[32];

	for (size_t len = 1; len < 300; len++) {
		memset(name, 'n', len);
		strcpy(name + len, ".log");
		assert_int_equal(policy_log_is(name), len + 4 <= 255);
		assert_int_equal(policy_log_packed(name, &out), len + 7 <= 255);
		for (size_t i = 0; i < 4; i++) {
			size_t digits = (size_t)sprintf(end, "%u", numbers[i] + 1);
			bool fits = len + 1 + digits + 7 <= 255;
			assert_int_equal(policy_log_next(PARTS_DOT, name, numbers[i], &out), fits);
			if (fits) {
				struct log_name gz;
				assert_true(policy_log_packed(out.text, &gz));
				assert_int_equal(policy_log_part(PARTS_DOT, gz.text, NULL), numbers[i] + 1);
			}
		}
		strcat(name, ".gz");
		assert_int_equal(policy_log_unpacked(name, &out), len + 7 <= 255);
	}
}

/* --- classes ------------------------------------------------------------ */

static struct policy_rules rules;

static void rule(const char *text)
{
	char why[256];

	assert_int_equal(policy_rules_add(&rules, text, why, sizeof(why)), 0);
}

static bool may_rotate(const char *path, const char *part)
{
	struct log_name name;

	strcpy(name.text, part);
	return policy_log_may_rotate(&rules, path, &name);
}

static int no_rules(void **state)
{
	memset(&rules, 0, sizeof(rules));
	return 0;
}

static void only_class_log_has_a_life(void **state)
{
	static const struct {
		const char *path;
		enum log_kind kind;
	} cases[] = {
		{"a.log", LOG_PLAIN},		{"logs/a.log", LOG_PLAIN},	   {"deep/down/a.log", LOG_PLAIN},
		{"a.log.gz", LOG_PACKED},	{"logs/a.1.log.gz", LOG_PACKED},   {"logs/a.txt", LOG_OTHER},
		{"logs/a.jsonl", LOG_OTHER},	{"logs/a.txt.gz", LOG_OTHER},	   {"logs/a.gz", LOG_OTHER},
		{"logs/a.log.1", LOG_OTHER},	{"logs/a.log.gz.gz", LOG_OTHER},   {"logs/dump.tar.gz", LOG_OTHER},
		{"logs/.log", LOG_OTHER},	{"logs/.log.gz", LOG_OTHER},	   {"a.LOG", LOG_OTHER},
		{"workspace/a.log", LOG_OTHER}, {"workspace/a.log.gz", LOG_OTHER}, {"browser/p/000003.log", LOG_OTHER},
		{"x/.git/a.log.gz", LOG_OTHER}, {"x.tmp-1.log", LOG_OTHER},	   {"x.tmp-1.log.gz", LOG_OTHER},
		{"etilqs_1.log.gz", LOG_OTHER}, {"openclaw.json", LOG_OTHER},	   {"", LOG_OTHER},
		{"logs/", LOG_OTHER},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (policy_log_kind(&rules, cases[i].path) != cases[i].kind)
			fail_msg("%s: %d", cases[i].path, policy_log_kind(&rules, cases[i].path));
		assert_int_equal(policy_log_kind(NULL, cases[i].path), cases[i].kind);
		assert_int_equal(policy_log_may_pack(&rules, cases[i].path), cases[i].kind == LOG_PLAIN);
		/* Never a live log, never anything else. */
		assert_int_equal(policy_log_may_delete(&rules, PARTS_DOT, cases[i].path, false),
				 cases[i].kind == LOG_PACKED);
		assert_int_equal(policy_log_may_delete(&rules, PARTS_DOT, cases[i].path, true),
				 cases[i].kind == LOG_PACKED);
	}
}

static void a_part_may_be_deleted_if_clawfs_made_it(void **state)
{
	assert_false(policy_log_may_delete(&rules, PARTS_DOT, "logs/a.1.log", false));
	assert_true(policy_log_may_delete(&rules, PARTS_DOT, "logs/a.1.log", true));
	assert_false(policy_log_may_delete(&rules, PARTS_DASH, "logs/a.1.log", true));
	assert_false(policy_log_may_delete(&rules, PARTS_DOT, "workspace/a.1.log", true));
}

static void the_users_rules_decide(void **state)
{
	rule("through:audit/**");
	rule("through:keep.log.gz");
	rule("log:notes/*.log");
	rule("state:*-[0-9].log");
	rule("log:workspace/w.log");
	rule("snapshot:*.3.log.gz");
	assert_int_equal(policy_log_kind(&rules, "audit/a.log"), LOG_OTHER);
	assert_int_equal(policy_log_kind(&rules, "audit/a.log.gz"), LOG_OTHER);
	/* The compressed name alone is somebody's: neither made nor deleted. */
	assert_int_equal(policy_log_kind(&rules, "keep.log"), LOG_PLAIN);
	assert_int_equal(policy_log_kind(&rules, "keep.log.gz"), LOG_OTHER);
	assert_false(policy_log_may_pack(&rules, "keep.log"));
	assert_true(may_rotate("keep.log", "keep.1.log"));
	/* A rule that names one log: its part would be through, and its .gz is by the inner name. */
	assert_int_equal(policy_log_kind(&rules, "workspace/w.log"), LOG_PLAIN);
	assert_true(policy_log_may_pack(&rules, "workspace/w.log"));
	assert_false(may_rotate("workspace/w.log", "w.1.log"));
	assert_true(may_rotate("notes/n.log", "n.1.log"));
	/* Parts that would be of another class, plain or compressed, are not made. */
	assert_false(may_rotate("a.log", "a-1.log"));
	assert_true(may_rotate("a.log", "a.1.log"));
	assert_false(may_rotate("a.log", "a.3.log"));
	assert_false(may_rotate("a.tmp.log", "a.tmp-1.log"));
	assert_false(may_rotate("workspace/a.log", "a.1.log"));
}

static void long_paths_have_none(void **state)
{
	char path[9000];

	for (size_t len = 4000; len < 4400; len++) {
		memset(path, 'd', len);
		for (size_t i = 100; i < len; i += 100)
			path[i] = '/';
		strcpy(path + len, "/a.log");
		policy_log_may_pack(&rules, path);
		may_rotate(path, "a.1.log");
		strcat(path, ".gz");
		assert_int_equal(policy_log_kind(&rules, path), len + 1 < 4096 ? LOG_PACKED : LOG_OTHER);
	}
	memset(path, 'n', 8000);
	strcpy(path + 8000, ".log.gz");
	assert_int_equal(policy_log_kind(&rules, path), LOG_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_short_names),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(some_names_by_eye),
		cmocka_unit_test(the_next_part_is_one_more_than_the_highest),
		cmocka_unit_test(names_as_long_as_names_may_be),
		cmocka_unit_test_setup(only_class_log_has_a_life, no_rules),
		cmocka_unit_test_setup(a_part_may_be_deleted_if_clawfs_made_it, no_rules),
		cmocka_unit_test_setup(the_users_rules_decide, no_rules),
		cmocka_unit_test_setup(long_paths_have_none, no_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
