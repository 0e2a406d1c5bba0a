#include "fs/observe.h"
#include "fs/fileimpl.h"
#include "fs/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_MS 250
/* How late at most the thread that waits for inotify is taken to be. */
#define LATE_MS 100

static void arm(struct observer *o, msec_t ms)
{
	const struct timespec in = clock_timespec(ms);
	const struct itimerspec once = {.it_value = in};

	if (o->running && !__atomic_exchange_n(&o->armed, true, __ATOMIC_ACQ_REL))
		timerfd_settime(o->timer, 0, &once, NULL);
}

/* --- looking ------------------------------------------------------------- */

/* Of what was appended: how many lines, and whether one of them is urgent. `last`: its last byte. */
static struct policy_scan scan_new(struct clawfs *fs, int fd, off_t from, off_t to, char *last)
{
	struct policy_scan sum = {0};
	char buf[16384];

	while (from < to) {
		size_t len = to - from < (off_t)sizeof(buf) ? (size_t)(to - from) : sizeof(buf);
		ssize_t n = lower_pread(&fs->lower, fd, buf, len, from);
		if (n <= 0)
			break;
		/* Whole lines, where there are any: a level must not be cut in two. */
		const char *end = from + n < to ? memrchr(buf, '\n', (size_t)n) : NULL;
		size_t used = end ? (size_t)(end - buf) + 1 : (size_t)n;
		struct policy_scan scan = policy_scan(buf, used);
		sum.lines += scan.lines;
		sum.urgent |= scan.urgent;
		from += (off_t)used;
		*last = buf[used - 1];
	}
	return sum;
}

bool observe_look(struct clawfs *fs, uint32_t slot, msec_t now)
{
	struct file *f = file_at(fs, slot);
	struct observed *seen = &f->seen;
	struct stat st;

	if ((f->io != FILE_IO_UPPER && !f->foreign) || f->place == PLACE_LOWER || fstat(f->fd_up, &st) < 0)
		return false;
	bool grew = st.st_size > seen->size;
	bool changed = st.st_size != seen->size || st.st_mtim.tv_sec != seen->mtime.tv_sec ||
		       st.st_mtim.tv_nsec != seen->mtime.tv_nsec;
	if (changed) {
		uint64_t bytes = grew ? (uint64_t)(st.st_size - seen->size) : 0;
		struct policy_scan scan = {0};
		if (grew && class_is_tail(f->cls)) {
			char last = 0;
			scan = scan_new(fs, f->fd_up, seen->size, st.st_size, &last);
			policy_writers_saw(&f->written, true, last == '\n', 0);
		}
		f->version++;
		pthread_mutex_lock(&fs->sched.lock);
		file_account(fs, f, st.st_size);
		/* What policy/ was told meanwhile is no earlier. */
		msec_t at = f->policy.last != MSEC_NEVER && f->policy.last > seen->at ? f->policy.last : seen->at;
		if (!f->orphan && grew)
			policy_file_write(&f->policy, at, bytes, scan);
		else if (!f->orphan)
			policy_file_touch(&f->policy, at);
		f->app_writes += grew;
		f->app_bytes += bytes;
		sched_update(fs, slot, f);
		pthread_mutex_unlock(&fs->sched.lock);
		if (grew)
			stats_app_write(fs->stats, now, f->cls, bytes, false);
		seen->size = st.st_size;
		seen->mtime = st.st_mtim;
	}
	if (now > seen->at)
		seen->at = now;
	return changed;
}

/* Waits for the next write. File lock held for writing. */
static void watch(struct clawfs *fs, struct file *f)
{
	struct lower_fdpath path = lower_fdpath(f->fd_up);

	if (f->seen.watch == 0) {
		int wd = inotify_add_watch(fs->observer.notify, path.text, IN_MODIFY | IN_ONESHOT);
		f->seen.watch = wd > 0 ? wd : 0;
	}
}

/* A lease is refused while anybody has the file open for writing, so not with our own descriptor open. */
static bool is_written(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool written = fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && (errno == EAGAIN || errno == EACCES);

	if (fd >= 0)
		close(fd);
	return written;
}

bool observe_has_writer(int updir, const char *name)
{
	char path[64 + NAME_MAX];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", updir, name);
	return is_written(path);
}

/* Whether the program is gone that wrote it after its mount had ended. File lock held for writing. */
static bool is_left_alone(struct clawfs *fs, struct file *f)
{
	int reader = lower_reopen(&fs->lower, f->fd_up, O_RDONLY);

	if (reader < 0)
		return false;
	/* Nor with what the kernel has of it. By the other descriptor it is opened again. */
	observe_forget(fs, f);
	close(f->fd_up);
	bool written = fcntl(reader, F_SETLEASE, F_RDLCK) < 0;
	if (!written)
		fcntl(reader, F_SETLEASE, F_UNLCK);
	f->fd_up = lower_reopen(&fs->lower, reader, O_RDWR);
	if (f->fd_up < 0) {
		/* Read and flushed it can be all the same. */
		f->fd_up = reader;
		return false;
	}
	close(reader);
	return !written;
}

