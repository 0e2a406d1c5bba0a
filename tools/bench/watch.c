/* Memory and CPU of processes, from /proc. One that ends while we look counts as nothing. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/die.h"
#include "tools/bench/load.h"

enum { PIDS = 64 };

struct watch {
	int roots[PIDS], count;
	double cpu_before;
	long switches_before;
	struct usage usage;
};

static bool read_proc(int pid, const char *name, char *out, size_t size)
{
	char path[64];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	fclose(f);
	return n > 0;
}

/* Fields of /proc/PID/stat behind the name, which may hold anything: [0] is the state. */
static char *stat_fields(char *text)
{
	char *end = strrchr(text, ')');

	return end ? end + 2 : NULL;
}

/* The roots and all whose parent is in the list; their number. */
static int family(const struct watch *w, int pids[PIDS])
{
	int count = w->count, pid, parent;
	bool grown = true;
	char text[1024], *fields;
	struct dirent *entry;

	memcpy(pids, w->roots, sizeof(w->roots));
	while (grown && count < PIDS) {
		DIR *proc = opendir("/proc");
		grown = false;
		while (proc && (entry = readdir(proc)) && count < PIDS) {
			pid = atoi(entry->d_name);
			if (pid == 0 || !read_proc(pid, "stat", text, sizeof(text)) || !(fields = stat_fields(text)) ||
			    sscanf(fields, "%*c %d", &parent) != 1)
				continue;
			bool known = false, child = false;
			for (int i = 0; i < count; i++) {
				known |= pids[i] == pid;
				child |= pids[i] == parent;
			}
			if (child && !known) {
				pids[count++] = pid;
				grown = true;
			}
		}
		if (proc)
			closedir(proc);
	}
	return count;
}

/* User and system time, its own and of the children it has waited for. */
static double cpu_ms(int pid)
{
	unsigned long user, sys;
	long child_user, child_sys;
	char text[1024], *fields;

	if (!read_proc(pid, "stat", text, sizeof(text)) || !(fields = stat_fields(text)) ||
	    sscanf(fields, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &user, &sys, &child_user,
		   &child_sys) != 4)
		return 0;
	return (double)(user + sys + (unsigned long)(child_user + child_sys)) * 1e3 / (double)sysconf(_SC_CLK_TCK);
}

static double total_cpu(const struct watch *w)
{
	int pids[PIDS], count = family(w, pids);
	double sum = 0;

	for (int i = 0; i < count; i++)
		sum += cpu_ms(pids[i]);
	return sum;
}

static long long_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

/* Of all threads that there are. */
static long switches(int pid)
{
	char path[64], text[4096];
	struct dirent *entry;
	long sum = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		int tid = atoi(entry->d_name);
		if (tid == 0)
			continue;
		snprintf(path, sizeof(path), "task/%d/status", tid);
		if (read_proc(pid, path, text, sizeof(text)))
			sum += long_after(text, "\nvoluntary_ctxt_switches:") +
			       long_after(text, "\nnonvoluntary_ctxt_switches:");
	}
	if (tasks)
		closedir(tasks);
	return sum;
}

static long total_switches(const struct watch *w)
{
	int pids[PIDS], count = family(w, pids);
	long sum = 0;

	for (int i = 0; i < count; i++)
		sum += switches(pids[i]);
	return sum;
}

struct watch *watch_create(const int *pids, int count)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		die(0, "no memory");
	for (int i = 0; i < count && i < PIDS; i++)
		w->roots[w->count++] = pids[i];
	w->cpu_before = total_cpu(w);
	w->switches_before = total_switches(w);
	return w;
}

void watch_look(struct watch *w)
{
	int pids[PIDS], count = w->count > 0 ? family(w, pids) : 0;
	long rss = 0, pss = 0;
	char text[4096];

	for (int i = 0; i < count; i++) {
		if (!read_proc(pids[i], "smaps_rollup", text, sizeof(text)))
			continue;
		rss += long_after(text, "\nRss:");
		pss += long_after(text, "\nPss:");
	}
	if (rss > w->usage.rss_kib)
		w->usage.rss_kib = rss;
	if (pss > w->usage.pss_kib)
		w->usage.pss_kib = pss;
	if (count > w->usage.processes)
		w->usage.processes = count;
}

struct usage watch_destroy(struct watch *w)
{
	struct usage usage;

	watch_look(w);
	usage = w->usage;
	usage.cpu_ms = total_cpu(w) - w->cpu_before;
	usage.switches = total_switches(w) - w->switches_before;
	free(w);
	return usage;
}
