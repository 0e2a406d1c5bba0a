/* kill -9 at random instants under the full load (P6): each round lets the actors work, kills who serves the mount, and
 * judges every file to the byte. Without a supervisor the mount is made anew each time, and an operation that was
 * cut off may have been done or not. */
#include "daemon.h"
#include "modes.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Windows so short that flushes run all the time, long, or as they come. */
static const char *const window_options[] = {
	"log_flush_ms=50,append_flush_ms=30,state_flush_ms=20,session_debounce_ms=20,session_max_ms=60,epoch_reach_ms="
	"20,"
	"sqlite_sync_ms=200,sqlite_checkpoint_ms=500",
	"log_flush_ms=300,append_flush_ms=200,state_flush_ms=100,session_debounce_ms=50,session_max_ms=200,log_lines="
	"20",
	"log_flush_ms=600000,append_flush_ms=600000,state_flush_ms=600000,session_debounce_ms=600000,session_max_ms="
	"600000,passthrough=off",
	"ram_max=4M,log_flush_ms=100",
	"",
};

int remount_and_judge(struct daemon *d, struct crew *c, const char *options)
{
	usec_t begin = usec_now();

	if (daemon_start(d, options) != 0)
		return -1;
	usec_t up = usec_now();
	unsigned bad = crew_check(c, d->mnt, JUDGE_MOUNT, 0, 0, true);
	if (argument_number("verbose", 0))
		printf("mounted in %.0f ms, judged in %.0f ms\n", (double)(up - begin) / 1e3,
		       (double)(usec_now() - up) / 1e3);
	return bad ? -1 : 0;
}

/* With keep=1: what the next mount found, for whoever looks into a failure. */
void keep_copy(const struct daemon *d, const char *dir)
{
	char command[2000];

	if (!argument_number("keep", 0))
		return;
	snprintf(
		command, sizeof(command),
		"rm -rf %s/found; mkdir %s/found && cp -a %s %s/found/lower && cp -a --sparse=always %s %s/found/upper",
		dir, dir, d->lower, dir, d->upper, dir);
	if (system(command) != 0)
		fprintf(stderr, "cannot keep a copy in %s/found\n", dir);
}

void say_who_holds(const char *dir)
{
	char command[1500];

	snprintf(command, sizeof(command),
		 "for p in /proc/[0-9]*; do open=$(ls -l $p/fd 2>/dev/null | grep -oE '%s.*|(main.sqlite|index.db).*') "
		 "&& "
		 "echo \"$(tr '\\0' ' ' <$p/cmdline): $open\" >&2; done",
		 dir);
	if (system(command) != 0)
		fprintf(stderr, "cannot say who has files open in %s\n", dir);
}

int end_and_judge(struct daemon *d, struct crew *c)
{
	crew_drop(c);
	if (daemon_end(d) < 0)
		return -1;
	return crew_check(c, d->lower, JUDGE_LOWER, 0, 0, false) ? -1 : 0;
}

/* With a supervisor: the application notices a pause and nothing else (DESIGN.md, section 5). */
static int kill_workers(struct daemon *d, struct crew *c, uint64_t seed, long long rounds, long long wait_ms)
{
	enum { JUDGE_EVERY = 20 };
	unsigned bad = 0;

	for (long long round = 0; round < rounds && !bad; round++) {
		usec_t end = usec_now() + (usec_t)60 * 1000000;
		pid_t worker = 0;
		crew_go(c);
		usleep((useconds_t)(1000 + mix(seed, 20, (uint64_t)round) % (uint64_t)(wait_ms * 1000)));
		kill(d->worker, SIGKILL);
		while ((worker = daemon_worker(d)) == 0 || worker == d->worker) {
			if (usec_now() > end || crew_errors(c)) {
				fprintf(stderr, "WRONG round %lld: no other worker serves\n", round);
				return -1;
			}
			usleep(1000);
		}
		d->worker = worker;
		bad = crew_errors(c);
		if (!bad && (round % JUDGE_EVERY == JUDGE_EVERY - 1 || round == rounds - 1)) {
			crew_halt(c);
			bad = crew_check(c, d->mnt, JUDGE_MOUNT, 0, 0, false);
		}
		if (bad)
			fprintf(stderr, "WRONG round %lld\n", round);
	}
	crew_halt(c);
	return bad ? -1 : 0;
}

int mode_kill(void)
{
	const char *dir = argument("dir", NULL);
	long long rounds = argument_number("rounds", 10), wait_ms = argument_number("wait_ms", 300), round;
	char acks[600];
	struct daemon d;
	int rc = 0;

	snprintf(acks, sizeof(acks), "%s/acks", dir);
	daemon_init(&d, argument("clawfs", NULL), dir, argument("shm", NULL));
	struct crew_options o = crew_arguments(d.mnt, acks);
	o.fresh = true;
	/* Unless told otherwise below. */
	o.forgets_times = true;
	struct crew *c = crew_create(&o);
	usec_t begin = usec_now();
	if (!c || daemon_start(&d, window_options[o.seed % 5]) != 0 || crew_prepare(d.mnt) < 0)
		return 1;
	bool supervised = daemon_is_supervised(&d) && !argument_number("both", 0);
	if (supervised)
		rc = kill_workers(&d, c, o.seed, rounds, wait_ms);
	for (round = supervised ? rounds : 0; round < rounds && rc == 0; round++) {
		uint64_t r = mix(o.seed, 20, (uint64_t)round);
		const char *options = window_options[r % (sizeof(window_options) / sizeof(*window_options))];
		crew_go(c);
		usleep((useconds_t)(1000 + (r >> 8) % (uint64_t)(wait_ms * 1000)));
		crew_expect_failure(c);
		daemon_kill(&d);
		crew_halt(c);
		crew_drop(c);
		daemon_take_away(&d);
		keep_copy(&d, dir);
		rc = remount_and_judge(&d, c, options);
		if (crew_errors(c))
			rc = -1;
	}
	if (rc == 0)
		rc = end_and_judge(&d, c);
	if (rc < 0) {
		fprintf(stderr, "seed %llu, round %lld; lower, upper and log are in %s\n", (unsigned long long)o.seed,
			round, dir);
		crew_halt(c);
		say_who_holds(dir);
		daemon_kill(&d);
		daemon_take_away(&d);
	}
	crew_report(c);
	printf("kill rounds %lld operations %llu errors %u supervised %d longest-ms %.0f seconds %.1f wrong %d\n",
	       round, (unsigned long long)crew_done(c), crew_errors(c), supervised, (double)crew_longest(c) / 1e3,
	       (double)(usec_now() - begin) / 1e6, rc < 0);
	crew_destroy(c);
	return rc < 0;
}
