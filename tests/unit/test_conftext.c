/* Configuration files and lists of -o: what is an entry, and what is broken; where a member of a JSON text stands. */
#include "policy/conftext.h"
#include "policy/jsonpos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct line {
	const char *text;
	const char *name; /* NULL: there is no entry; "": it is broken */
	const char *value;
	const char *why;
};

static const struct line file_lines[] = {
	{"", NULL, NULL, NULL},
	{"   \t", NULL, NULL, NULL},
	{"# a = b", NULL, NULL, NULL},
	{"  # a = b", NULL, NULL, NULL},
	{"a=b", "a", "b", NULL},
	{"  a  =  b  ", "a", "b", NULL},
	{"\ta\t=\tb\t\r", "a", "b", NULL},
	{"a", "a", NULL, NULL},
	{"a # c", "a", NULL, NULL},
	{"a =", "a", "", NULL},
	{"a = # c", "a", "", NULL},
	{"a = b c", "a", "b c", NULL},
	{"a = b # c", "a", "b", NULL},
	{"a = b#c", "a", "b#c", NULL},
	{"a = b\t#c", "a", "b", NULL},
	{"a = b=c", "a", "b=c", NULL},
	{"a = \\,", "a", "\\,", NULL},
	{"a = \"b\"", "a", "b", NULL},
	{"a = \" b # c \"", "a", " b # c ", NULL},
	{"a = \"\" # c", "a", "", NULL},
	{"a = \"b\\\"c\\\\d\\e\"", "a", "b\"c\\d\\e", NULL},
	{"a = b\"c", "a", "b\"c", NULL},
	{"a = \xff\xfe", "a", "\xff\xfe", NULL},
	{"a = \"b", "a", "", "not closed"},
	{"a = \"b\\\"", "a", "", "not closed"},
	{"a = \"b\" c", "a", "", "follows the closing quotes"},
	{"a b", "a", "", "no '='"},
	{"a b = c", "a", "", "no '='"},
	{"= b", "", "", "no name"},
	{"0123456789012345678901234567890123456789012345678901234567890123 = x",
	 "012345678901234567890123456789012345678901234567890123456789012", "", "so long a name"},
};

static void check(enum conftext_result result, const struct conftext_entry *entry, const char *why,
		  const struct line *line)
{
	enum conftext_result want = !line->name ? CONFTEXT_END : line->why ? CONFTEXT_BROKEN : CONFTEXT_ENTRY;

	if (result != want)
		fail_msg("\"%s\": %d, expected %d (%s)", line->text, result, want, why);
	if (want == CONFTEXT_END)
		return;
	assert_string_equal(entry->name, line->name);
	if (line->why) {
		if (!strstr(why, line->why))
			fail_msg("\"%s\": \"%s\" lacks \"%s\"", line->text, why, line->why);
	} else if (line->value) {
		assert_non_null(entry->value);
		assert_string_equal(entry->value, line->value);
	} else {
		assert_null(entry->value);
	}
}

static void test_file_lines(void **state)
{
	struct conftext_entry entry;
	struct conftext c;
	char why[200] = "";

	for (size_t i = 0; i < sizeof(file_lines) / sizeof(*file_lines); i++) {
		conftext_init(&c, file_lines[i].text, strlen(file_lines[i].text));
		check(conftext_file_next(&c, &entry, why, sizeof(why)), &entry, why, &file_lines[i]);
		assert_int_equal(conftext_file_next(&c, &entry, why, sizeof(why)), CONFTEXT_END);
	}
}

/* All of them in one file: a broken one ends nothing, and the lines are counted. */
static void test_file(void **state)
{
	size_t count = sizeof(file_lines) / sizeof(*file_lines), used = 0;
	struct conftext_entry entry;
	struct conftext c;
	char text[4000], why[200];

	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", file_lines[i].text);
	conftext_init(&c, text, used);
	for (size_t i = 0; i < count; i++) {
		if (!file_lines[i].name)
			continue;
		check(conftext_file_next(&c, &entry, why, sizeof(why)), &entry, why, &file_lines[i]);
		assert_int_equal(c.line, i + 1);
	}
	assert_int_equal(conftext_file_next(&c, &entry, why, sizeof(why)), CONFTEXT_END);
}

static void test_limits(void **state)
{
	static char text[CONFTEXT_VALUE_MAX + 16];
	static struct conftext_entry entry;
	struct conftext c;
	char why[200];

	conftext_init(&c, "a = b\0c\nd = e", 13);
	assert_int_equal(conftext_file_next(&c, &entry, why, sizeof(why)), CONFTEXT_BROKEN);
	assert_non_null(strstr(why, "NUL"));
	assert_int_equal(conftext_file_next(&c, &entry, why, sizeof(why)), CONFTEXT_ENTRY);
	assert_string_equal(entry.name, "d");

	memcpy(text, "a=", 2);
	memset(text + 2, 'x', CONFTEXT_VALUE_MAX);
	conftext_init(&c, text, 2 + CONFTEXT_VALUE_MAX - 1);
	assert_int_equal(conftext_file_next(&c, &entry, why, sizeof(why)), CONFTEXT_ENTRY);
	assert_int_equal(strlen(entry.value), CONFTEXT_VALUE_MAX - 1);
	conftext_init(&c, text, 2 + CONFTEXT_VALUE_MAX);
	assert_int_equal(conftext_file_next(&c, &entry, why, sizeof(why)), CONFTEXT_BROKEN);
	assert_non_null(strstr(why, "too long"));
	conftext_init(&c, text, 2 + CONFTEXT_VALUE_MAX);
	assert_int_equal(conftext_list_next(&c, &entry, why, sizeof(why)), CONFTEXT_BROKEN);
	assert_int_equal(conftext_list_next(&c, &entry, why, sizeof(why)), CONFTEXT_END);
}

