/* The counters, and the configuration, as the daemon gives them. */
#include "tools/clawfsctl/place.h"
#include <stdio.h>
#include <stdlib.h>

static int show(const struct ctl_command *self, int argc, char **argv, const char *file)
{
	struct place place;
	const char *arg;

	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	int status = place_find(self, arg, &place);
	if (status != CTL_OK)
		return status;
	char *text = place_read(self, &place, file, &status);
	if (!text)
		return status;
	fputs(text, stdout);
	free(text);
	return CTL_OK;
}

int ctl_stats_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
					      {"json", no_argument, NULL, 'j'},
					      {"prometheus", no_argument, NULL, 'p'},
					      {0}};
	const char *file = "stats";
	int c;

	while ((c = ctl_option(self, argc, argv, "h", longs)) != -1) {
		if (c != 'j' && c != 'p')
			return c == 'h' ? CTL_OK : CTL_USAGE;
		file = c == 'j' ? "stats.json" : "metrics";
	}
	return show(self, argc, argv, file);
}

int ctl_config_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};

	int c = ctl_option(self, argc, argv, "h", longs);
	if (c != -1)
		return c == 'h' ? CTL_OK : CTL_USAGE;
	return show(self, argc, argv, "config");
}
