/* The counters, as the daemon gives them. */
#include "tools/clawfsctl/place.h"
#include <stdio.h>
#include <stdlib.h>

int ctl_stats_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'}, {0}};
	const char *file = "stats", *arg;
	struct place place;
	int c, status;

	while ((c = ctl_option(self, argc, argv, "h", longs)) != -1) {
		if (c != 'j')
			return c == 'h' ? CTL_OK : CTL_USAGE;
		file = "stats.json";
	}
	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	status = place_find(self, arg, &place);
	if (status != CTL_OK)
		return status;
	char *text = place_read(self, &place, file, &status);
	if (!text)
		return status;
	fputs(text, stdout);
	free(text);
	return CTL_OK;
}
