#include "fs/serve.h"
#include "fs/fs.h"
#include <errno.h>
#include <fuse_lowlevel.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Most wait for the card or for RAM, and a writer that waits must not keep readers out. */
#define MAX_THREADS 64
/* Beyond leader and deputy; more of them end. */
#define MAX_SPARE 2
/* What a request may take before another thread reads on. */
#define LONG_NS 20000000

struct serve {
	struct clawfs *fs;
	pthread_mutex_t lock; /* a leaf */
	/* that lock */
	pthread_cond_t wanted; /* a spare: there is no deputy, or all is over */
	pthread_cond_t ended;  /* a thread has ended */
	pthread_t threads[MAX_THREADS];
	bool used[MAX_THREADS];
	unsigned count, spare;
	bool has_deputy;
	bool over;
	int error;
	/* both */
	bool has_leader;  /* set with the lock; atomic */
	pthread_t leader; /* while has_leader */
	/* none */
	int timer;
	bool armed;	/* atomic: the timer will tell the deputy to look */
	int64_t began;	/* atomic: when the leader's request did, ns; 0 between requests */
	sem_t finished; /* to serve_run */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void arm(struct serve *s, int64_t ns)
{
	const struct itimerspec in = {.it_value = {.tv_nsec = ns > 0 ? ns : 1}};

	__atomic_store_n(&s->armed, true, __ATOMIC_SEQ_CST);
	timerfd_settime(s->timer, 0, &in, NULL);
}

static bool leads(struct serve *s)
{
	/* Only the thread itself makes itself the leader, so its own name there cannot be stale. */
	return __atomic_load_n(&s->has_leader, __ATOMIC_ACQUIRE) &&
	       pthread_equal(__atomic_load_n(&s->leader, __ATOMIC_ACQUIRE), pthread_self());
}

/* Nobody leads: the deputy will. Lock held. */
static void step_down(struct serve *s)
{
	__atomic_store_n(&s->has_leader, false, __ATOMIC_RELEASE);
	__atomic_store_n(&s->began, 0, __ATOMIC_SEQ_CST);
}

/* Whose thread this is; NULL for all that serve no requests, and outlive the serving (the flusher). */
static _Thread_local struct serve *mine;

void serve_waits(struct clawfs *fs)
{
	struct serve *s = mine;

	if (!s || s->fs != fs || !leads(s))
		return;
	pthread_mutex_lock(&s->lock);
	step_down(s);
	pthread_mutex_unlock(&s->lock);
	arm(s, 0);
}

/* --- the parts ----------------------------------------------------------- */

static void finish(struct serve *s, int error)
{
	pthread_mutex_lock(&s->lock);
	s->over = true;
	if (error < 0 && s->error == 0)
		s->error = error;
	pthread_cond_broadcast(&s->wanted);
	pthread_mutex_unlock(&s->lock);
	sem_post(&s->finished);
}

/* Reads and serves until another leads or the session is over. */
static void lead(struct serve *s, struct fuse_buf *buf)
{
	struct fuse_session *se = s->fs->session;

	do {
		int n = fuse_session_receive_buf(se, buf);
		if (fuse_session_exited(se) || n == 0) {
			finish(s, 0);
			return;
		}
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n < 0) {
			finish(s, n);
			return;
		}
		__atomic_store_n(&s->began, now_ns(), __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&s->armed, __ATOMIC_SEQ_CST))
			arm(s, LONG_NS);
		fuse_session_process_buf(se, buf);
		if (!leads(s))
			return;
		__atomic_store_n(&s->began, 0, __ATOMIC_SEQ_CST);
	} while (!fuse_session_exited(se));
	finish(s, 0);
}

