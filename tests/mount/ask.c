/* ask FILE CORE: asks for the file's attributes, on that core, until it is killed. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct statx st;
	cpu_set_t only;

	if (argc != 3)
		return 2;
	CPU_ZERO(&only);
	CPU_SET(atoi(argv[2]), &only);
	if (sched_setaffinity(0, sizeof(only), &only) < 0) {
		perror("ask: sched_setaffinity");
		return 1;
	}
	/* Each is a request. */
	while (statx(AT_FDCWD, argv[1], AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) == 0)
		;
	perror("ask: statx");
	return 1;
}
