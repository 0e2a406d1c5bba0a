/* The names that operations use: some of every class, so that each of the
 * classes' code paths and every rename between two of them is driven. */
#include "model.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* "@N.ext" stands for a name of N bytes that ends in ".ext". */
static const struct {
	const char *alias;
	unsigned kind;
} names[] = {
	{"a.log", NAME_LOG},
	{"b.log", NAME_LOG},
	{"d1/a.log", NAME_LOG},
	{"logs", NAME_DIR | NAME_HEADER},
	{"logs/x.txt", NAME_LOG},
	{"logs/y.log", NAME_LOG},
	{"t.jsonl", NAME_LOG},
	{"d1/t.jsonl", NAME_LOG},
	{"sessions.json", NAME_WHOLE},
	{"s", NAME_DIR | NAME_HEADER},
	{"s/sessions.json", NAME_WHOLE},
	{"s/sessions.json.bak.1", NAME_WHOLE},
	{"sessions.json.bak.1", NAME_WHOLE},
	{"c.json", NAME_WHOLE},
	{".env", NAME_WHOLE},
	{"d1/c.json", NAME_WHOLE},
	{"x.lock", NAME_RAM},
	{"y.tmp", NAME_RAM},
	{"z.tmp-1", NAME_RAM},
	{"s/sessions.json.77.tmp", NAME_RAM},
	{"d.sqlite", NAME_OTHER},
	{"d.sqlite-wal", NAME_OTHER},
	{"plain.txt", NAME_OTHER},
	{"d1/plain.txt", NAME_OTHER},
	{"workspace", NAME_DIR | NAME_HEADER},
	{"workspace/w.log", NAME_OTHER},
	{"workspace/w.json", NAME_OTHER},
	{"workspace/w.tmp", NAME_OTHER},
	{"d1", NAME_DIR | NAME_HEADER},
	{"d1/d2", NAME_DIR | NAME_HEADER},
	{"d1/d2/e.log", NAME_LOG},
	{"d1/d2/c.json", NAME_WHOLE},
	{"l.lock", NAME_DIR | NAME_RAM},
	{"l.lock/pid.txt", NAME_OTHER},
	{"d3", NAME_DIR},
	{"d3/c.json", NAME_WHOLE},
	{"d3/a.log", NAME_LOG},
	{"@255.json", NAME_WHOLE | NAME_ODD},
	{"@255.log", NAME_LOG | NAME_ODD},
	{"@255.tmp", NAME_RAM | NAME_ODD},
	{"@256.txt", NAME_ODD},
	{"lnk", NAME_ODD},
	{"d1/lnk.json", NAME_ODD},
	{"pipe", NAME_ODD},
	{"sock.lock", NAME_ODD},
	{"c.json/x", NAME_ODD},
	{"a.log/y.log", NAME_ODD},
	{".", NAME_DIR},
};

/* Relative, and never out of the run's directory. The last is a loop. */
static const char *const targets[] = {"a.log", "c.json", "d1", "nowhere", "plain.txt", "y.tmp", "sessions.json", "lnk"};

const unsigned name_count = sizeof(names) / sizeof(names[0]);
const unsigned link_count = sizeof(targets) / sizeof(targets[0]);

const char *name_alias(long index)
{
	return names[(unsigned long)index % name_count].alias;
}

unsigned name_kind(long index)
{
	return names[(unsigned long)index % name_count].kind;
}

long name_parse(const char *alias, size_t len)
{
	for (unsigned i = 0; i < name_count; i++)
		if (strlen(names[i].alias) == len && memcmp(names[i].alias, alias, len) == 0)
			return i;
	return -1;
}

const char *link_target(long index)
{
	return targets[(unsigned long)index % link_count];
}

const char *name_path(const struct side *s, long index, char *buf)
{
	const char *alias = name_alias(index);
	size_t dir = strcspn(alias, "/");
	unsigned long size;
	char *end;
	int n;

	if ((dir == 4 && memcmp(alias, "logs", 4) == 0) || (dir == 9 && memcmp(alias, "workspace", 9) == 0)) {
		snprintf(buf, PATH_MAX, "%.*s/r%d%s", (int)dir, alias, s->run, alias + dir);
	} else if (alias[0] == '@') {
		size = strtoul(alias + 1, &end, 10);
		n = snprintf(buf, PATH_MAX, "r%d/", s->run);
		memset(buf + n, 'n', size);
		memcpy(buf + n + size - strlen(end), end, strlen(end) + 1);
	} else {
		snprintf(buf, PATH_MAX, "r%d/%s", s->run, alias);
	}
	return buf;
}

/* All far from today, so that an mtime tells by itself whether it was set. */
static const struct timespec explicit_times[] = {
	{1000000000, 0},	 {1000000001, 1},	  {1234567890, 123456789}, {1400000000, 999999999},
	{1500000000, 500000000}, {2000000000, 1000000},	  {2000000000, 7},	   {1, 2},
	{-86400, 250000000},	 {2000000123, 987654321},
};

#define NTIMES (sizeof(explicit_times) / sizeof(explicit_times[0]))

/* After the explicit ones: both now; atime alone; mtime alone; mtime now. */
const unsigned time_count = NTIMES + 4;

const struct timespec *time_pair(long index, struct timespec times[2])
{
	unsigned i = (unsigned long)index % time_count;

	times[0] = explicit_times[(i + 3) % NTIMES];
	times[1] = explicit_times[i % NTIMES];
	switch (i - NTIMES) {
	case 0:
		return NULL;
	case 1:
		times[1].tv_nsec = UTIME_OMIT;
		break;
	case 2:
		times[0].tv_nsec = UTIME_OMIT;
		break;
	case 3:
		times[1].tv_nsec = UTIME_NOW;
		break;
	}
	return times;
}

bool sets_atime(const struct timespec *times)
{
	return times && times[0].tv_nsec != UTIME_OMIT;
}

bool time_explicit(struct timespec t)
{
	return t.tv_sec < 1600000000 || (t.tv_sec >= 2000000000 && t.tv_sec < 2000001000);
}

bool name_volatile(const char *path)
{
	static const char *const globs[] = {"*.lock", "*.tmp", "*.tmp-*", "*-shm", "etilqs_*"};
	const char *base = strrchr(path, '/');

	if (strncmp(path, "workspace/", 10) == 0)
		return false;
	base = base ? base + 1 : path;
	for (unsigned i = 0; i < sizeof(globs) / sizeof(globs[0]); i++)
		if (fnmatch(globs[i], base, 0) == 0)
			return true;
	return false;
}
