#include "fs/session.h"
#include "fs/dbscan.h"
#include "fs/mount.h"
#include "fs/ops.h"
#include "fs/recover.h"
#include "fs/rescue.h"
#include "fs/supervisor.h"
#include "fs/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often a lower that seems to be mounted is looked at again, 100 ms apart. */
#define LOCK_TRIES 10

/* --- one mount of a lower at a time -------------------------------------- */

/* The lower's directory is locked for as long as anything may write to it:
 * exclusively while it is mounted, shared while a mount that has ended is
 * still flushing. So a second mount can tell "taken" from "wait". */
static int lock_lower(struct clawfs *fs)
{
	int fd = fs->lower.root;

	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return -errno;
	/* The unmount returns before its daemon has heard of it. */
	for (int i = 0; flock(fd, LOCK_SH | LOCK_NB) < 0; i++) {
		if (i == LOCK_TRIES)
			return -EBUSY;
		usleep(100000);
	}
	log_info(fs->log, "waiting for the last mount of %s to finish its flush", fs->source);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* --- being started ------------------------------------------------------- */

static void say_live(struct clawfs *fs)
{
	if (fs->live_fd < 0)
		return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		for (int fd = 0; fd <= 2; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
	}
	char byte = 0;
	if (write(fs->live_fd, &byte, 1) < 0)
		log_warn(fs->log, "nobody waits for the mount");
	close(fs->live_fd);
	fs->live_fd = -1;
}

/* The parent returns the status to exit with; the daemon -1 and the
 * descriptor on which to report. */
static int go_background(int *live_fd)
{
	int fds[2];
	char byte;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		fprintf(stderr, "clawfs: cannot start: %s\n", strerror(errno));
		return 1;
	}
	pid_t pid = fork();
	if (pid < 0) {
		fprintf(stderr, "clawfs: cannot start: %s\n", strerror(errno));
		return 1;
	}
	if (pid == 0) {
		close(fds[0]);
		*live_fd = fds[1];
		setsid();
		return -1;
	}
	close(fds[1]);
	ssize_t n;
	do {
		n = read(fds[0], &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	int status;
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	fprintf(stderr, "clawfs: the daemon ended before the mount was live; see the system log\n");
	return 1;
}

/* --- mounting ------------------------------------------------------------ */

/* The kernel's first request, before there are threads, and before it is forked: every worker inherits a session that
 * has begun. */
static int answer_init(struct clawfs *fs)
{
	struct fuse_buf buf = {0};
	int rc;

	do {
		rc = fuse_session_receive_buf(fs->session, &buf);
	} while (rc == -EINTR);
	if (rc > 0)
		fuse_session_process_buf(fs->session, &buf);
	free(buf.mem);
	return rc > 0 ? 0 : rc < 0 ? rc : -ENODEV;
}

static int run(struct clawfs *fs, const struct options *opt)
{
	const char *logfile = fs->config.logfile;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char why[512] = "";
	int status = 1, rc;
	bool dirty = false;

	snprintf(fs->rescue_dir, sizeof(fs->rescue_dir), "%s", fs->config.rescue_dir);
	if (rescue_prepare(fs->rescue_dir, sizeof(fs->rescue_dir), why, sizeof(why)) < 0) {
		fprintf(stderr, "clawfs: %s\n", why);
		return 1;
	}
	rc = lower_init(&fs->lower, fs->source, lower_calls_default());
	if (rc < 0) {
		fprintf(stderr, "clawfs: %s: %s; name an existing directory that you may read\n", fs->source,
			strerror(-rc));
		return 1;
	}
	rc = lock_lower(fs);
	if (rc < 0) {
		fprintf(stderr, "clawfs: %s: %s\n", fs->source,
			rc == -EBUSY ? "already mounted by another clawfs; unmount that first" : strerror(-rc));
		goto out_lower;
	}
	rc = upper_open(&fs->upper, fs->config.upper, &fs->lower, why, sizeof(why));
	if (rc < 0) {
		fprintf(stderr, "clawfs: %s\n", why);
		goto out_lower;
	}
	dirty = upper_is_dirty(&fs->upper);
	rc = clawfs_init(fs, clock_now());
	if (rc == 0) {
		/* What an interrupted flush left (P12). */
		lower_temp_remove(&fs->lower);
		rc = recover_upper(fs, clock_now());
	}
	if (rc < 0) {
		fprintf(stderr, "clawfs: cannot set up: %s\n", strerror(-rc));
		goto out_fs;
	}
	fs->passthrough.wal = true;
	if (fs->config.sqlite_wal)
		dbscan_enforce(fs);
	if (mount_args(&args, fs, opt) < 0) {
		fprintf(stderr, "clawfs: cannot set up: %s\n", strerror(ENOMEM));
		goto out_fs;
	}
	fs->session = fuse_session_new(&args, ops_table(), sizeof(*ops_table()), fs);
	if (!fs->session) {
		fprintf(stderr, "clawfs: cannot set up the FUSE session; see clawfs -h\n");
		goto out_fs;
	}
	if (mount_attach(fs, why, sizeof(why)) < 0) {
		fprintf(stderr, "clawfs: %s: %s\n", fs->mountpoint, why);
		goto out_session;
	}
	if (!fs->log_ready && (fs->live_fd >= 0 || logfile[0])) {
		rc = log_redirect(fs->log, logfile[0] ? logfile : NULL);
		if (rc < 0) {
			fprintf(stderr, "clawfs: logfile %s: %s; name a file that you may write\n", logfile,
				strerror(-rc));
			fuse_session_unmount(fs->session);
			goto out_session;
		}
		fs->log_elsewhere = fs->live_fd < 0;
	}
	fs->log_ready = true;
	if (fs->live_fd >= 0 && chdir("/") < 0)
		log_warn(fs->log, "cannot leave the current directory: %s", strerror(errno));
	rc = answer_init(fs);
	if (rc < 0) {
		log_error(fs->log, "cannot begin to serve %s: %s", fs->mountpoint, strerror(-rc));
		fuse_session_unmount(fs->session);
		goto out_session;
	}
	log_info(fs->log, "mounted %s on %s, upper %s", fs->source, fs->mountpoint, fs->upper.path);
	say_live(fs);
	fuse_opt_free_args(&args);
	return supervise(fs);
out_session:
	fuse_session_destroy(fs->session);
out_fs:
	/* Nothing was served: what was found in the upper stays, and nothing else is there. */
	worker_close(fs, dirty);
	goto out_args;
out_lower:
	lower_fini(&fs->lower);
out_args:
	fuse_opt_free_args(&args);
	return status;
}

/* Back to what session_run began with, for another run. */
static void reset(struct clawfs *fs)
{
	fs->lower.root = fs->lower.temp = -1;
	fs->upper.dir = -1;
	fs->left_out = 0;
	fs->session = NULL;
	fs->passthrough = (struct passthrough){0};
}

/* A private copy, which SIGHUP replaces. */
static bool take_settings(struct clawfs *fs, const struct options *opt)
{
	fs->layers = &opt->layers;
	fs->config = opt->settings.config;
	fs->settings = malloc(sizeof(*fs->settings));
	if (fs->settings)
		*fs->settings = opt->settings;
	else
		fprintf(stderr, "clawfs: out of memory\n");
	return fs->settings != NULL;
}

int session_run(struct options *opt)
{
	struct clawfs *fs = calloc(1, sizeof(*fs));
	int status = 1;

	if (!fs || !(fs->log = log_create(opt->debug))) {
		fprintf(stderr, "clawfs: out of memory\n");
		free(fs);
		return 1;
	}
	/* Modes come with the requests, and the kernel has taken the caller's umask from them. */
	umask(0);
	reset(fs);
	fs->live_fd = -1;
	pthread_mutex_init(&fs->reload, NULL);
	if (mount_resolve(fs, opt) == 0) {
		if (!options_load(opt, fs->source))
			status = 2;
		else if (mount_check(opt) == 0 && take_settings(fs, opt))
			status = opt->foreground ? -1 : go_background(&fs->live_fd);
		while (status < 0) {
			status = run(fs, opt);
			if (status < 0)
				reset(fs);
		}
	}
	pthread_mutex_destroy(&fs->reload);
	free(fs->settings);
	log_destroy(fs->log);
	free(fs);
	return status;
}
