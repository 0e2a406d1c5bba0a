#include "fs/steward.h"
#include "fs/fs.h"
#include "fs/spawner.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that dies at once is not started in a loop. */
#define RESTART_MS 1000
/* A visit that hangs (a dying card) is ended with its process. */
#define VISIT_MAX_MS 600000
/* On the lower: nobody mounts, or gets away, meanwhile. */
#define LOWER_MAX_MS 300000

struct steward {
	pid_t child; /* 0: none */
	int sock;
	int wake; /* eventfd */
	pthread_t thread;
	bool running;		 /* there is a thread */
	bool stop;		 /* atomic */
	pthread_mutex_t session; /* a leaf: held while the thread uses fs->session; guards: */
	bool muted;		 /* it is being unmounted, and its descriptor may be another's next */
	msec_t restart_at;
	/* The visit under way. */
	uint32_t db;	 /* 0: none */
	uint32_t lessee; /* its node, while it holds the lease */
	unsigned work;
	msec_t begun;
	struct timespec mtime; /* of the database, before */
	struct steward_request request;
};

/* --- the child ----------------------------------------------------------- */

static int child_start(struct clawfs *fs)
{
	struct steward *s = fs->dbs.steward;
	int rc = spawner_make(fs, HELPER_STEWARD, &s->sock, &s->child);

	fs->shared->steward = rc < 0 ? 0 : s->child;
	if (rc < 0)
		s->child = 0;
	return rc;
}

static void child_end(struct clawfs *fs)
{
	struct steward *s = fs->dbs.steward;

	if (!s->child)
		return;
	close(s->sock);
	s->sock = -1;
	kill(s->child, SIGKILL);
	fs->shared->steward = 0;
	while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
		;
	s->child = 0;
}

void steward_pause(struct clawfs *fs)
{
	child_end(fs);
}

int steward_create(struct clawfs *fs)
{
	struct steward *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->sock = -1;
	pthread_mutex_init(&s->session, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fs->dbs.steward = s;
	return s->wake < 0 ? -errno : 0;
}

void steward_destroy(struct clawfs *fs)
{
	struct steward *s = fs->dbs.steward;

	if (!s)
		return;
	child_end(fs);
	spawner_end(fs);
	if (s->wake >= 0)
		close(s->wake);
	pthread_mutex_destroy(&s->session);
	free(s);
	fs->dbs.steward = NULL;
}

static int request_send(struct steward *s, const struct steward_request *request, int dirfd)
{
	return spawner_send(s->sock, request, sizeof(*request), dirfd);
}

int steward_visit_lower(struct clawfs *fs, int dirfd, const char *name, unsigned work, struct steward_reply *reply)
{
	struct steward *s = fs->dbs.steward;
	struct steward_request *request = &s->request;
	int rc = s->child ? 0 : child_start(fs);

	if (rc < 0)
		return rc;
	memset(request, 0, sizeof(*request));
	request->cache = (uint64_t)CONFIG(fs, sqlite_cache);
	request->work = work;
	snprintf(request->name, sizeof(request->name), "%s", name);
	rc = request_send(s, request, dirfd);
	if (rc == 0) {
		struct pollfd fd = {.fd = s->sock, .events = POLLIN};
		ssize_t n;
		do {
			n = poll(&fd, 1, LOWER_MAX_MS);
		} while (n < 0 && errno == EINTR);
		n = n > 0 ? recv(s->sock, reply, sizeof(*reply), 0) : n;
		rc = n == (ssize_t)sizeof(*reply) ? 0 : n == 0 && !fd.revents ? -ETIMEDOUT : -EPIPE;
		reply->why[sizeof(reply->why) - 1] = '\0';
	}
	if (rc < 0)
		child_end(fs);
	return rc;
}

/* --- visits through the mount -------------------------------------------- */

static void lease_set(struct clawfs *fs, struct db_lease lease)
{
	pthread_mutex_lock(&fs->dbs.lock);
	*fs->dbs.lease = lease;
	pthread_mutex_unlock(&fs->dbs.lock);
}

/* The database that is to be visited now, and when the next one is. */
static uint32_t choose(struct clawfs *fs, msec_t now, msec_t *next)
{
	struct steward *s = fs->dbs.steward;
	uint32_t end = shm_table_end(fs->dbs.table), chosen = 0;

	pthread_mutex_lock(&fs->dbs.lock);
	for (uint32_t i = 1; i < end && !chosen; i++) {
		const struct db *d = db_at(fs, i);
		if (!d->node || d->excluded || d->taken)
			continue;
		unsigned work = policy_visit_work(&d->visit, &fs->dbs.rules, now);
		if (work) {
			chosen = i;
			s->work = work;
		}
		*next = msec_min(*next, policy_visit_due(&d->visit, &fs->dbs.rules));
	}
	pthread_mutex_unlock(&fs->dbs.lock);
	return chosen;
}

/* Writes the request and takes the lease. False when the database has gone. */
static bool prepare(struct clawfs *fs, uint32_t index)
{
	struct steward *s = fs->dbs.steward;
	struct steward_request *r = &s->request;
	bool found = false;

	memset(r, 0, sizeof(*r));
	r->cache = (uint64_t)CONFIG(fs, sqlite_cache);
	r->live = 1;
	r->work = s->work;
	r->dev = fs->mount_dev;
	snprintf(r->root, sizeof(r->root), "%s", fs->mountpoint);
	pthread_rwlock_wrlock(&fs->tree);
	uint32_t node = db_at(fs, index)->node;
	const struct node *n = node ? fs_node(fs, node) : NULL;
	if (n && n->name && !name_at(&fs->nodes, n->name)->sibling) {
		const struct name *name = name_at(&fs->nodes, n->name);
		r->ino = n->ino;
		snprintf(r->name, sizeof(r->name), "%s", name->text);
		struct stat st;
		found = node_path(&fs->nodes, name->parent, r->dir, sizeof(r->dir)) == 0 &&
			node_stat(fs, node, &st) == 0;
		if (found)
			s->mtime = st.st_mtim;
	}
	if (found)
		lease_set(fs, (struct db_lease){.node = node, .pid = s->child});
	pthread_rwlock_unlock(&fs->tree);
	s->lessee = found ? node : 0;
	return found;
}

/* Another mode is not another content: what compares times (rsync, a cache) need not look again. Unless the
 * application wrote meanwhile. Tree lock for writing. */
static bool keep_mtime(struct clawfs *fs, const struct db *d)
{
	const struct steward *s = fs->dbs.steward;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, s->mtime};
	int dirfd;
	const char *name;

	if (d->visit.active_at >= s->begun || node_place_lower(fs, d->node, &dirfd, &name) < 0)
		return false;
	return fs->lower.sys->utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) == 0;
}

