/* The files in RAM, oldest first. */
#include "tools/clawfsctl/format.h"
#include "tools/clawfsctl/place.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
	char class[16], waits[16];
	uint64_t bytes;
	int64_t age;
	const char *path;
};

/* One line of .clawfs/dirty (fs/dirty.h). */
static bool parse(char *text, struct line *line)
{
	int at = 0;

	if (sscanf(text, "%15s %15s %" SCNu64 " %" SCNd64 " %n", line->class, line->waits, &line->bytes, &line->age,
		   &at) < 4 ||
	    at == 0)
		return false;
	line->path = text + at;
	return true;
}

static int older_first(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->age != y->age)
		return x->age > y->age ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* Below `inside`, or all. */
static bool wanted(const struct line *line, const char *inside, bool dirty)
{
	size_t len = strlen(inside);

	if (dirty && strcmp(line->waits, "-") == 0)
		return false;
	return len == 0 || (strncmp(line->path, inside, len) == 0 && (!line->path[len] || line->path[len] == '/'));
}

static int print_lines(const struct ctl_command *self, char *text, const char *inside, bool dirty)
{
	size_t lines = 0, count = 0;

	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	struct line *list = calloc(lines + 1, sizeof(*list));
	if (!list) {
		ctl_complain(self, "out of memory");
		return CTL_FAILED;
	}
	char *save = NULL;
	for (char *l = strtok_r(text, "\n", &save); l && count < lines; l = strtok_r(NULL, "\n", &save))
		if (parse(l, &list[count]) && wanted(&list[count], inside, dirty))
			count++;
	qsort(list, count, sizeof(*list), older_first);
	printf("%-9s %-9s %12s %10s  %s\n", "class", "waits", "bytes", "age", "path");
	for (size_t i = 0; i < count; i++)
		printf("%-9s %-9s %12" PRIu64 " %10s  %s\n", list[i].class, list[i].waits, list[i].bytes,
		       format_age(list[i].age).text, list[i].path);
	free(list);
	return CTL_OK;
}

int ctl_ls_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {"dirty", no_argument, NULL, 'd'}, {0}};
	struct place place;
	const char *arg;
	bool dirty = false;
	int c, status;

	while ((c = ctl_option(self, argc, argv, "h", longs)) != -1) {
		if (c != 'd')
			return c == 'h' ? CTL_OK : CTL_USAGE;
		dirty = true;
	}
	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	status = place_find(self, arg, &place);
	if (status != CTL_OK)
		return status;
	char *text = place_read(self, &place, "dirty", &status);
	if (!text)
		return status;
	status = print_lines(self, text, place.inside, dirty);
	free(text);
	return status;
}
