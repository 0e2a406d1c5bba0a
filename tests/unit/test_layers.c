/* Layers: which wins, where a value is said to come from, and what is said of what is wrong. Files in a directory of
 * one's own, an environment and lists as given in the tables; no mount. */
#include "fs/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SAID_MAX 16
#define ENV_MAX	 4

static char dir[64], etc_path[128], home_path[128];
static struct settings settings;
static char said[SAID_MAX][512]; /* "E line" or "W line" */
static unsigned said_count;

static void hear(void *arg, enum layers_word word, const char *line)
{
	assert_true(said_count < SAID_MAX);
	assert_null(strchr(line, '\n'));
	snprintf(said[said_count++], sizeof(said[0]), "%c %s", word == LAYERS_ERROR ? 'E' : 'W', line);
}

static void write_text(const char *path, const char *text)
{
	unlink(path);
	if (!text)
		return;
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0644), 0);
}

static int group_setup(void **state)
{
	strcpy(dir, "/tmp/clawfs-layers.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(etc_path, sizeof(etc_path), "%s/etc.conf", dir);
	snprintf(home_path, sizeof(home_path), "%s/home.conf", dir);
	return 0;
}

static int group_teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

struct given {
	const char *json, *etc, *home;
	const char *env[ENV_MAX];
	const char *lists[ENV_MAX];
};

static struct layers layers;

static unsigned read_layers(const struct given *g, const char *json_file)
{
	static char *environment[ENV_MAX + 1];
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, json_file);
	write_text(path, g->json);
	write_text(etc_path, g->etc);
	write_text(home_path, g->home);
	layers_init(&layers);
	layers.system_path = etc_path;
	snprintf(layers.user_path, sizeof(layers.user_path), "%s", home_path);
	for (int i = 0; i < ENV_MAX; i++)
		environment[i] = (char *)g->env[i];
	layers.environment = environment;
	layers.list_count = 0;
	for (int i = 0; i < ENV_MAX && g->lists[i]; i++)
		layers.lists[layers.list_count++] = g->lists[i];
	layers.lower = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(layers.lower >= 0);
	layers.name = "/lower";
	said_count = 0;
	unsigned errors = layers_read(&layers, &settings, hear, NULL);
	close(layers.lower);
	unlink(path);
	return errors;
}

/* All values of the option, and where they come from: "on -o", "log:a DIR/etc.conf:1|log:b default". */
static void assert_value(const char *name, const char *want)
{
	const struct policy_option *option = policy_option_find(name);
	char got[2048] = "", value[POLICY_TEXT_MAX], origin[256];

	assert_non_null(option);
	for (unsigned i = 0; i < policy_option_count(&settings.config, option); i++) {
		assert_true(policy_option_text(&settings.config, option, i, value, sizeof(value)));
		layers_origin_text(&layers, &settings, layers_origin(&settings, option, i), option, origin,
				   sizeof(origin));
		const char *place = strncmp(origin, dir, strlen(dir)) == 0 ? origin + strlen(dir) + 1 : origin;
		size_t used = strlen(got);
		snprintf(got + used, sizeof(got) - used, "%s%.300s %s", used ? "|" : "", value, place);
	}
	if (strcmp(got, want) != 0)
		fail_msg("%s is \"%s\", expected \"%s\"", name, got, want);
}

struct wins {
	struct given given;
	const char *name, *want;
};

#define JSON(members) "{\n \"clawfs\": {\n" members "\n }\n}\n"