static void visit_end(struct clawfs *fs, enum visit_result result, const struct steward_reply *reply, msec_t now)
{
	struct steward *s = fs->dbs.steward;
	char path[PATH_MAX] = "";
	uint32_t stale = 0;

	pthread_rwlock_wrlock(&fs->tree);
	bool fenced = fs->dbs.lease->fenced;
	lease_set(fs, (struct db_lease){0});
	struct db *d = db_at(fs, s->db);
	/* One that was fenced off failed for that reason, and may come again. */
	if (fenced && result == VISIT_FAILED)
		result = VISIT_BUSY;
	/* Unlinked meanwhile: the record may be another's. */
	if (d->node && d->node == s->lessee) {
		pthread_mutex_lock(&fs->dbs.lock);
		bool again = d->visit.busy > 0;
		policy_visit_end(&d->visit, result, now);
		d->retries += result == VISIT_BUSY;
		if (result == VISIT_DONE && reply && s->work & (VISIT_CHECKPOINT | VISIT_TRUNCATE)) {
			d->checkpoints++;
			d->checkpoint_us += reply->us;
		}
		pthread_mutex_unlock(&fs->dbs.lock);
		if (reply && reply->changed && keep_mtime(fs, d))
			stale = d->node;
		if (node_path(&fs->nodes, d->node, path, sizeof(path)) < 0)
			path[0] = '\0';
		if (result == VISIT_FAILED)
			log_warn(fs->log, "database %s: left alone for now: %s", path,
				 reply ? reply->why : "the steward died");
		else if (reply && reply->changed)
			log_info(fs->log, "database %s: now in WAL mode%s", path,
				 again ? ", after it had been locked" : "");
	}
	pthread_rwlock_unlock(&fs->tree);
	/* Somebody may have looked at the time meanwhile, and the kernel remembers it. */
	pthread_mutex_lock(&s->session);
	if (stale && !s->muted)
		fuse_lowlevel_notify_inval_inode(fs->session, stale, -1, 0);
	pthread_mutex_unlock(&s->session);
	s->db = 0;
}

