/* clawfs: a file system over an application's data directory that turns many
 * small writes into few. See README.md and fs/DESIGN.md. */
#include "fs/options.h"
#include "fs/session.h"
#include "fs/steward.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	/* How the daemon starts its steward (steward.c); no option for people. */
	if (argc == 2 && strcmp(argv[1], "--steward") == 0)
		return steward_child_main(STEWARD_SOCK);

	struct options *options = malloc(sizeof(*options));
	int status = 2;

	if (!options)
		return 1;
	switch (options_parse(options, argc, argv)) {
	case OPTIONS_RUN:
		/* Modes come from applications, whose own umask the kernel has applied (P10). */
		umask(0);
		status = session_run(options);
		break;
	case OPTIONS_DONE:
		status = 0;
		break;
	case OPTIONS_USAGE:
		break;
	}
	free(options);
	return status;
}