static const struct wins winners[] = {
	/* One layer after the other. */
	{{NULL, NULL, NULL, {NULL}, {NULL}}, "log_lines", "100 default"},
	{{JSON("\"log_lines\": 1"), NULL, NULL, {NULL}, {NULL}}, "log_lines", "1 /lower/secureclaw.json:3"},
	{{JSON("\"log_lines\": 1"), "#\nlog_lines = 2", NULL, {NULL}, {NULL}}, "log_lines", "2 etc.conf:2"},
	{{JSON("\"log_lines\": 1"), "log_lines = 2", "\n\nlog_lines = 3", {NULL}, {NULL}},
	 "log_lines",
	 "3 home.conf:3"},
	{{NULL, "log_lines = 2", "log_lines = 3", {"CLAWFS_LOG_LINES=4"}, {NULL}}, "log_lines", "4 CLAWFS_LOG_LINES"},
	{{NULL, NULL, NULL, {"CLAWFS_LOG_LINES=4", "SECURECLAW_LOG_BUFFER_SIZE=5"}, {NULL}},
	 "log_lines",
	 "4 CLAWFS_LOG_LINES"},
	{{NULL, NULL, NULL, {"CLAWFS_LOG_LINES=4"}, {"log_lines=6,x-a", "log_lines=7"}}, "log_lines", "7 -o"},
	{{JSON("\"log_lines\": 1"), "log_lines = 2\nlog_lines = 9", NULL, {NULL}, {NULL}}, "log_lines", "9 etc.conf:2"},

	/* Every name of the issue, in its unit. */
	{{NULL, NULL, NULL, {"SECURECLAW_LOG_BUFFER_SIZE=50"}, {NULL}}, "log_lines", "50 SECURECLAW_LOG_BUFFER_SIZE"},
	{{NULL, NULL, NULL, {"SECURECLAW_LOG_FLUSH_INTERVAL_MS=50"}, {NULL}},
	 "log_flush_ms",
	 "50 SECURECLAW_LOG_FLUSH_INTERVAL_MS"},
	{{NULL, NULL, NULL, {"SECURECLAW_LOG_COMPRESSION_ENABLED=false"}, {NULL}},
	 "log_gzip",
	 "off SECURECLAW_LOG_COMPRESSION_ENABLED"},
	{{NULL, NULL, NULL, {"SECURECLAW_LOG_COMPRESSION_AGE_MS=50"}, {NULL}},
	 "log_gzip_age_ms",
	 "50 SECURECLAW_LOG_COMPRESSION_AGE_MS"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_WAL_MODE=false"}, {NULL}}, "sqlite_wal", "off SECURECLAW_DB_WAL_MODE"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_WAL_MODE=DELETE"}, {NULL}}, "sqlite_wal", "off SECURECLAW_DB_WAL_MODE"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_WAL_MODE=WAL"}, {NULL}}, "sqlite_wal", "on SECURECLAW_DB_WAL_MODE"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_SYNCHRONOUS=FULL"}, {NULL}},
	 "sqlite_sync",
	 "full SECURECLAW_DB_SYNCHRONOUS"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_SYNCHRONOUS=0"}, {NULL}}, "sqlite_sync", "off SECURECLAW_DB_SYNCHRONOUS"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_CACHE_SIZE_KB=2000"}, {NULL}},
	 "sqlite_cache",
	 "2000K SECURECLAW_DB_CACHE_SIZE_KB"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_JOURNAL_SIZE_LIMIT=1048576"}, {NULL}},
	 "sqlite_wal_limit",
	 "1M SECURECLAW_DB_JOURNAL_SIZE_LIMIT"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_JOURNAL_SIZE_LIMIT=-1"}, {NULL}},
	 "sqlite_wal_limit",
	 "0 SECURECLAW_DB_JOURNAL_SIZE_LIMIT"},
	{{NULL, NULL, NULL, {"SECURECLAW_SESSION_WRITE_DEBOUNCE_MS=50"}, {NULL}},
	 "session_debounce_ms",
	 "50 SECURECLAW_SESSION_WRITE_DEBOUNCE_MS"},
	{{NULL, NULL, NULL, {"SECURECLAW_SESSION_CACHE_TTL_MS=45000"}, {NULL}},
	 "cache_ms",
	 "45000 SECURECLAW_SESSION_CACHE_TTL_MS"},

	{{NULL, NULL, NULL, {"SECURECLAW_IO_METRICS_ENABLED=0"}, {NULL}},
	 "metrics",
	 "off SECURECLAW_IO_METRICS_ENABLED"},
	{{NULL, NULL, NULL, {"SECURECLAW_IO_METRICS_WINDOW_MS=120000"}, {NULL}},
	 "metrics_window_ms",
	 "120000 SECURECLAW_IO_METRICS_WINDOW_MS"},

	/* The application's own section, in the units of PRAGMAs; ours is the more exact one. */
	{{"{\"memory\": {\"store\": {\n\"sqlite\": {\"walMode\": false}}}}", NULL, NULL, {NULL}, {NULL}},
	 "sqlite_wal",
	 "off /lower/secureclaw.json:2"},
	{{"{\"memory\": {\"store\": {\"sqlite\": {\"walMode\": \"wal\"}}}}", NULL, NULL, {NULL}, {NULL}},
	 "sqlite_wal",
	 "on /lower/secureclaw.json:1"},
	{{"{\"memory\": {\"store\": {\"sqlite\": {\"synchronous\": \"EXTRA\"}}}}", NULL, NULL, {NULL}, {NULL}},
	 "sqlite_sync",
	 "full /lower/secureclaw.json:1"},
	{{"{\"memory\": {\"store\": {\"sqlite\": {\"synchronous\": 1}}}}", NULL, NULL, {NULL}, {NULL}},
	 "sqlite_sync",
	 "normal /lower/secureclaw.json:1"},
	{{"{\"memory\": {\"store\": {\"sqlite\": {\"cacheSize\": -2048}}}}", NULL, NULL, {NULL}, {NULL}},
	 "sqlite_cache",
	 "2M /lower/secureclaw.json:1"},
	{{"{\"memory\": {\"store\": {\"sqlite\": {\"cacheSize\": 1024}}}}", NULL, NULL, {NULL}, {NULL}},
	 "sqlite_cache",
	 "4M /lower/secureclaw.json:1"},
	{{"{\"memory\": {\"store\": {\"sqlite\": {\"journalSizeLimit\": 8192, \"other\": []}}}}",
	  NULL,
	  NULL,
	  {NULL},
	  {NULL}},
	 "sqlite_wal_limit",
	 "8K /lower/secureclaw.json:1"},
	{{"{\"clawfs\": {\"sqlite_sync\": \"off\"},\n \"memory\": {\"store\": {\"sqlite\": {\"synchronous\": 2}}}}",
	  NULL,
	  NULL,
	  {NULL},
	  {NULL}},
	 "sqlite_sync",
	 "off /lower/secureclaw.json:1"},

	/* Types of JSON. */
	{{JSON("\"ram_max\": \"32M\""), NULL, NULL, {NULL}, {NULL}}, "ram_max", "32M /lower/secureclaw.json:3"},
	{{JSON("\"log_urgent\": false"), NULL, NULL, {NULL}, {NULL}}, "log_urgent", "off /lower/secureclaw.json:3"},
	{{JSON("\"log_urgent\": \"off\""), NULL, NULL, {NULL}, {NULL}}, "log_urgent", "off /lower/secureclaw.json:3"},
	{{JSON("\"upper\": \"/dev/shm/x\""), NULL, NULL, {NULL}, {NULL}},
	 "upper",
	 "/dev/shm/x /lower/secureclaw.json:3"},
	{{JSON("\"rule\": \"log:a\""), NULL, NULL, {NULL}, {NULL}}, "rule", "log:a /lower/secureclaw.json:3"},

	/* Lists: later layers in front, each in its own order. */
	{{JSON("\"rule\": [\"log:a\",\n\"log:b\"]"),
	  "rule = log:c\nrule = \"log:d # e\"",
	  "rule=log:f",
	  {"CLAWFS_RULE=log:g=\\,,log:h"},
	  {"rule=log:i,rule=log:j\\,k"}},
	 "rule",
	 "log:i -o|log:j,k -o|log:g=, CLAWFS_RULE|log:h CLAWFS_RULE|log:f home.conf:1|log:c etc.conf:1|"
	 "log:d # e etc.conf:2|log:a /lower/secureclaw.json:3|log:b /lower/secureclaw.json:3"},
	{{JSON("\"sqlite_exclude\": [\"a\"]"), NULL, NULL, {NULL}, {"sqlite_exclude=b,sqlite_exclude=c"}},
	 "sqlite_exclude",
	 "b -o|c -o|a /lower/secureclaw.json:3"},

	/* The rest. */
	{{NULL, "allow_other", NULL, {NULL}, {"noallow_other"}}, "allow_other", "off -o"},
	{{NULL, "logfile = \"/var/log/a b.log\" # here", NULL, {NULL}, {NULL}},
	 "logfile",
	 "/var/log/a b.log etc.conf:1"},
	{{JSON("\"log_lines\": 1"), "profile = generic", NULL, {NULL}, {NULL}}, "log_lines", "100 default"},
	{{JSON("\"log_lines\": 1"), NULL, NULL, {NULL}, {"profile=openclaw"}}, "log_lines", "100 default"},
	{{"{\"clawfs\": null}", NULL, NULL, {NULL}, {NULL}}, "log_lines", "100 default"},
	{{"{\"memory\": 5}", NULL, NULL, {NULL}, {NULL}}, "log_lines", "100 default"},
	{{"[]", NULL, NULL, {NULL}, {NULL}}, "log_lines", "100 default"},
};