/* One file of the tick's; true when it is to be looked at again. No lock held. */
static bool look_again(struct clawfs *fs, uint32_t slot, msec_t now, int wd)
{
	struct file *f = file_at(fs, slot);
	bool again = false, settle = false;

	pthread_rwlock_wrlock(&f->lock);
	if (f->io == FILE_IO_UPPER || f->foreign) {
		again = observe_look(fs, slot, now);
		if (!again && !f->foreign) {
			watch(fs, f);
			/* Between the look and the watch. */
			again = observe_look(fs, slot, now);
		}
		if (f->foreign && f->io == FILE_IO_NONE && is_left_alone(fs, f)) {
			observe_look(fs, slot, now);
			pthread_mutex_lock(&fs->attach);
			f->foreign = false;
			pthread_mutex_unlock(&fs->attach);
			__atomic_sub_fetch(&fs->observer.files, 1, __ATOMIC_ACQ_REL);
			settle = true;
		}
		again |= f->foreign;
	}
	pthread_rwlock_unlock(&f->lock);
	if (settle) {
		pthread_rwlock_wrlock(&fs->tree);
		file_settle(fs, slot);
		pthread_rwlock_unlock(&fs->tree);
	}
	return again;
}

typedef bool each_fn(struct clawfs *fs, uint32_t slot, msec_t now, int wd);

/* Calls `each` for every file that the kernel may write; true when one call was. */
static bool for_each(struct clawfs *fs, msec_t now, each_fn *each, int wd)
{
	uint32_t end = shm_table_end(fs->files);
	bool any = false;

	if (__atomic_load_n(&fs->observer.files, __ATOMIC_ACQUIRE) == 0)
		return false;
	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		pthread_mutex_lock(&fs->attach);
		bool take = f->refs > 0 && (f->backing > 0 || f->foreign);
		f->refs += take;
		uint32_t node = take ? f->node : 0;
		pthread_mutex_unlock(&fs->attach);
		if (!take)
			continue;
		any |= each(fs, i, now, wd);
		pthread_rwlock_wrlock(&fs->tree);
		file_put(fs, i);
		node_reap(&fs->nodes, node);
		pthread_rwlock_unlock(&fs->tree);
	}
	return any;
}

static bool look_once(struct clawfs *fs, uint32_t slot, msec_t now, int wd)
{
	struct file *f = file_at(fs, slot);

	pthread_rwlock_wrlock(&f->lock);
	bool changed = observe_look(fs, slot, now);
	pthread_rwlock_unlock(&f->lock);
	return changed;
}

void observe_look_all(struct clawfs *fs, msec_t now)
{
	for_each(fs, now, look_once, 0);
}

/* --- the thread ---------------------------------------------------------- */

/* The first write after a quiet time: it came just now. */
static bool look_told(struct clawfs *fs, uint32_t slot, msec_t now, int wd)
{
	struct file *f = file_at(fs, slot);

	pthread_rwlock_wrlock(&f->lock);
	bool told = f->io == FILE_IO_UPPER && f->seen.watch == wd;
	if (told) {
		f->seen.watch = 0;
		if (f->seen.at < now - LATE_MS)
			f->seen.at = now - LATE_MS;
		observe_look(fs, slot, now);
	}
	pthread_rwlock_unlock(&f->lock);
	return told;
}

static bool read_events(struct clawfs *fs)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(fs->observer.notify, buf, sizeof(buf));
	bool any = false;

	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const struct inotify_event *)(buf + at);
		/* IN_IGNORED follows, or comes alone when the file is gone. */
		if (e->mask & IN_MODIFY)
			any |= for_each(fs, clock_now(), look_told, e->wd);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	return any;
}

static void *observer(void *arg)
{
	struct clawfs *fs = arg;
	struct observer *o = &fs->observer;
	struct pollfd fds[] = {
		{.fd = o->timer, .events = POLLIN},
		{.fd = o->notify, .events = POLLIN},
		{.fd = o->stop, .events = POLLIN},
	};

	for (;;) {
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[2].revents)
			return NULL;
		uint64_t ticks;
		bool again = fds[1].revents && read_events(fs);
		if (fds[0].revents && read(o->timer, &ticks, sizeof(ticks)) > 0) {
			__atomic_store_n(&o->armed, false, __ATOMIC_RELEASE);
			again |= for_each(fs, clock_now(), look_again, 0);
		}
		if (again)
			arm(o, TICK_MS);
	}
}

