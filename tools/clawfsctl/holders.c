#include "tools/clawfsctl/holders.h"
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 3

static bool link_is_below(const char *link, const char *dir)
{
	char target[PATH_MAX];
	size_t len = strlen(dir);
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return strncmp(target, dir, len) == 0 && (target[len] == '/' || target[len] == '\0');
}

static bool any_below(const char *links, const char *dir)
{
	DIR *d = opendir(links);
	bool found = false;

	for (struct dirent *e; d && !found && (e = readdir(d));) {
		char link[PATH_MAX + NAME_MAX];
		snprintf(link, sizeof(link), "%s/%s", links, e->d_name);
		found = link_is_below(link, dir);
	}
	if (d)
		closedir(d);
	return found;
}

static bool holds(const char *pid, const char *dir)
{
	static const char *const links[] = {"cwd", "root", "exe"}, *const dirs[] = {"fd", "map_files"};
	char path[NAME_MAX + 32];

	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s", pid, links[i]);
		if (link_is_below(path, dir))
			return true;
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s", pid, dirs[i]);
		if (any_below(path, dir))
			return true;
	}
	return false;
}

static void name_of(const char *pid, char *out, size_t size)
{
	char path[NAME_MAX + 32];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	FILE *f = fopen(path, "re");
	if (!f || !fgets(out, (int)size, f))
		snprintf(out, size, "?");
	if (f)
		fclose(f);
	out[strcspn(out, "\n")] = '\0';
}

void holders_list(const char *dir, char *out, size_t size)
{
	DIR *proc = opendir("/proc");
	unsigned count = 0;
	size_t used = 0;

	out[0] = '\0';
	for (struct dirent *e; proc && (e = readdir(proc));) {
		char name[64];
		if (!isdigit((unsigned char)e->d_name[0]) || atoi(e->d_name) == getpid() || !holds(e->d_name, dir))
			continue;
		if (count++ >= SHOWN || used >= size)
			continue;
		name_of(e->d_name, name, sizeof(name));
		used += (size_t)snprintf(out + used, size - used, "%s%s (pid %s)", used ? ", " : "", name, e->d_name);
	}
	if (proc)
		closedir(proc);
	if (count > SHOWN && used < size)
		snprintf(out + used, size - used, " and %u more", count - SHOWN);
}
