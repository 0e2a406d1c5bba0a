/* A soak: the mixed load for minutes, while workers are killed, everything is flushed, RAM is filled and the wall clock
 * steps; judged to the byte all along. Then: no more descriptors than at the beginning, no memory that grew, nothing
 * left in the upper. */
#include "daemon.h"
#include "faultpage.h"
#include "modes.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FDS_SLACK = 24, RSS_SLACK_KIB = 16384 };

struct usage {
	unsigned fds;
	long rss_kib;
};

struct deeds {
	unsigned kills, flushes, fillings, steps;
};

static long rss_of(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

static unsigned fds_of(pid_t pid)
{
	char path[64];
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

/* At rest: nobody has anything open, everything is flushed. */
static int measure(struct daemon *d, struct crew *c, struct usage *u)
{
	crew_halt(c);
	if (crew_check(c, d->mnt, JUDGE_MOUNT, 0, 0, false))
		return -1;
	crew_drop(c);
	if (daemon_flush(d) < 0) {
		fprintf(stderr, "WRONG daemon: a flush failed\n");
		return -1;
	}
	/* The kernel's last releases, and a settled file's descriptors. */
	usleep(1500000);
	d->worker = daemon_worker(d);
	*u = (struct usage){fds_of(d->worker), rss_of(d->worker)};
	if (d->worker != d->pid) {
		u->fds += fds_of(d->pid);
		u->rss_kib += rss_of(d->pid);
	}
	return 0;
}

/* More than RAM may hold at once, so that pressure flushes. */
static int fill_ram(const struct daemon *d)
{
	enum { PART = 256 << 10, PARTS = 40 };
	char *part = malloc(PART);
	int fd = open(below(d->mnt, "logs/much.log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), rc = 0;

	if (!part || fd < 0)
		rc = -errno;
	for (int i = 0; rc == 0 && i < PARTS; i++) {
		fill(part, PART, (uint64_t)i);
		rc = put(fd, part, PART);
	}
	free(part);
	if (fd >= 0)
		close(fd);
	if (unlink(below(d->mnt, "logs/much.log")) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0)
		fprintf(stderr, "WRONG: filling RAM failed: %s\n", strerror(-rc));
	return rc;
}

static int kill_worker(struct daemon *d, struct crew *c)
{
	usec_t end = usec_now() + (usec_t)60 * 1000000;
	pid_t worker;

	kill(d->worker, SIGKILL);
	while ((worker = daemon_worker(d)) == 0 || worker == d->worker) {
		if (usec_now() > end || crew_errors(c)) {
			fprintf(stderr, "WRONG daemon: no other worker serves\n");
			return -1;
		}
		usleep(1000);
	}
	d->worker = worker;
	return 0;
}

static int one_deed(struct daemon *d, struct crew *c, struct fault_page *page, uint64_t r, struct deeds *deeds)
{
	static const int64_t steps[] = {-86400, -3600, 0, 3600, 86400 * 30};

	switch (r % 4) {
	case 0:
		deeds->kills += daemon_is_supervised(d);
		return daemon_is_supervised(d) ? kill_worker(d, c) : 0;
	case 1:
		deeds->flushes++;
		if (daemon_flush(d) == 0)
			return 0;
		fprintf(stderr, "WRONG daemon: a flush failed\n");
		return -1;
	case 2:
		deeds->fillings++;
		return fill_ram(d);
	default:
		deeds->steps++;
		__atomic_store_n(&page->clock_step, steps[(r >> 8) % 5], __ATOMIC_RELAXED);
		return 0;
	}
}

int mode_soak(void)
{
	const char *dir = argument("dir", NULL);
	usec_t length = (usec_t)(atof(argument("minutes", "1")) * 60e6);
	char acks[600];
	struct daemon d;
	struct deeds deeds = {0};
	struct usage first = {0}, last = {0};

	snprintf(acks, sizeof(acks), "%s/acks", dir);
	daemon_init(&d, argument("clawfs", NULL), dir, argument("shm", NULL));
	struct fault_page *page = daemon_with_faults(&d, dir);
	struct crew_options o = crew_arguments(d.mnt, acks);
	o.fresh = true;
	struct crew *c = crew_create(&o);
	if (!c || !page || daemon_start(&d, "ram_max=8M,log_flush_ms=500,retry_ms=100") != 0 || crew_prepare(d.mnt) < 0)
		return 1;
	usec_t begin = usec_now(), warm = begin + length / 5, end = begin + length;
	int rc = 0;
	for (uint64_t i = 0; rc == 0 && usec_now() < end; i++) {
		uint64_t r = mix(o.seed, 24, i);
		crew_go(c);
		usleep((useconds_t)(200000 + r % 800000));
		rc = one_deed(&d, c, page, r >> 32, &deeds);
		if (rc == 0 && i % 20 == 19) {
			crew_halt(c);
			rc = crew_check(c, d.mnt, JUDGE_MOUNT, 0, 0, false) ? -1 : 0;
		}
		if (rc == 0 && !first.fds && usec_now() > warm)
			rc = measure(&d, c, &first);
		if (crew_errors(c))
			rc = -1;
	}
	if (rc == 0)
		rc = measure(&d, c, &last);
	if (rc == 0 && (last.fds > first.fds + FDS_SLACK || last.rss_kib > first.rss_kib * 3 / 2 + RSS_SLACK_KIB)) {
		fprintf(stderr, "WRONG daemon: leaks: %u descriptors, then %u; %ld KiB, then %ld\n", first.fds,
			last.fds, first.rss_kib, last.rss_kib);
		rc = -1;
	}
	if (rc == 0)
		rc = end_and_judge(&d, c);
	if (rc < 0) {
		crew_halt(c);
		daemon_kill(&d);
		daemon_take_away(&d);
	}
	crew_report(c);
	printf("soak seed %llu minutes %.1f operations %llu kills %u flushes %u fillings %u clock-steps %u descriptors "
	       "%u then %u "
	       "rss-kib %ld then %ld longest-ms %.0f errors %u wrong %d\n",
	       (unsigned long long)o.seed, (double)(usec_now() - begin) / 60e6, (unsigned long long)crew_done(c),
	       deeds.kills, deeds.flushes, deeds.fillings, deeds.steps, first.fds, last.fds, first.rss_kib,
	       last.rss_kib, (double)crew_longest(c) / 1e3, crew_errors(c), rc < 0);
	printf("kill rounds %u operations %llu\n", deeds.kills, (unsigned long long)crew_done(c));
	crew_destroy(c);
	return rc < 0;
}
