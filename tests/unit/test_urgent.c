/* Levels of log lines: which line must not wait. */
#include "policy/urgent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each text is judged from a block of just its size, so that a sanitizer and
 * valgrind see a read beyond its end. */
static struct policy_scan scan(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);
	struct policy_scan result;

	assert_non_null(copy);
	memcpy(copy, text, len);
	result = policy_scan(copy, len);
	free(copy);
	return result;
}

static void assert_all(const char *const *lines, bool urgent)
{
	for (; *lines; lines++) {
		if (scan(*lines, strlen(*lines)).urgent != urgent)
			fail_msg("expected %s: %s", urgent ? "urgent" : "not urgent", *lines);
	}
}

static void test_urgent_json(void **state)
{
	static const char *const lines[] = {
		"{\"level\":\"error\",\"msg\":\"x\"}\n",
		"{\"msg\":\"x\",\"level\":\"error\"}\n",
		"{ \"level\" : \"ERROR\" }\n",
		"  {\"severity\":\"Critical\"}\n",
		"{\"lvl\":\"crit\"}\n",
		"{\"level\":\"fatal\"}\n",
		"{\"level\":\"panic\"}\n",
		"{\"level\":\"alert\"}\n",
		"{\"level\":\"emerg\"}\n",
		"{\"Level\":\"error\"}\n",
		"{\"logLevelName\":\"ERROR\"}\n",
		"{\"0\":\"x\",\"_meta\":{\"runtime\":\"node\",\"logLevelId\":5,\"logLevelName\":\"ERROR\"},\"time\":"
		"\"t\"}\n",
		"{\"level\":50,\"msg\":\"x\"}\n",
		"{\"level\": 60}\n",
		"{\"level\":1000}\n",
		"{\"level\":99999999999999999999999999}\n",
		"{\"level\":\"info\",\"severity\":\"error\"}\n",
		"{\"msg\":\"a \\\"quoted\\\" word\",\"level\":\"error\"}\n",
		"{\"msg\":\"one quote \\\" in it\",\"level\":\"error\"}\n",
		"{\"msg\":\"ends in a backslash \\\\\",\"level\":\"error\"}\n",
		"{\"a\":{\"b\":[1,{\"c\":2}]},\"level\":\"error\"}\n",
		"{\"level\":\"error\",\"msg\":\"cut off he",
		"{\"level\":50",
		NULL,
	};

	assert_all(lines, true);
}

static void test_calm_json(void **state)
{
	static const char *const lines[] = {
		"{\"level\":\"info\",\"msg\":\"x\"}\n",
		"{\"level\":\"info\",\"msg\":\"an error, fatal\"}\n",
		"{\"level\":\"warn\",\"error\":\"fatal\"}\n",
		"{\"msg\":\"level\",\"x\":\"error\"}\n",
		"{\"msg\":\"\\\"level\\\":\\\"error\\\"\"}\n",
		"{\"msg\":\"{\\\"level\\\":\\\"error\\\"}\",\"level\":\"info\"}\n",
		"{\"level\":\"info\",\"data\":{\"level\":\"error\"}}\n",
		"{\"list\":[\"level\",\"error\"]}\n",
		"{\"list\":[{\"level\":\"error\"}]}\n",
		"{\"level\":40}\n",
		"{\"level\":5}\n",
		"{\"level\":-60}\n",
		"{\"level\":null}\n",
		"{\"severity\":60}\n",
		"{\"loglevel\":\"error\"}\n",
		"{\"level\":\"errors\"}\n",
		"{\"level\":\"err\"}\n",
		"{\"level\":\"\"}\n",
		"{\"level\":}\n",
		"{\"level\"\n",
		"{\"level\":\"err",
		"{\"level\":\"error",
		"{\"level\":",
		"{\"level",
		"{\"msg\":\"ends in a backslash \\",
		"{",
		"}}}{\"level\":\"error\"}\n",
		NULL,
	};

	assert_all(lines, false);
}

static void test_urgent_text(void **state)
{
	static const char *const lines[] = {
		"2026-01-01 12:00:00 ERROR x\n",
		"2026-01-01T12:00:00.123Z error x\n",
		"2026-01-01 12:00:00,123 - gateway - ERROR - x\n",
		"2026-01-01 12:00:00.123 | ERROR    | m:f:1 - x\n",
		"2026 | gateway | CRITICAL | x\n",
		"[error] x\n",
		"[2026-01-01 12:00:00] [error] x\n",
		"[2026-01-01 12:00:00][main][ERROR  ] x\n",
		"(fatal) x\n",
		"<alert> x\n",
		"ERROR: x\n",
		"ERROR:root:x\n",
		"Error: x at y\n",
		"error",
		"PANIC\r\n",
		"clawfs: error: x\n",
		"gateway [error] x\n",
		"level=error msg=x\n",
		"ts=2026 level=\"fatal\" msg=x\n",
		"time=12:00 lvl=crit msg=x\n",
		"pid=4 severity=EMERG x\n",
		"Jan  1 12:00:00 host app[123]: error x\n",
		"*** ERROR ***\n",
		NULL,
	};

	assert_all(lines, true);
}