static void test_quote(void **state)
{
	static const char *const values[] = {"",   "a",	    "a b", " a",  "a ",	  "#", "a #", "a#b",
					     "\"", "\"a\"", "\\",  "a\\", "a\"b", "=", ",",   "\xff"};
	struct conftext_entry entry;
	struct conftext c;
	char quoted[64], text[80], why[200];

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		assert_true(conftext_quote(values[i], quoted, sizeof(quoted)));
		snprintf(text, sizeof(text), "a = %s # c", quoted);
		conftext_init(&c, text, strlen(text));
		assert_int_equal(conftext_file_next(&c, &entry, why, sizeof(why)), CONFTEXT_ENTRY);
		assert_string_equal(entry.value, values[i]);
	}
	assert_false(conftext_quote("a\nb", quoted, sizeof(quoted)));
	assert_true(conftext_quote("abc", quoted, 4));
	assert_false(conftext_quote("abc", quoted, 3));
}

static void test_list(void **state)
{
	static const struct line entries[] = {
		{"", "a", NULL, NULL},	 {"", "b", "", NULL},	 {"", "c", "d,e=f\\g", NULL},
		{"", "", "", "no name"}, {"", "h,i", "j", NULL}, {"", NULL, NULL, NULL},
	};
	const char *text = ",a,b=,,c=d\\,e=f\\g,=x,h\\,i=j,";
	struct conftext_entry entry;
	struct conftext c;
	char why[200];

	conftext_init(&c, text, strlen(text));
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		check(conftext_list_next(&c, &entry, why, sizeof(why)), &entry, why, &entries[i]);

	conftext_init(&c, "log:a=b\\,c,log:d", 16);
	assert_int_equal(conftext_item_next(&c, &entry, why, sizeof(why)), CONFTEXT_ENTRY);
	assert_string_equal(entry.value, "log:a=b,c");
	assert_int_equal(conftext_item_next(&c, &entry, why, sizeof(why)), CONFTEXT_ENTRY);
	assert_string_equal(entry.value, "log:d");
	assert_int_equal(conftext_item_next(&c, &entry, why, sizeof(why)), CONFTEXT_END);
}

/* --- lines of JSON ------------------------------------------------------- */

static unsigned line_of(const char *text, const char *a, const char *b, const char *c)
{
	const char *path[3] = {a, b, c};

	return policy_json_line(text, strlen(text), path, c ? 3 : b ? 2 : 1);
}

static void test_json_lines(void **state)
{
	const char *text = "// a comment with \"clawfs\": {\n"
			   "{ /* and\n"
			   "     one { of two lines */\n"
			   "  'x': [ {\"clawfs\": {\"a\": 1}}, \"a\" ],\n"
			   "  \"y\": \"clawfs\",\n"
			   "  \"a\": 1, clawfs: {\n"
			   "    b: {\"a\": 2, z: [[]]},\n"
			   "    // a: 3\n"
			   "    'a': \"}\\\"{\", \"c\"\n"
			   "    : 4 },\n"
			   "  \"w\": {\"clawfs\": {\n"
			   "    \"d\": 5}},\n"
			   "  \"e\": {\"a\": 7}\n"
			   "}\n";

	assert_int_equal(line_of(text, "clawfs", NULL, NULL), 6);
	assert_int_equal(line_of(text, "clawfs", "a", NULL), 9);
	assert_int_equal(line_of(text, "clawfs", "b", "a"), 7);
	assert_int_equal(line_of(text, "clawfs", "c", NULL), 9);
	assert_int_equal(line_of(text, "clawfs", "d", NULL), 0);
	assert_int_equal(line_of(text, "w", "clawfs", "d"), 12);
	assert_int_equal(line_of(text, "e", "a", NULL), 13);
	assert_int_equal(line_of(text, "x", "clawfs", "a"), 0);
	assert_int_equal(line_of(text, "y", "a", NULL), 0);
	assert_int_equal(line_of("[{\"a\": 1}]", "a", NULL, NULL), 0);
	assert_int_equal(line_of("", "a", NULL, NULL), 0);
	assert_int_equal(line_of("{\"a\": {}, \"b\":\n {}}", "b", NULL, NULL), 1);
	assert_int_equal(line_of("{\"a\": {}, \"a\": {\"b\":1}}", "a", "b", NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_lines), cmocka_unit_test(test_file), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_quote),	   cmocka_unit_test(test_list), cmocka_unit_test(test_json_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
