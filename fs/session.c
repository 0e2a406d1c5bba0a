#include "fs/session.h"
#include "fs/dbscan.h"
#include "fs/mount.h"
#include "fs/notify.h"
#include "fs/ops.h"
#include "fs/recover.h"
#include "fs/reload.h"
#include "fs/rescue.h"
#include "fs/serve.h"
#include "fs/steward.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_TRIES 3
/* Ten seconds, at 10 ms each. */
#define ALIVE_TRIES 1000

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
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return -EBUSY;
	log_info(fs->log, "waiting for the last mount of %s to finish its flush", fs->source);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* --- being started ------------------------------------------------------- */

void session_is_live(struct clawfs *fs)
{
	char status[400];

	snprintf(status, sizeof(status), "%.180s is mounted on %.180s", fs->source, fs->mountpoint);
	notify_ready(fs->notify, status);
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

/* --- signals ------------------------------------------------------------- */

struct signals {
	struct clawfs *fs;
	pthread_t thread;
	pthread_t main;
	bool ended; /* atomic: the serving loop has returned */
};

static void wake_up(int sig)
{
	(void)sig;
}

/* SIGTERM, SIGINT: flush while the mount still serves, then end it. SIGPWR:
 * flush now. SIGHUP: read the configuration again. */
static void *signal_thread(void *arg)
{
	struct signals *s = arg;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPWR);
	while (sigwait(&set, &sig) == 0) {
		if (__atomic_load_n(&s->ended, __ATOMIC_ACQUIRE))
			return NULL;
		if (sig == SIGHUP) {
			reload(s->fs);
			continue;
		}
		log_info(s->fs->log, "%s: flushing", strsignal(sig));
		if (sig != SIGPWR)
			notify_stopping(s->fs->notify, "flushing");
		sched_flush_all(s->fs, CAUSE_SYNC);
		if (sig == SIGPWR)
			continue;
		/* While requests are still answered: its process may wait for one. */
		steward_stop(s->fs);
		fuse_session_exit(s->fs->session);
		/* The loop looks at the flag when its wait is interrupted; it may
		 * not have begun to wait yet. */
		while (!__atomic_load_n(&s->ended, __ATOMIC_ACQUIRE)) {
			pthread_kill(s->main, SIGUSR2);
			usleep(10000);
		}
		return NULL;
	}
	return NULL;
}

static int signals_start(struct signals *s, struct clawfs *fs)
{
	struct sigaction poke = {.sa_handler = wake_up}, ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	*s = (struct signals){.fs = fs, .main = pthread_self()};
	sigaction(SIGUSR2, &poke, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPWR);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return -pthread_create(&s->thread, NULL, signal_thread, s);
}

static void signals_stop(struct signals *s)
{
	__atomic_store_n(&s->ended, true, __ATOMIC_RELEASE);
	pthread_kill(s->thread, SIGHUP);
	pthread_join(s->thread, NULL);
}

/* --- serving ------------------------------------------------------------- */

static int serve(struct clawfs *fs)
{
	struct signals signals;
	int rc = signals_start(&signals, fs);

	if (rc == 0) {
		rc = sched_start(fs);
		if (rc == 0)
			rc = steward_start(fs);
		if (rc == 0)
			rc = observe_start(fs);
		if (rc == 0)
			rc = serve_run(fs);
		observe_stop(fs);
		signals_stop(&signals);
	}
	return rc;
}

/* For the watchdog: every request needs the tree lock, and each change the scheduler's. Nobody holds them for as long
 * as a card can take (fs.h). */
static bool is_alive(void *arg)
{
	struct clawfs *fs = arg;

	for (int tries = 0; tries < ALIVE_TRIES; tries++) {
		if (pthread_rwlock_tryrdlock(&fs->tree) == 0) {
			bool free = pthread_mutex_trylock(&fs->sched.lock) == 0;
			if (free)
				pthread_mutex_unlock(&fs->sched.lock);
			pthread_rwlock_unlock(&fs->tree);
			if (free)
				return true;
		}
		usleep(10000);
	}
	return false;
}

/* To the daemon's log, and to the terminal when that is another place. */
static void say(struct clawfs *fs, const char *text)
{
	log_error(fs->log, "%s", text);
	if (fs->log_elsewhere)
		fprintf(stderr, "clawfs: %s\n", text);
}