static bool is_foreign(const char *name, const char *value)
{
	return strncmp(name, "x-", 2) == 0;
}

static void test_who_wins(void **state)
{
	for (size_t i = 0; i < sizeof(winners) / sizeof(*winners); i++) {
		struct given given = winners[i].given;
		/* "x-a" is mount(8)'s. */
		if (given.lists[0] && strstr(given.lists[0], "x-"))
			given.lists[0] = "log_lines=6";
		if (read_layers(&given, "secureclaw.json") != 0 || said_count)
			fail_msg("case %zu, %s: %s", i, winners[i].name, said[0]);
		assert_value(winners[i].name, winners[i].want);
	}
	struct given openclaw = {.json = JSON("\"log_lines\": 1"), .lists = {"profile=openclaw"}};
	assert_int_equal(read_layers(&openclaw, "openclaw.json"), 0);
	assert_value("log_lines", "1 /lower/openclaw.json:3");
	assert_value("profile", "openclaw -o");
}

static void test_foreign(void **state)
{
	static char *none[] = {NULL};

	layers_init(&layers);
	layers.system_path = "";
	layers.user_path[0] = '\0';
	layers.environment = none;
	layers.is_foreign = is_foreign;
	layers.lists[0] = "x-a=b,log_lines=6,x-c";
	layers.list_count = 1;
	said_count = 0;
	assert_int_equal(layers_read(&layers, &settings, hear, NULL), 0);
	assert_value("log_lines", "6 -o");
}