static void test_calm_text(void **state)
{
	static const char *const lines[] = {
		"2026-01-01 12:00:00 INFO an error occurred\n",
		"[info] error\n",
		"[warn] [error] x\n",
		"level=info msg=\"level=error\"\n",
		"level=warn error=fatal\n",
		"kind=error x\n",
		"everything fine, no error\n",
		"12:00 everything fine: no error: none\n",
		"2026-01-01 12:00:00 user typed ERROR here\n",
		"no errors\n",
		"error-handler installed\n",
		"error.log opened\n",
		"/var/log/error opened\n",
		"[error handler] installed\n",
		"the \"error\" of it\n",
		"\"error\"\n",
		"Jan  1 12:00:00 host app[123]: all is well, error\n",
		"x[1] y[2] see error\n",
		"0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 ERROR x\n", /* beyond 64 bytes */
		"0123456789 0123456789 0123456789 0123456789 0123456789 01234 ERROR x\n",      /* across them */
		"",
		"\n",
		"\n\n\n",
		"   \t\r\n",
		"[",
		"app[",
		"app[1",
		"app[1]",
		"level=",
		"level",
		NULL,
	};
	static const char just[] = "0123456789 0123456789 0123456789 0123456789 0123456789 012 ERROR x\n";

	assert_all(lines, false);
	assert_true(scan(just, 64).urgent); /* "ERROR" ends with byte 64 */
	assert_true(scan(just, strlen(just)).urgent);
}

static void test_any_line_of_many(void **state)
{
	static const char text[] = "INFO one\n{\"level\":\"info\"}\n\nERROR two\n{\"level\":30}\nthe end";
	struct policy_scan whole = scan(text, sizeof(text) - 1);

	assert_int_equal(whole.lines, 5);
	assert_true(whole.urgent);
	/* A level belongs to its own line: an INFO before, an ERROR behind. */
	assert_false(scan("INFO one\nerrors\n", 16).urgent);
	assert_true(scan("INFO one\nERROR", 14).urgent);
	assert_false(scan("INFO one\nERRO", 13).urgent);
}

static void test_lines(void **state)
{
	assert_int_equal(policy_scan(NULL, 0).lines, 0);
	assert_int_equal(scan("", 0).lines, 0);
	assert_int_equal(scan("a", 1).lines, 0);
	assert_int_equal(scan("\n", 1).lines, 1);
	assert_int_equal(scan("a\nb\nc", 5).lines, 2);
	assert_int_equal(scan("a\0b\nERROR\0c\n", 13).lines, 2);
}

/* Linear: a megabyte of what a parser likes least, many times over. */
static void test_hostile(void **state)
{
	static char text[1 << 20];
	static const char *const bytes[] = {"\"", "\\", "{\"level\":", "[", "{", "-", "a[1", "\\\""};
	size_t i, at, len;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		len = strlen(bytes[i]);
		text[0] = '{';
		for (at = 1; at < sizeof(text); at++)
			text[at] = bytes[i][(at - 1) % len];
		assert_false(policy_scan(text, sizeof(text)).urgent);
		text[0] = '"';
		assert_false(policy_scan(text, sizeof(text)).urgent);
	}
}

static uint64_t seed = 88172645463325252;

static unsigned rnd(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 33) % below);
}

/* Whatever comes in: the lines are counted right, and what is judged line by
 * line is judged as the whole is. */
static void test_random(void **state)
{
	static const char *const pieces[] = {"{",  "}", "\"level\"", ":",  "\"error\"", "error",    "ERROR",  " ",
					     "\n", "[", "]",	     "\\", "\"",	"level=",   "12:00",  "info",
					     "-",  "|", "x",	     ",",  "50",	"\xc3\xa9", "app[1]:"};
	char text[256];
	unsigned i, parts, urgent_seen = 0;

	for (i = 0; i < 100000; i++) {
		uint64_t start = seed;
		struct policy_scan whole;
		const char *p = text, *newline;
		uint32_t lines = 0;
		bool urgent = false;

		text[0] = '\0';
		for (parts = rnd(25); parts > 0; parts--)
			strcat(text, pieces[rnd(sizeof(pieces) / sizeof(pieces[0]))]);
		whole = scan(text, strlen(text));
		while ((newline = strchr(p, '\n'))) {
			urgent |= policy_scan(p, (size_t)(newline - p)).urgent;
			lines++;
			p = newline + 1;
		}
		urgent |= policy_scan(p, strlen(p)).urgent;
		if (whole.lines != lines || whole.urgent != urgent)
			fail_msg("round %u, seed %#llx: %s", i, (unsigned long long)start, text);
		urgent_seen += urgent;
	}
	assert_in_range(urgent_seen, 1000, 90000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urgent_json),	 cmocka_unit_test(test_calm_json),
		cmocka_unit_test(test_urgent_text),	 cmocka_unit_test(test_calm_text),
		cmocka_unit_test(test_any_line_of_many), cmocka_unit_test(test_lines),
		cmocka_unit_test(test_hostile),		 cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
