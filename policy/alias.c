#include "policy/alias.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PAGE_KIB 4 /* SQLite's default page */

static const struct policy_alias env_aliases[] = {
	{"SECURECLAW_LOG_BUFFER_SIZE", "log_lines", ALIAS_SAME}, /* lines, as in the application's buffered logger */
	{"SECURECLAW_LOG_FLUSH_INTERVAL_MS", "log_flush_ms", ALIAS_SAME},
	{"SECURECLAW_LOG_COMPRESSION_ENABLED", "log_gzip", ALIAS_SAME},
	{"SECURECLAW_LOG_COMPRESSION_AGE_MS", "log_gzip_age_ms", ALIAS_SAME},
	{"SECURECLAW_DB_WAL_MODE", "sqlite_wal", ALIAS_WAL},
	{"SECURECLAW_DB_SYNCHRONOUS", "sqlite_sync", ALIAS_SYNC},
	{"SECURECLAW_DB_CACHE_SIZE_KB", "sqlite_cache", ALIAS_KIB},
	{"SECURECLAW_DB_JOURNAL_SIZE_LIMIT", "sqlite_wal_limit", ALIAS_LIMIT},
	{"SECURECLAW_SESSION_WRITE_DEBOUNCE_MS", "session_debounce_ms", ALIAS_SAME},
	{"SECURECLAW_SESSION_CACHE_TTL_MS", "cache_ms", ALIAS_SAME},
	{"SECURECLAW_IO_METRICS_ENABLED", "metrics", ALIAS_SAME},
	{"SECURECLAW_IO_METRICS_WINDOW_MS", "metrics_window_ms", ALIAS_SAME},
	{NULL, NULL, ALIAS_SAME},
};

static const struct policy_alias json_aliases[] = {
	{"walMode", "sqlite_wal", ALIAS_WAL},
	{"synchronous", "sqlite_sync", ALIAS_SYNC},
	{"cacheSize", "sqlite_cache", ALIAS_PAGES},
	{"journalSizeLimit", "sqlite_wal_limit", ALIAS_LIMIT},
	{NULL, NULL, ALIAS_SAME},
};

const struct policy_alias *policy_env_aliases(void)
{
	return env_aliases;
}

const struct policy_alias *policy_json_aliases(void)
{
	return json_aliases;
}

/* What a word of SQLite's means here. */
struct word {
	const char *theirs, *ours;
};

static const struct word wal_words[] = {
	{"wal", "on"},	   {"delete", "off"}, {"truncate", "off"}, {"persist", "off"},
	{"memory", "off"}, {"off", "off"},    {"on", "on"},	   {NULL, NULL},
};
static const struct word sync_words[] = {
	{"0", "off"},	      {"1", "normal"},	{"2", "full"},	   {"3", "full"}, {"off", "off"},
	{"normal", "normal"}, {"full", "full"}, {"extra", "full"}, {NULL, NULL},
};

static const char *translate(const struct word *words, const char *text)
{
	for (; words->theirs; words++)
		if (strcasecmp(words->theirs, text) == 0)
			return words->ours;
	return text;
}

static bool is_digits(const char *text)
{
	size_t len = 0;

	while (text[len] >= '0' && text[len] <= '9')
		len++;
	return len > 0 && text[len] == '\0';
}

static int refuse(char *why, size_t why_size, const char *text)
{
	snprintf(why, why_size, "%s", text);
	return -EINVAL;
}

/* The digits of a number of pages times the page size, by hand: it may be of any length. */
static int pages(const char *text, char *out, size_t size, char *why, size_t why_size)
{
	long long kib = 0;

	for (const char *p = text; *p; p++) {
		kib = kib * 10 + (*p - '0');
		if (kib > 1LL << 40)
			return refuse(why, why_size, "too many pages; give fewer, or -KiB");
	}
	snprintf(out, size, "%lldK", kib * PAGE_KIB);
	return 0;
}

int policy_alias_value(enum policy_alias_kind kind, const char *text, char *out, size_t size, char *why,
		       size_t why_size)
{
	switch (kind) {
	case ALIAS_WAL:
		text = translate(wal_words, text);
		break;
	case ALIAS_SYNC:
		text = translate(sync_words, text);
		break;
	case ALIAS_KIB:
		if (!is_digits(text))
			return refuse(why, why_size, "not a number of KiB");
		snprintf(out, size, "%sK", text);
		return 0;
	case ALIAS_PAGES:
		if (is_digits(text))
			return pages(text, out, size, why, why_size);
		if (*text != '-' || !is_digits(text + 1))
			return refuse(why, why_size, "not a cache size; write a number of pages, or -KiB");
		snprintf(out, size, "%sK", text + 1);
		return 0;
	case ALIAS_LIMIT:
		if (strcmp(text, "-1") == 0)
			text = "0";
		else if (strcmp(text, "0") == 0)
			return refuse(why, why_size,
				      "0 would cut the WAL at every commit; write -1 for no limit, or a size");
		break;
	case ALIAS_SAME:
		break;
	}
	snprintf(out, size, "%s", text);
	return 0;
}