struct wrong {
	struct given given;
	const char *said[2]; /* each in a line; %s: the test's directory */
	const char *kept;    /* an option that is broken, and not set */
};

static const struct wrong wrongs[] = {
	{{NULL, "\nlog_flsh_ms = 5", NULL, {NULL}, {NULL}},
	 {"E etc.conf:2: log_flsh_ms: unknown; did you mean log_flush_ms?"},
	 NULL},
	{{NULL, NULL, "log_lines = many", {NULL}, {NULL}}, {"E home.conf:1: log_lines: not a number"}, "log_lines"},
	{{NULL, NULL, "sqlite_sync = nromal", {NULL}, {NULL}},
	 {"E home.conf:1: sqlite_sync: must be normal, full or off; did you mean normal?"},
	 "sqlite_sync"},
	{{NULL, "rule = stat:x\nrule=log:[", NULL, {NULL}, {NULL}},
	 {"E etc.conf:1: rule: unknown class \"stat\"; did you mean state?", "E etc.conf:2: rule: unclosed ["},
	 "rule"},
	{{NULL, "log_lines 5", NULL, {NULL}, {NULL}}, {"E etc.conf:1: log_lines: no '=' behind the name"}, NULL},
	{{NULL, NULL, NULL, {"CLAWFS_LOG_LINE=5"}, {NULL}},
	 {"E environment variable CLAWFS_LOG_LINE: unknown; did you mean CLAWFS_LOG_LINES?"},
	 NULL},
	{{NULL, NULL, NULL, {"CLAWFS_LOG_LINES=x"}, {NULL}},
	 {"E environment variable CLAWFS_LOG_LINES: not a number"},
	 "log_lines"},
	{{NULL, NULL, NULL, {"CLAWFS_SOMETHING=5"}, {NULL}},
	 {"W environment variable CLAWFS_SOMETHING: there is no such option; going on without it"},
	 NULL},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_CACHE_SIZE_K=5", "SECURECLAW_TOKEN=x"}, {NULL}},
	 {"E environment variable SECURECLAW_DB_CACHE_SIZE_K: unknown; did you mean SECURECLAW_DB_CACHE_SIZE_KB?"},
	 NULL},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_CACHE_SIZE_KB=2M"}, {NULL}},
	 {"E environment variable SECURECLAW_DB_CACHE_SIZE_KB: not a number of KiB"},
	 "sqlite_cache"},
	{{NULL, NULL, NULL, {"SECURECLAW_DB_JOURNAL_SIZE_LIMIT=0"}, {NULL}},
	 {"E environment variable SECURECLAW_DB_JOURNAL_SIZE_LIMIT: 0 would cut"},
	 "sqlite_wal_limit"},
	{{NULL, NULL, NULL, {NULL}, {"log_flsh_ms=5"}},
	 {"E option log_flsh_ms=5: unknown; did you mean log_flush_ms?"},
	 NULL},
	{{JSON("\"log_lines\": 1,\n\"ram_mx\": \"1M\""), NULL, NULL, {NULL}, {NULL}},
	 {"E /lower/secureclaw.json:4: clawfs.ram_mx: unknown; did you mean ram_max?"},
	 NULL},
	{{JSON("\"log_lines\": [1]"), NULL, NULL, {NULL}, {NULL}},
	 {"E /lower/secureclaw.json:3: clawfs.log_lines: not a string, number or boolean"},
	 NULL},
	{{JSON("\"rule\": [1, \"log:a\"]"), NULL, NULL, {NULL}, {NULL}},
	 {"E /lower/secureclaw.json:3: clawfs.rule: not a list of strings"},
	 NULL},
	{{JSON("\"profile\": \"generic\""), NULL, NULL, {NULL}, {NULL}},
	 {"E /lower/secureclaw.json:3: clawfs.profile: cannot be set here"},
	 NULL},
	{{"{\"clawfs\": 5}", NULL, NULL, {NULL}, {NULL}}, {"E /lower/secureclaw.json: clawfs: not an object"}, NULL},
	{{"{\"memory\": {\"store\": {\"sqlite\": {\"cacheSize\": \"big\"}}}}", NULL, NULL, {NULL}, {NULL}},
	 {"E /lower/secureclaw.json:1: memory.store.sqlite.cacheSize: not a cache size"},
	 NULL},
	{{"{\"clawfs\": {", NULL, NULL, {NULL}, {NULL}}, {"W /lower/secureclaw.json"}, NULL},
	{{"", NULL, NULL, {NULL}, {NULL}}, {"W /lower/secureclaw.json"}, NULL},
};

