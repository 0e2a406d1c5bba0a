/* Flushes while the mount still serves, so that a lower which refuses is found out in time; unmounts; and waits until
 * the daemon has let go of the lower, which umount(8) does not. */
#include "tools/clawfsctl/flush.h"
#include "tools/clawfsctl/holders.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A process that has just ended may still be closing its files. */
#define BUSY_TRIES 20
#define TRY_MS	   100
/* umount(8)'s exit statuses. */
#define UMOUNT_USAGE  1
#define UMOUNT_FAILED 32

extern char **environ;

static void pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* An ordinary user's mount is undone by the set-uid helper that made it. 0, or a negative errno. */
static int ask_fusermount(const char *dir)
{
	char *argv[] = {(char *)"fusermount3", (char *)"-q", (char *)"-u", (char *)"--", (char *)dir, NULL};
	pid_t pid;
	int status;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
		return -ENOENT;
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

static int take_away(const char *dir)
{
	if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? ask_fusermount(dir) : -errno;
}

static int unmount(const struct ctl_command *self, const char *dir, pid_t daemon, bool force)
{
	char who[512];
	int rc = 0;

	for (int i = 0; i < BUSY_TRIES; i++) {
		rc = take_away(dir);
		if (rc != -EBUSY || force)
			break;
		pause_ms(TRY_MS);
	}
	/* A lazy unmount would let the daemon serve on for whoever has a file open. */
	if (rc == -EBUSY && force)
		rc = kill(daemon, SIGTERM) < 0 ? -errno : 0;
	if (rc == 0)
		return CTL_OK;
	if (rc == -EBUSY) {
		holders_list(dir, who, sizeof(who));
		ctl_complain(self, "%s: still used by %s; end that first", dir,
			     who[0] ? who : "a program of another user");
	} else if (rc == -ENOENT) {
		ctl_complain(self, "%s: cannot unmount: fusermount3 is missing; install the package fuse3", dir);
	} else {
		ctl_complain(self, "%s: cannot unmount: %s", dir, strerror(-rc));
	}
	return CTL_FAILED;
}

struct search {
	const char *source;
	bool found;
};

static bool look_at(const struct place_mount *m, void *arg)
{
	struct search *s = arg;

	s->found |= strcmp(m->type, "fuse.clawfs") == 0 && strcmp(m->source, s->source) == 0;
	return !s->found;
}

/* The daemon holds the lower's lock for as long as it may write there (fs/session.c). A new mount of the same lower
 * gets it only after that. */
static int wait_for_end(const struct ctl_command *self, const char *source)
{
	struct search anew = {.source = source};
	int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		ctl_complain(self, "%s: cannot wait for the daemon's end: %s; run this as the directory's owner",
			     source, strerror(errno));
		return CTL_FAILED;
	}
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0 && !anew.found; i++) {
		if (i == 1000 / TRY_MS)
			fprintf(stderr, "clawfsctl %s: waiting for the last flush to %s\n", self->name, source);
		pause_ms(TRY_MS);
		place_mounts(look_at, &anew);
	}
	close(fd);
	return CTL_OK;
}

/* What the daemon could not bring to the lower stays in its upper. */
static bool left_behind(const char *upper)
{
	char tree[PATH_MAX + 8];

	snprintf(tree, sizeof(tree), "%s/tree", upper);
	DIR *d = opendir(tree);
	int entries = 0;
	while (d && readdir(d))
		entries++;
	if (d)
		closedir(d);
	return entries > 2;
}

struct wishes {
	bool force, quiet;
};

/* Whether the daemon may be asked: root may unmount what only another user may look into. */
static bool may_ask(const struct place *place)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/.clawfs/control", place->mountpoint);
	return geteuid() != 0 || access(path, W_OK) == 0 || errno != EACCES;
}

/* Unmounts without asking for anything before. */
static int unmount_only(const struct ctl_command *self, const char *dir)
{
	struct place_mount m;

	if (!place_covering(dir, true, &m))
		return CTL_NO_MOUNT;
	int status = unmount(self, dir, 0, false);
	return status == CTL_OK ? wait_for_end(self, m.source) : status;
}

static int run(const struct ctl_command *self, const struct place *place, struct wishes wishes)
{
	char source[PATH_MAX], upper[PATH_MAX];
	int status;

	if (!may_ask(place))
		return unmount_only(self, place->mountpoint);
	struct snapshot *s = snapshot_create(self, place, &status);
	if (!s)
		return status;
	pid_t daemon = (pid_t)snapshot_number(s, "$.pid");
	snprintf(source, sizeof(source), "%s", snapshot_text(s, "$.source"));
	snprintf(upper, sizeof(upper), "%s", snapshot_text(s, "$.upper"));
	snapshot_destroy(s);
	status = flush_place(self, place, wishes.quiet);
	if (status != CTL_OK && !(status == CTL_UNFLUSHED && wishes.force))
		return status;
	fflush(stdout);
	status = unmount(self, place->mountpoint, daemon, wishes.force);
	if (status == CTL_OK)
		status = wait_for_end(self, source);
	if (status != CTL_OK)
		return status;
	if (left_behind(upper)) {
		ctl_complain(self,
			     "%s: not everything reached the lower; it is kept in %s until the machine is switched "
			     "off, and saved as the daemon's log says: mend the card, then mount again",
			     place->mountpoint, upper);
		return CTL_UNFLUSHED;
	}
	if (!wishes.quiet)
		printf("%s: unmounted, everything is in %s\n", place->mountpoint, source);
	return CTL_OK;
}

int ctl_umount_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {"force", no_argument, NULL, 'f'}, {0}};
	struct place place;
	const char *arg;
	struct wishes wishes = {0};
	int c;

	while ((c = ctl_option(self, argc, argv, "hf", longs)) != -1) {
		if (c != 'f')
			return c == 'h' ? CTL_OK : CTL_USAGE;
		wishes.force = true;
	}
	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	int status = place_find(self, arg, &place);
	if (status != CTL_OK)
		return status;
	if (place.inside[0]) {
		ctl_complain(self, "%s: is no mount, but lies in one; name %s", arg, place.mountpoint);
		return CTL_USAGE;
	}
	return run(self, &place, wishes);
}

/* The kernel may still know names and attributes; this question goes to the daemon. */
static bool is_dead(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) < 0 && errno == ENOTCONN;
}

int ctl_umount_helper(const struct ctl_command *self, int argc, char **argv)
{
	struct wishes wishes = {.quiet = true};
	struct place place;
	bool lazy = false;
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, ":nlfvrt:N:")) != -1) {
		lazy |= c == 'l';
		wishes.force |= c == 'f';
		if (c == 'v')
			wishes.quiet = false;
		if (c == '?' || c == ':' || c == 'N') {
			ctl_complain(self, "%s: unknown to the umount helper; see umount(8), External helpers",
				     argv[optind - 1]);
			return UMOUNT_USAGE;
		}
	}
	if (optind + 1 != argc) {
		ctl_complain(self, "one mount point is wanted; see umount(8), External helpers");
		return UMOUNT_USAGE;
	}
	const char *dir = argv[optind];
	/* Lazily, or of a daemon that has died: nobody is to be waited for. */
	if (lazy || is_dead(dir))
		return umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0 ? CTL_OK : UMOUNT_FAILED;
	if (place_find(self, dir, &place) != CTL_OK || place.inside[0])
		return UMOUNT_FAILED;
	return run(self, &place, wishes) == CTL_OK ? CTL_OK : UMOUNT_FAILED;
}
