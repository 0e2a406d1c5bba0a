#include "daemon.h"
#include "faultpage.h"
#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 60 };

void daemon_init(struct daemon *d, const char *program, const char *dir, const char *shm)
{
	memset(d, 0, sizeof(*d));
	d->program = program;
	d->slow = 1;
	snprintf(d->lower, sizeof(d->lower), "%s/card/lower", dir);
	snprintf(d->mnt, sizeof(d->mnt), "%s/mnt", dir);
	snprintf(d->log, sizeof(d->log), "%s/daemon.log", dir);
	snprintf(d->upper, sizeof(d->upper), "%s/upper", shm);
	mkdir(below(dir, "card"), 0700);
	mkdir(d->lower, 0700);
	mkdir(d->mnt, 0700);
}

static ssize_t read_stats(const struct daemon *d, char *buf, size_t size)
{
	int fd = open(below(d->mnt, ".clawfs/stats.json"), O_RDONLY | O_CLOEXEC);
	size_t have = 0;

	if (fd < 0)
		return -1;
	while (have + 1 < size) {
		ssize_t n = read(fd, buf + have, size - 1 - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	buf[have] = '\0';
	return have ? (ssize_t)have : -1;
}

long long daemon_stat(const struct daemon *d, const char *key)
{
	enum { STATS_MAX = 256 << 10 };
	char *buf = malloc(STATS_MAX), quoted[64];
	long long value = -1;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	if (buf && read_stats(d, buf, STATS_MAX) > 0) {
		const char *at = strstr(buf, quoted);
		if (at)
			value = strtoll(at + strlen(quoted), NULL, 10);
	}
	free(buf);
	return value;
}

pid_t daemon_worker(const struct daemon *d)
{
	long long pid = daemon_stat(d, "worker");

	return pid > 0 ? (pid_t)pid : 0;
}

bool daemon_ended(struct daemon *d, int *status)
{
	if (!d->pid || waitpid(d->pid, status, WNOHANG) != d->pid)
		return false;
	d->pid = 0;
	return true;
}

static void child(const struct daemon *d, const char *options)
{
	char text[2048];
	int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);

	/* Whatever becomes of us, no mount stays. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	if (d->preload) {
		setenv("LD_PRELOAD", d->preload, 1);
		setenv("CRASH_FAULT_PAGE", d->page, 1);
	}
	/* A supervisor gives up on a worker that dies too often. Not here. */
	setenv("CLAWFS_DEATHS", "1000000", 1);
	snprintf(text, sizeof(text), "upper=%s%s%s", d->upper, *options ? "," : "", options);
	execl(d->program, d->program, d->lower, d->mnt, "-f", "-o", text, (char *)NULL);
	_exit(127);
}

int daemon_start(struct daemon *d, const char *options)
{
	struct stat mnt, parent;
	int status;

	d->pid = fork();
	if (d->pid == 0)
		child(d, options);
	for (usec_t end = usec_now() + (usec_t)PATIENCE_S * d->slow * 1000000; usec_now() < end; usleep(2000)) {
		if (daemon_ended(d, &status)) {
			if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
				return 1;
			fprintf(stderr, "WRONG daemon: did not come up, status %x; see %s\n", status, d->log);
			return -1;
		}
		if (stat(d->mnt, &mnt) < 0 || stat(below(d->mnt, ".."), &parent) < 0 || mnt.st_dev == parent.st_dev)
			continue;
		d->worker = daemon_worker(d);
		if (d->worker)
			return 0;
	}
	fprintf(stderr, "WRONG daemon: the mount did not serve in time; see %s\n", d->log);
	return -1;
}

bool daemon_is_supervised(const struct daemon *d)
{
	return d->worker && d->worker != d->pid;
}

struct fault_page *daemon_with_faults(struct daemon *d, const char *dir)
{
	static char library[600];
	struct stat lower, upper;
	ssize_t n = readlink("/proc/self/exe", library, sizeof(library) - 1);
	char *slash = n > 0 ? strrchr(library, '/') : NULL;

	mkdir(d->upper, 0700);
	if (!slash || stat(d->lower, &lower) < 0 || stat(d->upper, &upper) < 0) {
		fprintf(stderr, "cannot prepare for faults: %s\n", strerror(errno));
		return NULL;
	}
	snprintf(slash + 1, sizeof(library) - (size_t)(slash + 1 - library), "preload.so");
	snprintf(d->page, sizeof(d->page), "%s/page", dir);
	int fd = open(d->page, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct fault_page *page = MAP_FAILED;
	if (fd >= 0 && ftruncate(fd, sizeof(*page)) == 0)
		page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (page == MAP_FAILED || access(library, R_OK) < 0) {
		fprintf(stderr, "cannot prepare for faults: %s: %s\n", library, strerror(errno));
		return NULL;
	}
	memset(page, 0, sizeof(*page));
	page->lower_dev = lower.st_dev;
	page->upper_dev = upper.st_dev;
	d->preload = library;
	return page;
}

/* Not ended, whether or not its parent has reaped it. */
static bool is_running(pid_t pid)
{
	char path[64], line[512] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, sizeof(line) - 1);
	close(fd);
	const char *state = n > 0 ? strrchr(line, ')') : NULL;
	return state && state[2] != 'Z' && state[2] != 'X';
}

static int children_of(pid_t pid, pid_t *list, int max)
{
	char path[64];
	int count = 0, child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	FILE *file = fopen(path, "re");
	while (file && count < max && fscanf(file, "%d", &child) == 1)
		list[count++] = child;
	if (file)
		fclose(file);
	return count;
}

void daemon_kill(struct daemon *d)
{
	int status;

	if (d->pid) {
		pid_t children[16];
		/* In one instant: it would put a worker in the place of another, and a worker flush when it dies. */
		kill(d->pid, SIGSTOP);
		int count = children_of(d->pid, children, 16);
		for (int i = 0; i < count; i++)
			kill(children[i], SIGKILL);
		kill(d->pid, SIGKILL);
		waitpid(d->pid, &status, 0);
		for (int i = 0; i < count; i++)
			while (is_running(children[i]))
				usleep(1000);
	}
	d->pid = d->worker = 0;
}

void daemon_take_away(struct daemon *d)
{
	umount2(d->mnt, MNT_DETACH);
}

static long long counted;

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + ftw->base;

	/* Its own book-keeping. */
	if (type == FTW_F && !(ftw->level == 1 && strcmp(name, "lower") == 0))
		counted += st->st_size + 1;
	return 0;
}