/* What is said of each, and that the option kept its default. */
static void test_what_is_wrong(void **state)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
		const struct wrong *w = &wrongs[i];
		unsigned errors = read_layers(&w->given, "secureclaw.json"), want = 0, lines = 0;
		for (int k = 0; k < 2 && w->said[k]; k++, lines++) {
			char *at = strstr(said[k], dir);
			/* "E DIR/etc.conf:2: ..." */
			if (at)
				memmove(at, at + strlen(dir) + 1, strlen(at + strlen(dir) + 1) + 1);
			want += w->said[k][0] == 'E';
			if (strncmp(said[k], w->said[k], strlen(w->said[k])) != 0)
				fail_msg("case %zu: \"%s\", expected \"%s\"", i, said[k], w->said[k]);
		}
		assert_int_equal(said_count, lines);
		assert_int_equal(errors, want);
		if (w->kept) {
			struct policy_config defaults;
			policy_config_init(&defaults);
			const struct policy_option *o = policy_option_find(w->kept);
			assert_true(settings.broken[o - policy_options()]);
			assert_true(policy_option_same(&settings.config, &defaults, o));
		}
	}
}

/* What does not hold between two layers names both. */
static void test_between_layers(void **state)
{
	struct given given = {.etc = "\nsession_max_ms = 1000"};

	assert_int_equal(read_layers(&given, "secureclaw.json"), 0);
	assert_false(layers_check(&layers, &settings, hear, NULL));
	assert_int_equal(said_count, 1);
	assert_non_null(strstr(said[0], "session_debounce_ms (2000) must not be more than session_max_ms (1000)"));
	assert_non_null(strstr(said[0], "session_debounce_ms: default"));
	assert_non_null(strstr(said[0], "etc.conf:2"));
}

