#include "fs/supervisor.h"
#include "fs/mount.h"
#include "fs/steward.h"
#include "fs/takeover.h"
#include "fs/worker.h"
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Linux 6.9; Debian 12's headers are older. */
#define NOTIFY_RESEND 7

/* How a worker ends that has come to its end; anything else, be it an exit of a sanitizer, is a death. */
#define EXIT_GOOD 40
#define EXIT_BAD  41

#define DEATHS_MAX 5
#define DEATHS_MS  60000

/* ThreadSanitizer knows nothing of a clone that glibc did not make. */
#ifdef __SANITIZE_THREAD__
#define CAN_SUPERVISE false
#else
#define CAN_SUPERVISE true
#endif

struct supervisor {
	struct clawfs *fs;
	pid_t worker;
	bool can_resend;
	int end_signal;	  /* SIGTERM or SIGINT, once it came; 0 */
	unsigned started; /* workers */
	unsigned deaths;
	unsigned deaths_max;
	msec_t *death; /* when the last ones were, `deaths_max` of them, in turn */
};

static bool is_off(const char *variable)
{
	const char *value = getenv(variable);

	return value && strcmp(value, "off") == 0;
}

/* --- the worker's process ------------------------------------------------ */

struct worker_main {
	struct clawfs *fs;
	bool successor;
	int status;
};

static void *worker_thread(void *arg)
{
	struct worker_main *w = arg;

	w->status = worker_run(w->fs, w->successor);
	return NULL;
}

/* glibc's main thread has the supervisor's number after a raw clone: everything runs in a thread beside it. */
static _Noreturn void worker_process(struct supervisor *s)
{
	struct worker_main w = {.fs = s->fs, .successor = s->started > 1, .status = 1};
	struct shared *shared = s->fs->shared;
	pthread_t thread;

	log_set_transient(s->fs->log, false);
	prctl(PR_SET_NAME, "clawfs-worker");
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	if (getppid() != shared->supervisor)
		kill(getpid(), SIGUSR1);
	if (!worker_confine(s->fs) || pthread_create(&thread, NULL, worker_thread, &w) != 0)
		_exit(1);
	pthread_join(thread, NULL);
	exit(w.status == 0 ? EXIT_GOOD : EXIT_BAD);
}

static int worker_start(struct supervisor *s)
{
	struct shared *shared = s->fs->shared;

	s->started++;
	shared->generation = s->started;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		return -errno;
	if (pid == 0)
		worker_process(s);
	s->worker = pid;
	shared->worker = pid;
	/* It was told to the one before, which did not live to do it. */
	if (s->end_signal)
		kill(pid, s->end_signal);
	return 0;
}

/* --- deaths -------------------------------------------------------------- */

/* Whether it is one too many. */
static bool note_death(struct supervisor *s, msec_t now)
{
	msec_t *slot = &s->death[s->deaths++ % s->deaths_max];

	*slot = now;
	/* When all are used, the next one is the oldest. */
	return s->deaths >= s->deaths_max && now - s->death[s->deaths % s->deaths_max] < DEATHS_MS;
}

static void report_death(struct supervisor *s, int status)
{
	if (WIFSIGNALED(status))
		log_error(s->fs->log, "the worker (pid %d) died of signal %d (%s)", (int)s->worker, WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	else
		log_error(s->fs->log, "the worker (pid %d) died with exit status %d", (int)s->worker,
			  WEXITSTATUS(status));
}

/* Asks the kernel to send again what was not answered. False when it cannot. */
static bool resend(struct supervisor *s)
{
	struct fuse_out_header head = {.len = sizeof(head), .error = NOTIFY_RESEND};

	return write(fuse_session_fd(s->fs->session), &head, sizeof(head)) == (ssize_t)sizeof(head);
}

/* Nobody else would: its parent is gone. */
static void end_steward(struct clawfs *fs)
{
	if (fs->shared->steward > 0)
		kill(fs->shared->steward, SIGKILL);
	fs->shared->steward = 0;
}

/* Closes what a worker left open, but for what was open before the first. */
static void close_leftovers(struct supervisor *s)
{
	struct fdset open;

	if (fdset_open(&open) == 0) {
		for (int fd = 0; fd < s->fs->kept.size; fd++)
			if (fdset_has(&s->fs->kept, fd))
				fdset_remove(&open, fd);
		fdset_close(&open);
	}
	fdset_free(&open);
	/* Records name descriptors that are closed now. */
	s->fs->nodes.dirfds = 0;
}

static int give_up(struct supervisor *s)
{
	struct clawfs *fs = s->fs;
	int status = 1;

	log_error(fs->log,
		  "%u workers died within a minute: giving up; the mount is taken down, and what is in RAM is flushed",
		  s->deaths_max);
	end_steward(fs);
	/* A worker that was ending has closed the device; close_leftovers closes what has its number. */
	bool ending = fs->shared->ending;
	if (ending)
		mount_detach(fs);
	else
		fuse_session_unmount(fs->session);
	close_leftovers(s);
	pid_t pid = fork();
	if (pid == 0)
		_exit(worker_rescue(fs));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	bool good = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (good)
		log_error(fs->log, "ended after the deaths; everything is on the lower");
	else
		log_error(fs->log, "ended after the deaths, with unflushed data; it is kept in %s: mount again",
			  fs->upper.path);
	if (!ending)
		fuse_session_destroy(fs->session);
	worker_close(fs, !good);
	return 1;
}

static int mount_anew(struct supervisor *s)
{
	log_error(s->fs->log,
		  "this kernel cannot send requests again: mounting anew; what programs had open is lost to "
		  "them");
	end_steward(s->fs);
	fuse_session_unmount(s->fs->session);
	close_leftovers(s);
	fuse_session_destroy(s->fs->session);
	worker_close(s->fs, 1);
	return SUPERVISE_AGAIN;
}

/* --- waiting ------------------------------------------------------------- */

/* Until the worker has ended; its wait status. */
static int wait_for_worker(struct supervisor *s)
{
	sigset_t set = worker_signals();

	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SUPERVISOR_UNMOUNT);
	for (;;) {
		int status, sig = sigwaitinfo(&set, NULL);
		if (sig == SIGCHLD) {
			pid_t pid;
			/* Stewards of dead workers come here too. */
			while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
				if (pid == s->worker)
					return status;
			continue;
		}
		if (sig == SIGTERM || sig == SIGINT)
			s->end_signal = sig;
		/* The worker may start no program (sandbox.h). */
		if (sig == SUPERVISOR_UNMOUNT) {
			mount_detach(s->fs);
			__atomic_store_n(&s->fs->shared->detached, true, __ATOMIC_RELEASE);
			continue;
		}
		if (sig > 0 && sig != SIGUSR1)
			kill(s->worker, sig);
	}
}

