/* usage: crash MODE key=value...
 *
 *   kill   kill -9 at random instants       clawfs= dir= shm= [rounds= seed= pace= wait_ms= only= both=1]
 *   points kill -9 at numbered points       as kill, and [first=]
 *   faults system calls that fail           as kill, and [only_fault=]
 *   soak   all of it, for minutes           clawfs= dir= shm= minutes= [seed= pace=]
 *   run    the load, for a power cut later  mnt= acks= seconds= [seed= pace= only=]
 *   check  judges a directory               root= acks= [judge=mount|lower|cut cut_us= slack_ms= only=]
 *
 * What is wrong is said on stderr, in lines that begin with WRONG, and then the exit status is 1. */
#include "modes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **arguments;

const char *argument(const char *key, const char *otherwise)
{
	size_t len = strlen(key);

	for (char **a = arguments; *a; a++)
		if (strncmp(*a, key, len) == 0 && (*a)[len] == '=')
			return *a + len + 1;
	if (!otherwise) {
		fprintf(stderr, "crash: %s= is missing\n", key);
		exit(2);
	}
	return otherwise;
}

long long argument_number(const char *key, long long otherwise)
{
	const char *text = argument(key, "");

	return *text ? atoll(text) : otherwise;
}

struct crew_options crew_arguments(const char *mnt, const char *acks)
{
	const char *only = argument("only", "");

	return (struct crew_options){.mnt = mnt,
				     .acks = acks,
				     .only = *only ? only : NULL,
				     .short_windows = strcmp(argument("windows", "default"), "short") == 0,
				     .seed = (uint64_t)argument_number("seed", 1),
				     .pace = atof(argument("pace", "1"))};
}

static int mode_run(void)
{
	struct crew_options o = crew_arguments(argument("mnt", NULL), argument("acks", NULL));
	usec_t end = usec_now() + (usec_t)(atof(argument("seconds", NULL)) * 1e6);

	o.fresh = true;
	struct crew *c = crew_create(&o);
	if (!c || crew_prepare(o.mnt) < 0)
		return 1;
	crew_go(c);
	while (usec_now() < end && crew_errors(c) == 0)
		usleep(10000);
	crew_halt(c);
	unsigned bad = crew_errors(c) + crew_check(c, o.mnt, JUDGE_MOUNT, 0, 0, false);
	crew_report(c);
	crew_destroy(c);
	return bad > 0;
}

static int mode_check(void)
{
	struct crew_options o = crew_arguments(NULL, argument("acks", NULL));
	const char *judge = argument("judge", "mount");
	struct crew *c = crew_create(&o);

	if (!c)
		return 1;
	unsigned bad =
		crew_check(c, argument("root", NULL),
			   strcmp(judge, "cut") == 0	 ? JUDGE_CUT
			   : strcmp(judge, "lower") == 0 ? JUDGE_LOWER
							 : JUDGE_MOUNT,
			   (usec_t)argument_number("cut_us", 0), (usec_t)argument_number("slack_ms", 0) * 1000, false);
	crew_report(c);
	crew_destroy(c);
	return bad > 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} modes[] = {
		{"kill", mode_kill}, {"points", mode_points}, {"faults", mode_faults},
		{"soak", mode_soak}, {"run", mode_run},	      {"check", mode_check},
	};

	if (argc == 6 && strcmp(argv[1], "database") == 0)
		return database_work(argv + 2);
	arguments = argv + (argc > 1 ? 2 : 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run();
	fprintf(stderr, "usage: crash kill|points|faults|soak|run|check key=value...\n");
	return 2;
}