/* The card refuses to the end (P9): what is at stake is saved elsewhere, and stays in RAM as well. */
static void rescue(struct clawfs *fs, int error)
{
	struct rescue_saved saved;
	char why[512], *text = NULL;
	int rc = rescue_save(fs, fs->rescue_dir, time(NULL), &saved, why, sizeof(why));

	if (rc < 0)
		rc = asprintf(
			&text,
			"not everything could be flushed to %s: %s; nor saved: %s. It is kept in RAM, in %s, until the "
			"machine is switched off: mend the card and mount again",
			fs->source, strerror(-error), why, fs->upper.path);
	else if (saved.path[0])
		rc = asprintf(
			&text,
			"not everything could be flushed to %s: %s; %u files, %lld bytes, are saved in %s, and kept in "
			"RAM, in %s, until the machine is switched off: mend the card and mount again, or see: "
			"clawfsctl recover",
			fs->source, strerror(-error), saved.files, saved.bytes, saved.path, fs->upper.path);
	else
		rc = asprintf(&text, "not everything could be made durable on %s: %s; see to the card", fs->source,
			      strerror(-error));
	if (rc >= 0)
		say(fs, text);
	free(rc >= 0 ? text : NULL);
}

/* After the last request: what is in RAM goes to the lower. */
static int drain(struct clawfs *fs)
{
	int rc = 0;

	flock(fs->lower.root, LOCK_SH);
	for (int i = 0; i < END_TRIES; i++) {
		rc = sched_flush_all(fs, CAUSE_END);
		if (rc == 0)
			break;
		usleep(200000);
	}
	sched_stop(fs);
	dbscan_fold(fs);
	if (rc < 0)
		rescue(fs, rc);
	return rc;
}

static int run(struct clawfs *fs, const struct options *opt)
{
	const char *logfile = fs->config.logfile;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char why[512] = "";
	int status = 1, rc;
	bool keep;

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
	rc = upper_open(&fs->upper, fs->config.upper, fs->lower.dev, fs->lower.ino, why, sizeof(why));
	if (rc < 0) {
		fprintf(stderr, "clawfs: %s\n", why);
		goto out_lower;
	}
	bool dirty = upper_is_dirty(&fs->upper);
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
	if (fs->live_fd >= 0 || logfile[0]) {
		rc = log_redirect(fs->log, logfile[0] ? logfile : NULL);
		if (rc < 0) {
			fprintf(stderr, "clawfs: logfile %s: %s; name a file that you may write\n", logfile,
				strerror(-rc));
			fuse_session_unmount(fs->session);
			goto out_session;
		}
		fs->log_elsewhere = fs->live_fd < 0;
	}
	if (fs->live_fd >= 0 && chdir("/") < 0)
		log_warn(fs->log, "cannot leave the current directory: %s", strerror(errno));
	log_info(fs->log, "mounted %s on %s, upper %s", fs->source, fs->mountpoint, fs->upper.path);
	fs->notify = notify_create(is_alive, fs);
	rc = serve(fs);
	notify_stopping(fs->notify, "flushing");
	if (rc < 0)
		log_error(fs->log, "serving ended: %s", strerror(-rc));
	fuse_session_unmount(fs->session);
	steward_stop(fs);
	dirty = true;
	status = drain(fs) < 0;
	notify_destroy(fs->notify);
	log_info(fs->log, "ended%s", status ? " with unflushed data" : ", everything is on the lower");
out_session:
	fuse_session_destroy(fs->session);
out_fs:
	/* Nor is it taken from programs that go on writing there. */
	keep = fs->left_out + observe_left(fs) > 0;
	clawfs_fini(fs);
	lower_temp_remove(&fs->lower);
	/* What was found here and not flushed stays for the next mount. */
	upper_close(&fs->upper, !keep && (status == 0 || !dirty));
out_lower:
	fuse_opt_free_args(&args);
	lower_fini(&fs->lower);
	return status;
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
	fs->lower.root = fs->lower.temp = -1;
	fs->upper.dir = -1;
	fs->live_fd = -1;
	pthread_mutex_init(&fs->reload, NULL);
	if (mount_resolve(fs, opt) == 0) {
		if (!options_load(opt, fs->source))
			status = 2;
		else if (mount_check(opt) == 0 && take_settings(fs, opt))
			status = opt->foreground ? -1 : go_background(&fs->live_fd);
		if (status < 0)
			status = run(fs, opt);
	}
	pthread_mutex_destroy(&fs->reload);
	free(fs->settings);
	log_destroy(fs->log);
	free(fs);
	return status;
}