static void close_all(struct observer *o)
{
	file_close_fd(&o->timer);
	file_close_fd(&o->notify);
	file_close_fd(&o->stop);
}

int observe_start(struct clawfs *fs)
{
	struct observer *o = &fs->observer;

	o->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	o->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	o->stop = eventfd(0, EFD_CLOEXEC);
	int rc =
		o->timer < 0 || o->notify < 0 || o->stop < 0 ? -errno : -pthread_create(&o->thread, NULL, observer, fs);
	if (rc < 0) {
		close_all(o);
		return rc;
	}
	o->running = true;
	/* What recovery has found. */
	if (__atomic_load_n(&o->files, __ATOMIC_ACQUIRE))
		arm(o, TICK_MS);
	return 0;
}

void observe_stop(struct clawfs *fs)
{
	struct observer *o = &fs->observer;
	const uint64_t one = 1;

	if (!o->running)
		return;
	if (write(o->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(o->thread, NULL);
	o->running = false;
	close_all(o);
}

/* --- which files --------------------------------------------------------- */

void observe_begin(struct clawfs *fs, uint32_t slot, msec_t now)
{
	struct file *f = file_at(fs, slot);
	struct stat st = {0};

	fstat(f->fd_up, &st);
	f->seen.size = st.st_size;
	f->seen.mtime = st.st_mtim;
	f->seen.at = now;
	__atomic_add_fetch(&fs->observer.files, 1, __ATOMIC_ACQ_REL);
	arm(&fs->observer, TICK_MS);
}

void observe_revive(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);

	/* The watch was another process's. */
	f->seen.watch = 0;
	if (f->io == FILE_IO_UPPER)
		__atomic_add_fetch(&fs->observer.files, 1, __ATOMIC_ACQ_REL);
	if (f->foreign)
		__atomic_add_fetch(&fs->observer.files, 1, __ATOMIC_ACQ_REL);
}

void observe_end(struct clawfs *fs, struct file *f)
{
	__atomic_sub_fetch(&fs->observer.files, 1, __ATOMIC_ACQ_REL);
	if (f->seen.watch > 0)
		inotify_rm_watch(fs->observer.notify, f->seen.watch);
	f->seen.watch = 0;
}

void observe_forget(struct clawfs *fs, struct file *f)
{
	if (f->seen.backing)
		passthrough_forget(fs, f->seen.backing);
	f->seen.backing = 0;
}

void observe_adopt(struct clawfs *fs, uint32_t slot)
{
	struct file *f = file_at(fs, slot);
	struct stat st = {0};

	fstat(f->fd_up, &st);
	f->foreign = true;
	f->seen.size = st.st_size;
	f->seen.mtime = st.st_mtim;
	__atomic_add_fetch(&fs->observer.files, 1, __ATOMIC_ACQ_REL);
}

bool observe_is_foreign(const struct file *f)
{
	return f->foreign;
}

bool observe_is_pinned(struct clawfs *fs, uint32_t node)
{
	uint32_t slot = node && S_ISREG(fs_node(fs, node)->type) ? file_peek(fs, node) : 0;
	bool pinned = false;

	if (!slot)
		return false;
	struct file *f = file_at(fs, slot);
	pthread_rwlock_rdlock(&f->lock);
	pinned = f->place != PLACE_LOWER && (f->io == FILE_IO_UPPER || f->foreign);
	pthread_rwlock_unlock(&f->lock);
	file_put(fs, slot);
	return pinned;
}

int observe_may_rename(struct clawfs *fs, uint32_t node, bool replaced, bool tail)
{
	uint32_t slot = file_peek(fs, node);
	struct file *f = file_at(fs, slot);
	int rc = 1;

	if (replaced) {
		pthread_mutex_lock(&fs->sched.lock);
		rc = f->policy.state == POLICY_CLEAN;
		pthread_mutex_unlock(&fs->sched.lock);
	} else if (!(fs_node(fs, node)->flags & NODE_OWN)) {
		rc = 0;
	} else if (!tail) {
		pthread_rwlock_wrlock(&f->lock);
		rc = file_make_whole(fs, slot);
		pthread_rwlock_unlock(&f->lock);
		rc = rc < 0 ? rc : 1;
	}
	file_put(fs, slot);
	return rc;
}

void observe_release(struct clawfs *fs)
{
	for_each(fs, clock_now(), look_again, 0);
}

uint32_t observe_left(struct clawfs *fs)
{
	return __atomic_load_n(&fs->observer.files, __ATOMIC_ACQUIRE);
}