static void visit_begin(struct clawfs *fs, uint32_t index, msec_t now)
{
	struct steward *s = fs->dbs.steward;

	s->db = index;
	s->begun = now;
	bool found = prepare(fs, index);
	pthread_mutex_lock(&fs->dbs.lock);
	policy_visit_begin(&db_at(fs, index)->visit);
	/* Of several names, or gone: not before it is used again. */
	if (!found)
		policy_visit_end(&db_at(fs, index)->visit, VISIT_FAILED, now);
	pthread_mutex_unlock(&fs->dbs.lock);
	if (!found)
		s->db = 0;
	else if (request_send(s, &s->request, -1) < 0)
		visit_end(fs, VISIT_FAILED, NULL, now);
}

/* The reply, or the child's end. */
static void hear(struct clawfs *fs, msec_t now)
{
	struct steward *s = fs->dbs.steward;
	struct steward_reply reply;
	ssize_t n = recv(s->sock, &reply, sizeof(reply), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == (ssize_t)sizeof(reply)) {
		static const enum visit_result results[] = {VISIT_DONE, VISIT_BUSY, VISIT_FAILED};
		reply.why[sizeof(reply.why) - 1] = '\0';
		visit_end(fs, results[reply.rc < 3 ? reply.rc : 2], &reply, now);
		return;
	}
	log_warn(fs->log, "the steward died; it is started again");
	child_end(fs);
	s->restart_at = msec_add(now, RESTART_MS);
	if (s->db)
		visit_end(fs, VISIT_FAILED, NULL, now);
}

/* --- the thread ---------------------------------------------------------- */

static void *steward_thread(void *arg)
{
	struct clawfs *fs = arg;
	struct steward *s = fs->dbs.steward;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		msec_t now = clock_now();
		msec_t next = db_tick(fs, now);
		uint32_t due = 0;
		if (!s->db) {
			msec_t visit = MSEC_NEVER;
			due = choose(fs, now, &visit);
			if (due && !s->child && now < s->restart_at) {
				due = 0;
				visit = s->restart_at;
			}
			next = msec_min(next, visit);
		} else {
			next = msec_min(next, msec_add(s->begun, VISIT_MAX_MS));
			if (now >= msec_add(s->begun, VISIT_MAX_MS)) {
				kill(s->child, SIGKILL);
				s->begun = now;
			}
		}
		if (due) {
			if (!s->child && child_start(fs) < 0)
				s->restart_at = msec_add(now, RESTART_MS);
			else
				visit_begin(fs, due, now);
			continue;
		}
		struct pollfd fds[2] = {{.fd = s->wake, .events = POLLIN}, {.fd = s->sock, .events = POLLIN}};
		int timeout = next == MSEC_NEVER   ? -1
			      : next <= now	   ? 0
			      : next - now > 60000 ? 60000
						   : (int)(next - now);
		if (poll(fds, 2, timeout) <= 0)
			continue;
		uint64_t count;
		if (fds[0].revents && read(s->wake, &count, sizeof(count)) < 0)
			continue;
		if (s->child && fds[1].revents)
			hear(fs, clock_now());
	}
	return NULL;
}

int steward_start(struct clawfs *fs)
{
	struct steward *s = fs->dbs.steward;

	__atomic_store_n(&s->stop, false, __ATOMIC_RELEASE);
	if (pthread_create(&s->thread, NULL, steward_thread, fs) != 0)
		return -EAGAIN;
	s->running = true;
	return 0;
}

void steward_mute(struct clawfs *fs)
{
	struct steward *s = fs->dbs.steward;

	if (!s)
		return;
	pthread_mutex_lock(&s->session);
	s->muted = true;
	pthread_mutex_unlock(&s->session);
}

void steward_stop(struct clawfs *fs)
{
	struct steward *s = fs->dbs.steward;

	if (!s || !s->running)
		return;
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	steward_wake(fs);
	pthread_join(s->thread, NULL);
	s->running = false;
	/* Its process may wait for an answer that nobody will give, and would not outlive the thread. */
	child_end(fs);
	if (s->db)
		visit_end(fs, VISIT_BUSY, NULL, clock_now());
}

void steward_wake(struct clawfs *fs)
{
	const struct steward *s = fs->dbs.steward;
	uint64_t one = 1;

	if (s && write(s->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn(fs->log, "cannot wake the steward: %s", strerror(errno));
}