/* Waits until the lead is free, or taken from who has had one request for too long. */
static void watch(struct serve *s)
{
	uint64_t ticks;
	ssize_t n = read(s->timer, &ticks, sizeof(ticks));

	if (n < 0 && errno != EINTR)
		return;
	__atomic_store_n(&s->armed, false, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&s->lock);
	int64_t began = __atomic_load_n(&s->began, __ATOMIC_SEQ_CST);
	int64_t left = began + LONG_NS - now_ns();
	if (began && left <= 0)
		step_down(s);
	pthread_mutex_unlock(&s->lock);
	if (began && left > 0)
		arm(s, left);
}

static int start(struct serve *s);

/* There is to be a deputy besides the calling thread. Lock held. */
static void want_deputy(struct serve *s)
{
	if (s->has_deputy)
		return;
	if (s->spare > 0)
		pthread_cond_signal(&s->wanted);
	else
		/* Without another thread the next request waits for this one. */
		start(s);
}

static void *server(void *arg)
{
	struct serve *s = arg;
	struct fuse_buf buf = {0};

	mine = s;
	pthread_mutex_lock(&s->lock);
	while (!s->over) {
		if (!s->has_leader) {
			__atomic_store_n(&s->leader, pthread_self(), __ATOMIC_RELEASE);
			__atomic_store_n(&s->has_leader, true, __ATOMIC_RELEASE);
			want_deputy(s);
			pthread_mutex_unlock(&s->lock);
			lead(s, &buf);
			pthread_mutex_lock(&s->lock);
		} else if (!s->has_deputy) {
			s->has_deputy = true;
			pthread_mutex_unlock(&s->lock);
			watch(s);
			pthread_mutex_lock(&s->lock);
			s->has_deputy = false;
		} else if (s->spare < MAX_SPARE) {
			s->spare++;
			pthread_cond_wait(&s->wanted, &s->lock);
			s->spare--;
		} else {
			break;
		}
	}
	for (unsigned i = 0; i < MAX_THREADS; i++)
		if (s->used[i] && pthread_equal(s->threads[i], pthread_self()))
			s->used[i] = false;
	s->count--;
	pthread_detach(pthread_self());
	pthread_cond_signal(&s->ended);
	pthread_mutex_unlock(&s->lock);
	free(buf.mem);
	return NULL;
}

/* One thread more. Lock held. */
static int start(struct serve *s)
{
	unsigned i = 0;

	while (i < MAX_THREADS && s->used[i])
		i++;
	if (i == MAX_THREADS)
		return -EAGAIN;
	int rc = -pthread_create(&s->threads[i], NULL, server, s);
	if (rc == 0) {
		s->used[i] = true;
		s->count++;
	}
	return rc;
}

/* Gets every thread out of its wait: a signal that comes before the wait has begun is lost, so again and again. */
static void stop(struct serve *s)
{
	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_cond_broadcast(&s->wanted);
	while (s->count > 0) {
		for (unsigned i = 0; i < MAX_THREADS; i++)
			if (s->used[i])
				pthread_kill(s->threads[i], SIGUSR2);
		struct timespec until = clock_timespec(clock_now() + 10);
		pthread_cond_timedwait(&s->ended, &s->lock, &until);
	}
	pthread_mutex_unlock(&s->lock);
}

int serve_run(struct clawfs *fs)
{
	struct serve *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (!s)
		return -ENOMEM;
	s->fs = fs;
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (s->timer < 0) {
		free(s);
		return -errno;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->ended, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&s->wanted, NULL);
	sem_init(&s->finished, 0, 0);
	pthread_mutex_lock(&s->lock);
	int rc = start(s);
	pthread_mutex_unlock(&s->lock);
	while (rc == 0 && !fuse_session_exited(fs->session) && sem_wait(&s->finished) < 0 && errno == EINTR)
		;
	fuse_session_exit(fs->session);
	stop(s);
	rc = rc < 0 ? rc : s->error;
	sem_destroy(&s->finished);
	pthread_cond_destroy(&s->ended);
	pthread_cond_destroy(&s->wanted);
	pthread_mutex_destroy(&s->lock);
	close(s->timer);
	free(s);
	return rc;
}