long long daemon_upper_bytes(const struct daemon *d)
{
	counted = 0;
	return nftw(d->upper, count_file, 8, FTW_PHYS) < 0 ? -1 : counted;
}

int daemon_end(struct daemon *d)
{
	struct stat mnt, parent;
	int status = 0;

	kill(d->pid, SIGTERM);
	for (usec_t end = usec_now() + (usec_t)PATIENCE_S * d->slow * 1000000; !daemon_ended(d, &status);
	     usleep(2000)) {
		if (usec_now() > end) {
			fprintf(stderr, "WRONG daemon: did not end after SIGTERM\n");
			return -1;
		}
	}
	if (status) {
		fprintf(stderr, "WRONG daemon: ended with status %x; see %s\n", status, d->log);
		return -1;
	}
	if (stat(d->mnt, &mnt) < 0 || stat(below(d->mnt, ".."), &parent) < 0 || mnt.st_dev != parent.st_dev) {
		fprintf(stderr, "WRONG daemon: it ended, its mount did not\n");
		return -1;
	}
	if (daemon_upper_bytes(d) > 0) {
		fprintf(stderr, "WRONG daemon: the upper still holds files after a clean end\n");
		return -1;
	}
	return 0;
}

int daemon_flush(const struct daemon *d)
{
	int fd = open(below(d->mnt, ".clawfs/control"), O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : put(fd, "flush\n", 6);

	if (fd >= 0)
		close(fd);
	return rc;
}
