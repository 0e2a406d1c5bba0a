#include "fs/worker.h"
#include "fs/dbscan.h"
#include "fs/mount.h"
#include "fs/notify.h"
#include "fs/priority.h"
#include "fs/recover.h"
#include "fs/reload.h"
#include "fs/rescue.h"
#include "fs/sandbox.h"
#include "fs/serve.h"
#include "fs/spawner.h"
#include "fs/steward.h"
#include "fs/supervisor.h"
#include "fs/takeover.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define END_TRIES 3
/* Ten seconds, at 10 ms each. */
#define UNMOUNT_TRIES 1000
/* Ten seconds, at 10 ms each. */
#define ALIVE_TRIES 1000

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

sigset_t worker_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPWR);
	sigaddset(&set, SIGUSR1);
	return set;
}

/* SIGTERM, SIGINT: flush while the mount still serves, then end it. SIGPWR:
 * flush now. SIGHUP: read the configuration again. SIGUSR1: the supervisor has died. */
static void *signal_thread(void *arg)
{
	struct signals *s = arg;
	sigset_t set = worker_signals();
	int sig;

	while (sigwait(&set, &sig) == 0) {
		if (__atomic_load_n(&s->ended, __ATOMIC_ACQUIRE))
			return NULL;
		if (sig == SIGHUP) {
			s->fs->shared->reloaded = true;
			reload(s->fs);
			continue;
		}
		if (sig == SIGUSR1) {
			/* Going on is safe: what is at stake is what was at stake before there were supervisors. */
			log_warn(s->fs->log, "the supervisor died: flushing, and going on without one");
			s->fs->shared->supervisor = 0;
			sched_flush_all(s->fs, CAUSE_SYNC);
			continue;
		}
		log_info(s->fs->log, "%s: flushing", strsignal(sig));
		if (sig != SIGPWR)
			notify_stopping(s->fs->notify, "flushing");
		sched_flush_all(s->fs, CAUSE_SYNC);
		if (sig == SIGPWR)
			continue;
		life_stop(s->fs);
		/* While requests are still answered: the kernel may wait for one, and the steward's process. */
		inval_stop(s->fs);
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

	*s = (struct signals){.fs = fs, .main = pthread_self()};
	sigaction(SIGUSR2, &poke, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
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

	/* All that begins from here, but for who answers requests. */
	priority_background();
	int rc = signals_start(&signals, fs);
	if (rc == 0) {
		rc = sched_start(fs);
		if (rc == 0)
			rc = inval_start(fs);
		if (rc == 0)
			rc = life_start(fs);
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

static int flush_at_end(struct clawfs *fs)
{
	int rc = 0;

	for (int i = 0; i < END_TRIES; i++) {
		rc = sched_flush_all(fs, CAUSE_END);
		if (rc == 0)
			break;
		usleep(200000);
	}
	return rc;
}

/* After the last request: what is in RAM goes to the lower. */
static int drain(struct clawfs *fs)
{
	observe_release(fs);
	int rc = flush_at_end(fs);
	sched_stop(fs);
	/* A flush that ran had one of them open for writing itself. */
	if (rc == 0 && observe_left(fs) > 0) {
		observe_release(fs);
		rc = flush_at_end(fs);
	}
	dbscan_fold(fs);
	if (rc < 0)
		rescue(fs, rc);
	return rc;
}

bool worker_confine(struct clawfs *fs)
{
	/* Nobody else would take an ordinary user's mount down. */
	if (!fs->lower.privileged && !fs->shared->supervisor)
		return true;
	int rc = spawner_start(fs);
	if (rc < 0)
		log_error(fs->log, "cannot start the process that makes helpers: %s", strerror(-rc));
	else
		rc = sandbox_enter(SANDBOX_WORKER);
	if (rc < 0)
		log_error(fs->log, "the worker cannot be confined: %s", strerror(-rc));
	return rc == 0;
}

/* An ordinary user's mount is ended by a program (fusermount3), which the supervisor runs. */
static bool ask_supervisor(struct clawfs *fs, bool served)
{
	struct shared *shared = fs->shared;

	if (fs->lower.privileged || !shared->supervisor || kill(shared->supervisor, SUPERVISOR_UNMOUNT) < 0)
		return false;
	for (int i = 0; i < UNMOUNT_TRIES && !__atomic_load_n(&shared->detached, __ATOMIC_ACQUIRE); i++)
		usleep(10000);
	/* Programs that still have files open are to hear that nobody answers. The number stays the session's. */
	int null = served ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
	if (null >= 0) {
		dup3(null, fuse_session_fd(fs->session), O_CLOEXEC);
		close(null);
	}
	return true;
}

static void unmount(struct clawfs *fs, bool served)
{
	if (ask_supervisor(fs, served))
		return;
	/* The worker before may have closed the device, and its number be another's now. */
	if (served)
		fuse_session_unmount(fs->session);
	else
		mount_detach(fs);
}

/* What was found there and not flushed stays for the next mount; nor is it taken from programs that go on writing it.
 */
static bool upper_stays(struct clawfs *fs, int status)
{
	return status != 0 || fs->left_out + observe_left(fs) > 0;
}

int worker_run(struct clawfs *fs, bool successor)
{
	int rc = successor ? takeover(fs, clock_now()) : 0;

	/* One that cannot take over dies, and the next is tried. */
	if (rc < 0) {
		log_error(fs->log, "cannot take over: %s", strerror(-rc));
		_exit(1);
	}
	if (successor)
		stats_begin(fs->stats, clock_now());
	/* What a worker has been told to read again is not in the memory that the next one begins with. */
	if (successor && fs->shared->reloaded)
		reload(fs);
	bool served = !fs->shared->ending;
	fs->notify = notify_create(is_alive, fs);
	if (served) {
		char text[400];
		snprintf(text, sizeof(text), "%.180s is mounted on %.180s", fs->source, fs->mountpoint);
		notify_ready(fs->notify, text);
		rc = serve(fs);
		if (rc < 0)
			log_error(fs->log, "serving ended: %s", strerror(-rc));
		fs->shared->ending = true;
	}
	/* To a mount that waits for this one's end. */
	flock(fs->lower.root, LOCK_SH);
	notify_stopping(fs->notify, "flushing");
	steward_mute(fs);
	unmount(fs, served);
	life_stop(fs);
	inval_stop(fs);
	steward_stop(fs);
	int status = drain(fs) < 0;
	log_info(fs->log, "ended%s", status ? " with unflushed data" : ", everything is on the lower");
	notify_destroy(fs->notify);
	if (served)
		fuse_session_destroy(fs->session);
	spawner_end(fs);
	fs->shared->status = status;
	fs->shared->upper_stays = upper_stays(fs, status);
	fs->shared->closed = true;
	worker_close(fs, status);
	return status;
}

void worker_close(struct clawfs *fs, int status)
{
	bool stays = upper_stays(fs, status);

	clawfs_fini(fs);
	lower_temp_remove(&fs->lower);
	upper_close(&fs->upper, !stays);
	lower_fini(&fs->lower);
}

void worker_forget(struct clawfs *fs)
{
	fuse_session_destroy(fs->session);
	/* The records are the worker's, and more than are mapped here. */
	fs->nodes.dirfds = 0;
	clawfs_fini(fs);
	upper_close(&fs->upper, false);
	lower_fini(&fs->lower);
}

int worker_rescue(const struct clawfs *dead)
{
	struct clawfs *fs = malloc(sizeof(*fs));

	if (!fs)
		return 1;
	memset(fs, 0, sizeof(*fs));
	fs->config = dead->config;
	fs->log = dead->log;
	fs->log_elsewhere = dead->log_elsewhere;
	fs->lower = dead->lower;
	fs->upper = dead->upper;
	fs->live_fd = -1;
	memcpy(fs->source, dead->source, sizeof(fs->source));
	memcpy(fs->rescue_dir, dead->rescue_dir, sizeof(fs->rescue_dir));
	memcpy(fs->mountpoint, dead->mountpoint, sizeof(fs->mountpoint));
	int rc = clawfs_init(fs, clock_now());
	if (rc == 0) {
		lower_temp_remove(&fs->lower);
		upper_empty_work(&fs->upper);
		rc = recover_upper(fs, clock_now());
	}
	if (rc == 0) {
		rc = flush_at_end(fs);
		if (rc < 0)
			rescue(fs, rc);
	}
	return rc < 0 || fs->left_out + observe_left(fs) > 0;
}
