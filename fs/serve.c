#include "fs/serve.h"
#include "fs/fs.h"
#include "fs/priority.h"
#include "fs/steer.h"
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sched.h>
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
/* So long after the last request the deputy goes on looking: setting its timer costs a request up to 15 us. */
#define LINGER_NS 100000000

struct server {
	struct serve *serve; /* constant while used, as the thread */
	pthread_t thread;
	/* serve's lock */
	pthread_cond_t wanted; /* while it is a spare: it is to lead, there is no deputy, or all is over */
	bool used, spare, heir;
	bool sent; /* to one core, as an heir */
};

struct serve {
	struct clawfs *fs;
	pthread_mutex_t lock; /* a leaf */
	/* that lock */
	pthread_cond_t ended; /* a thread has ended */
	struct server servers[MAX_THREADS];
	unsigned count, spares;
	bool has_deputy;
	bool over;
	int error;
	/* both */
	bool has_leader;  /* set with the lock; atomic */
	pthread_t leader; /* while has_leader */
	/* none */
	int timer;
	bool armed;	 /* atomic: the timer will tell the deputy to look */
	int64_t began;	 /* atomic: when the leader's request did, ns; 0 between requests */
	int64_t last;	 /* atomic: when the last request did, ns */
	sem_t finished;	 /* to serve_run */
	cpu_set_t cores; /* where a thread may run; constant */
	/* the leader's */
	struct steer *steer; /* NULL: it leads from where it happens to be */
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
	/* Nobody else takes the name of a thread that leads, or appoints one that serves, so its own name there is not
	 * stale. */
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

/* --- spares -------------------------------------------------------------- */

/* Lock held. */
static struct server *find_spare(struct serve *s)
{
	for (unsigned i = 0; i < MAX_THREADS; i++) {
		struct server *one = &s->servers[i];
		if (one->used && one->spare && !one->heir)
			return one;
	}
	return NULL;
}

/* Lock held. */
static void wake_spares(struct serve *s)
{
	for (unsigned i = 0; i < MAX_THREADS; i++)
		if (s->servers[i].used && s->servers[i].spare)
			pthread_cond_signal(&s->servers[i].wanted);
}

static int start(struct serve *s);

/* --- the parts ----------------------------------------------------------- */

static void finish(struct serve *s, int error)
{
	pthread_mutex_lock(&s->lock);
	s->over = true;
	if (error < 0 && s->error == 0)
		s->error = error;
	wake_spares(s);
	pthread_mutex_unlock(&s->lock);
	sem_post(&s->finished);
}

/* The leader makes a thread the next one that will run where the program does which it has just served. */
static void follow(struct serve *s, uint32_t client, int64_t now)
{
	int core = s->steer ? steer_astray(s->steer, client, now) : -1;

	if (core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(core, &s->cores))
		return;
	cpu_set_t only;
	CPU_ZERO(&only);
	CPU_SET(core, &only);
	pthread_mutex_lock(&s->lock);
	struct server *heir = s->over || !leads(s) ? NULL : find_spare(s);
	/* One that sleeps is sent for nothing; to send oneself takes longer than a round trip. */
	if (heir && pthread_setaffinity_np(heir->thread, sizeof(only), &only) == 0) {
		heir->heir = heir->sent = true;
		__atomic_store_n(&s->leader, heir->thread, __ATOMIC_RELEASE);
		pthread_cond_signal(&heir->wanted);
	} else if (!heir && !s->over && s->spares == 0) {
		/* The next time. */
		start(s);
	}
	pthread_mutex_unlock(&s->lock);
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
		int64_t now = now_ns();
		uint32_t client = ((const struct fuse_in_header *)buf->mem)->pid;
		__atomic_store_n(&s->began, now, __ATOMIC_SEQ_CST);
		__atomic_store_n(&s->last, now, __ATOMIC_RELAXED);
		if (!__atomic_load_n(&s->armed, __ATOMIC_SEQ_CST))
			arm(s, LONG_NS);
		fuse_session_process_buf(se, buf);
		if (!leads(s))
			return;
		__atomic_store_n(&s->began, 0, __ATOMIC_SEQ_CST);
		follow(s, client, now);
		if (!leads(s))
			return;
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
	if (!began)
		left = now_ns() - __atomic_load_n(&s->last, __ATOMIC_RELAXED) < LINGER_NS ? LONG_NS : 0;
	if (left > 0)
		arm(s, left);
}

/* There is to be a deputy besides the calling thread. Lock held. */
static void want_deputy(struct serve *s)
{
	if (s->has_deputy)
		return;
	struct server *spare = find_spare(s);
	if (spare)
		pthread_cond_signal(&spare->wanted);
	else
		/* Without another thread the next request waits for this one. */
		start(s);
}

/* The calling thread leads, until it does not. Lock held; given up meanwhile. */
static void take_lead(struct serve *s, struct fuse_buf *buf)
{
	want_deputy(s);
	pthread_mutex_unlock(&s->lock);
	lead(s, buf);
	pthread_mutex_lock(&s->lock);
}

/* What is no heir's work is for no program's core in particular. Lock held. */
static void unsend(struct server *me)
{
	if (me->sent)
		pthread_setaffinity_np(pthread_self(), sizeof(me->serve->cores), &me->serve->cores);
	me->sent = false;
}

static void *server(void *arg)
{
	struct server *me = arg;
	struct serve *s = me->serve;
	struct fuse_buf buf = {0};

	mine = s;
	priority_serving();
	pthread_mutex_lock(&s->lock);
	while (!s->over) {
		if (me->heir) {
			me->heir = false;
			take_lead(s, &buf);
		} else if (!s->has_leader) {
			unsend(me);
			__atomic_store_n(&s->leader, pthread_self(), __ATOMIC_RELEASE);
			__atomic_store_n(&s->has_leader, true, __ATOMIC_RELEASE);
			take_lead(s, &buf);
		} else if (!s->has_deputy) {
			s->has_deputy = true;
			unsend(me);
			pthread_mutex_unlock(&s->lock);
			watch(s);
			pthread_mutex_lock(&s->lock);
			s->has_deputy = false;
		} else if (s->spares < MAX_SPARE) {
			s->spares++;
			me->spare = true;
			pthread_cond_wait(&me->wanted, &s->lock);
			me->spare = false;
			s->spares--;
		} else {
			break;
		}
	}
	me->used = false;
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
	struct server *one = s->servers;

	while (one < s->servers + MAX_THREADS && one->used)
		one++;
	if (one == s->servers + MAX_THREADS)
		return -EAGAIN;
	one->serve = s;
	int rc = -pthread_create(&one->thread, NULL, server, one);
	if (rc == 0) {
		one->used = true;
		s->count++;
	}
	return rc;
}

/* Gets every thread out of its wait: a signal that comes before the wait has begun is lost, so again and again. */
static void stop(struct serve *s)
{
	pthread_mutex_lock(&s->lock);
	s->over = true;
	wake_spares(s);
	while (s->count > 0) {
		for (unsigned i = 0; i < MAX_THREADS; i++)
			if (s->servers[i].used)
				pthread_kill(s->servers[i].thread, SIGUSR2);
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
	for (unsigned i = 0; i < MAX_THREADS; i++)
		pthread_cond_init(&s->servers[i].wanted, NULL);
	sem_init(&s->finished, 0, 0);
	if (sched_getaffinity(0, sizeof(s->cores), &s->cores) == 0 && CPU_COUNT(&s->cores) > 1)
		s->steer = steer_create();
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
	for (unsigned i = 0; i < MAX_THREADS; i++)
		pthread_cond_destroy(&s->servers[i].wanted);
	steer_destroy(s->steer);
	pthread_mutex_destroy(&s->lock);
	close(s->timer);
	free(s);
	return rc;
}