/* The worker had done everything, and died while it gave back what it had. */
static int close_up(struct supervisor *s)
{
	struct clawfs *fs = s->fs;
	int status = fs->shared->status;
	bool stays = fs->shared->upper_stays;
	char why[256];

	worker_forget(fs);
	/* Its descriptors may be closed already: by its name, if it is still there. */
	if (!stays && upper_open(&fs->upper, fs->config.upper, &fs->lower, why, sizeof(why)) == 0)
		upper_close(&fs->upper, true);
	return status;
}

static int serve_to_the_end(struct supervisor *s)
{
	struct clawfs *fs = s->fs;

	for (;;) {
		int rc = worker_start(s);
		if (rc < 0) {
			log_error(fs->log, "cannot start a worker: %s", strerror(-rc));
			s->deaths_max = 1;
			return give_up(s);
		}
		int status = wait_for_worker(s);
		if (WIFEXITED(status) && (WEXITSTATUS(status) == EXIT_GOOD || WEXITSTATUS(status) == EXIT_BAD)) {
			worker_forget(fs);
			return WEXITSTATUS(status) == EXIT_BAD;
		}
		report_death(s, status);
		if (fs->shared->closed)
			return close_up(s);
		if (note_death(s, clock_now()))
			return give_up(s);
		if (!fs->shared->ending && !s->can_resend)
			return mount_anew(s);
		end_steward(fs);
		log_info(fs->log, "worker number %u takes over", s->started + 1);
		if (!fs->shared->ending && !resend(s))
			fs->shared->ending = true;
	}
}

static int worker_alone(struct clawfs *fs)
{
	if (worker_confine(fs))
		return worker_run(fs, false);
	fuse_session_unmount(fs->session);
	fuse_session_destroy(fs->session);
	worker_close(fs, 1);
	return 1;
}

int supervise(struct clawfs *fs)
{
	struct supervisor s = {.fs = fs, .deaths_max = DEATHS_MAX};
	const char *deaths = getenv("CLAWFS_DEATHS");
	sigset_t set = worker_signals();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (!CAN_SUPERVISE || is_off("CLAWFS_SUPERVISOR"))
		return worker_alone(fs);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SUPERVISOR_UNMOUNT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (deaths && atoi(deaths) > 0)
		s.deaths_max = (unsigned)atoi(deaths);
	s.death = calloc(s.deaths_max, sizeof(*s.death));
	if (!s.death) {
		log_error(fs->log, "out of memory");
		fuse_session_unmount(fs->session);
		fuse_session_destroy(fs->session);
		worker_close(fs, 1);
		return 1;
	}
	/* So that stewards of dead workers are reaped here. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fs->shared->supervisor = getpid();
	s.can_resend = !is_off("CLAWFS_RESEND") && resend(&s);
	if (!s.can_resend)
		log_info(fs->log,
			 "this kernel cannot send requests again; a worker that dies takes the mount with it for a "
			 "moment");
	/* What a worker starts and opens by itself. */
	steward_pause(fs);
	lower_temp_remove(&fs->lower);
	log_set_transient(fs->log, true);
	int status = takeover_keep(fs) < 0 ? give_up(&s) : serve_to_the_end(&s);
	fdset_free(&fs->kept);
	free(s.death);
	return status;
}