/* P10: what says where root's daemon writes does not come from a file that others may write. */
static void test_guarded(void **state)
{
	static const char *const texts[] = {"logfile = /etc/cron.d/x", "upper = /dev/shm/x", "allow_other"};
	struct given given = {0};
	struct stat st;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		given.etc = texts[i];
		assert_int_equal(read_layers(&given, "secureclaw.json"), 0);
		assert_int_equal(chmod(etc_path, 0664), 0);
		said_count = 0;
		layers.lower = -1;
		assert_int_equal(layers_read(&layers, &settings, hear, NULL), 1);
		assert_non_null(strstr(said[0], "not taken from here"));
	}
	/* Nor from the JSON file, when others may put another one in its place. */
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	given = (struct given){.json = JSON("\"logfile\": \"/etc/cron.d/x\", \"log_lines\": 3")};
	assert_int_equal(read_layers(&given, "secureclaw.json"), 1);
	assert_non_null(strstr(said[0], "clawfs.logfile: not taken from here"));
	assert_value("log_lines", "3 /lower/secureclaw.json:3");
	assert_int_equal(chmod(dir, st.st_mode & 07777), 0);
}

/* A layer that cannot be read is said, and is as if absent. */
static void test_unreadable(void **state)
{
	struct given given = {.home = "log_lines = 3"};

	read_layers(&given, "secureclaw.json");
	layers.lower = -1;
	unlink(etc_path);
	assert_int_equal(mkdir(etc_path, 0700), 0);
	said_count = 0;
	assert_int_equal(layers_read(&layers, &settings, hear, NULL), 0);
	assert_int_equal(said_count, 1);
	assert_non_null(strstr(said[0], "etc.conf: not a regular file; going on without it"));
	assert_value("log_lines", "3 home.conf:1");
	assert_int_equal(rmdir(etc_path), 0);
	assert_int_equal(symlink(etc_path, etc_path), 0);
	said_count = 0;
	assert_int_equal(layers_read(&layers, &settings, hear, NULL), 0);
	assert_int_equal(said_count, 1);
	assert_non_null(strstr(said[0], strerror(ELOOP)));
	unlink(etc_path);
	assert_int_equal(mkfifo(etc_path, 0600), 0);
	said_count = 0;
	assert_int_equal(layers_read(&layers, &settings, hear, NULL), 0);
	assert_int_equal(said_count, 1);
	unlink(etc_path);
}

/* JSON5 where the library can; a word about it where it cannot. */
static void test_json5(void **state)
{
	struct given given = {.json = "// mine\n{ clawfs: { log_lines: 7, /* and */ }, }\n"};

	assert_int_equal(read_layers(&given, "secureclaw.json"), 0);
	if (sqlite3_libversion_number() >= 3042000) {
		assert_int_equal(said_count, 0);
		assert_value("log_lines", "7 /lower/secureclaw.json:2");
	} else {
		assert_int_equal(said_count, 1);
		assert_non_null(strstr(said[0], "JSON5 need"));
		assert_value("log_lines", "100 default");
	}
}

struct shown {
	char text[16384];
	size_t used;
};

static void take_line(void *arg, const char *line)
{
	struct shown *s = arg;

	s->used += (size_t)snprintf(s->text + s->used, sizeof(s->text) - s->used, "%s", line);
}

/* What is shown is a file that says the same. */
static void test_show(void **state)
{
	struct given given = {
		.home = "log_lines = 3\nrule = \"log:a #b\"\nrule=log:c\nlogfile=/a b\nsqlite_exclude=\" x\""};
	static struct settings first;
	static struct shown shown;

	assert_int_equal(read_layers(&given, "secureclaw.json"), 0);
	assert_true(layers_check(&layers, &settings, hear, NULL));
	shown.used = 0;
	layers_show(&layers, &settings, take_line, &shown);
	first = settings;
	given = (struct given){.etc = shown.text};
	assert_int_equal(read_layers(&given, "secureclaw.json"), 0);
	assert_true(layers_check(&layers, &settings, hear, NULL));
	for (const struct policy_option *o = policy_options(); o->name; o++)
		if (!policy_option_same(&settings.config, &first.config, o))
			fail_msg("%s differs", o->name);
	assert_string_equal(settings.config.rules.rule[0].glob, "a #b");
	assert_int_equal(settings.rules[0].layer, LAYER_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_wins),      cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_what_is_wrong), cmocka_unit_test(test_between_layers),
		cmocka_unit_test(test_guarded),	      cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_json5),	      cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
