/* clawfs: a file system over an application's data directory that turns many
 * small writes into few. See README.md and fs/DESIGN.md. */
#include "fs/fstab.h"
#include "fs/options.h"
#include "fs/session.h"
#include "fs/spawner.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int run(int argc, char **argv)
{
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

/* Exit statuses are mount(8)'s: 1 usage, 32 failure. */
static int run_helper(int argc, char **argv)
{
	char **own = calloc(2 * (size_t)argc + 2, sizeof(*own));
	int count, status = 1;

	if (!own)
		return 1;
	switch (fstab_helper_args(argc, argv, own, &count)) {
	case FSTAB_RUN:
		status = run(count, own);
		if (status != 0)
			status = status == 2 ? 1 : 32;
		break;
	case FSTAB_DONE:
		status = 0;
		break;
	case FSTAB_USAGE:
		break;
	}
	free(own);
	return status;
}

int main(int argc, char **argv)
{
	/* How the daemon starts its helpers (spawner.c); no options for people. */
	if (argc == 2 && strcmp(argv[1], "--spawner") == 0)
		return spawner_main(HELPER_SOCK);
	if (argc == 2 && strcmp(argv[1], "--steward") == 0)
		return helper_main(HELPER_STEWARD, HELPER_SOCK);
	if (argc == 2 && strcmp(argv[1], "--hold") == 0)
		return helper_main(HELPER_HOLD, HELPER_SOCK);
	return argc > 0 && fstab_is_helper(argv[0]) ? run_helper(argc, argv) : run(argc, argv);
}
