#include "fs/dbimpl.h"
#include "fs/fs.h"
#include "fs/serve.h"
#include "fs/steward.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- syncs --------------------------------------------------------------- */

/* What is to be synced. */
struct target {
	int fd;	       /* our own; -ENOENT: there is nothing, -EAGAIN: it is in RAM */
	uint32_t slot; /* its content state, referenced; 0 when nobody has it open */
};

static struct target open_target(struct clawfs *fs, uint32_t dir, const char *name)
{
	uint32_t node = node_find(&fs->nodes, dir, name);
	struct target t = {.fd = -1, .slot = node ? file_peek(fs, node) : 0};

	if (t.slot) {
		struct file *f = file_at(fs, t.slot);
		pthread_rwlock_rdlock(&f->lock);
		int open = f->fd_wr >= 0 ? f->fd_wr : f->fd_rd;
		if (f->place != PLACE_LOWER)
			t.fd = -EAGAIN;
		else if (open >= 0)
			t.fd = fcntl(open, F_DUPFD_CLOEXEC, 0);
		pthread_rwlock_unlock(&f->lock);
	}
	if (t.fd == -1) {
		struct stat st;
		int dirfd = dir_lower(fs, dir);
		t.fd = dirfd < 0 ? dirfd : lower_open_own(&fs->lower, dirfd, name, O_RDONLY);
		/* A link, a FIFO, a directory of that name: SQLite takes none of them. */
		if (t.fd == -ELOOP || t.fd == -ENXIO)
			t.fd = -ENOENT;
		if (t.fd >= 0 && fs->lower.sys->fstat(t.fd, &st) == 0 && !S_ISREG(st.st_mode)) {
			close(t.fd);
			t.fd = -ENOENT;
		}
	}
	return t;
}

/* After a sync that failed the kernel calls its pages clean, and the next would succeed with nothing written: they are
 * made dirty again. What the kernel writes past us cannot be held still for that; it is truncated through us alone. */
static int rewrite_target(struct clawfs *fs, const struct target *t, bool *passed)
{
	*passed = false;
	if (!t->slot)
		return lower_rewrite(&fs->lower, t->fd);
	struct file *f = file_at(fs, t->slot);
	pthread_rwlock_wrlock(&f->lock);
	*passed = f->io == FILE_IO_PASSED;
	int rc = *passed ? lower_redirty(&fs->lower, t->fd) : lower_rewrite(&fs->lower, t->fd);
	pthread_rwlock_unlock(&f->lock);
	return rc;
}

void db_look(struct clawfs *fs, uint32_t node, msec_t now)
{
	uint8_t header[SQLITE_HEADER_SIZE];

	uint32_t index;

	pthread_rwlock_rdlock(&fs->tree);
	const struct node *n = fs_node(fs, node);
	const struct name *name = n->name ? name_at(&fs->nodes, n->name) : NULL;
	if (db_role_of(fs, node, &index) == DB_ROLE_WAL)
		name = NULL;
	int dirfd = name && n->flags & NODE_OWN ? dir_lower(fs, name->parent) : -1;
	int fd = dirfd < 0 ? -1 : lower_open_own(&fs->lower, dirfd, name->text, O_RDONLY);
	if (fd >= 0 && lower_pread(&fs->lower, fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	    db_is_header(header, sizeof(header))) {
		index = db_recognise(fs, node, header, now);
		pthread_mutex_lock(&fs->dbs.lock);
		if (index)
			policy_barrier_after(&db_at(fs, index)->barrier, BARRIER_DB_WRITE, now);
		if (index)
			db_note_mode(db_at(fs, index), header, 0, false, now);
		pthread_mutex_unlock(&fs->dbs.lock);
		steward_wake(fs);
	}
	pthread_rwlock_unlock(&fs->tree);
	if (fd >= 0)
		close(fd);
}

/* Makes the database's file or its WAL durable; `again` after a failure. No lock held. */
static int sync_one(struct clawfs *fs, uint32_t index, enum barrier_action what, bool with_dir, bool again)
{
	char wal[NAME_MAX + 1], path[PATH_MAX] = "?";
	struct target t = {.fd = -ENOENT};
	int dirfd = -1, rc = 0;
	bool passed = false;

	pthread_rwlock_rdlock(&fs->tree);
	uint32_t node = db_at(fs, index)->node;
	const struct node *n = node ? fs_node(fs, node) : NULL;
	const struct name *name = n && n->name ? name_at(&fs->nodes, n->name) : NULL;
	if (name && what == BARRIER_SYNC_DB)
		t = open_target(fs, name->parent, name->text);
	else if (name && db_wal_name(name->text, wal))
		t = open_target(fs, name->parent, wal);
	if (t.fd >= 0 && with_dir) {
		dirfd = dir_lower(fs, name->parent);
		dirfd = dirfd < 0 ? dirfd : fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	}
	if (name && node_path(&fs->nodes, node, path, sizeof(path)) < 0)
		snprintf(path, sizeof(path), "?");
	pthread_rwlock_unlock(&fs->tree);

	serve_waits(fs);
	if (t.fd == -EAGAIN)
		rc = file_materialise(fs, t.slot, clock_now());
	else if (t.fd >= 0 && again)
		rc = rewrite_target(fs, &t, &passed);
	/* What has no name any more need not outlive a power cut. */
	else if (t.fd < 0 && t.fd != -ENOENT)
		rc = t.fd;
	if (rc == 0 && t.fd >= 0)
		rc = fs->lower.sys->fdatasync(t.fd) < 0 ? -errno : 0;
	/* Pages that could only be dirtied in place may have been written to blocks that ext4 goes on reading as
	 * unwritten. Then it stays refused until it is opened anew (db_wal_may_pass). */
	if (rc == 0 && passed)
		rc = lower_is_backed(&fs->lower, t.fd) < 0 ? -EIO : 0;
	if (rc == 0 && t.fd >= 0 && with_dir)
		rc = dirfd < 0 ? -EIO : lower_sync_dir(&fs->lower, dirfd);
	if (rc < 0)
		log_error(fs->log,
			  "cannot make %s of database %s durable: %s; what needs it is refused until it can be: see to "
			  "the card",
			  what == BARRIER_SYNC_WAL ? "the write-ahead log" : "the file", path, strerror(-rc));
	if (t.fd >= 0)
		close(t.fd);
	if (dirfd >= 0)
		close(dirfd);
	if (t.slot)
		file_put(fs, t.slot);
	return rc;
}

/* Runs one sync of the kind, or waits for the one that runs; dbs.lock held, and let go meanwhile. */
static int sync_locked(struct clawfs *fs, uint32_t index, enum barrier_action what)
{
	struct db *d = db_at(fs, index);

	if (d->syncing & what) {
		pthread_cond_wait(&fs->dbs.changed, &fs->dbs.lock);
		return 0;
	}
	d->syncing |= (uint8_t)what;
	uint64_t token = policy_barrier_sync_begin(&d->barrier, what);
	bool with_dir = what == BARRIER_SYNC_WAL && d->wal_new;
	bool again = what == BARRIER_SYNC_WAL ? d->barrier.failures > 0 : d->db_failed;
	pthread_mutex_unlock(&fs->dbs.lock);
	int rc = sync_one(fs, index, what, with_dir, again);
	pthread_mutex_lock(&fs->dbs.lock);
	if (rc == 0 && with_dir)
		d->wal_new = false;
	if (what == BARRIER_SYNC_DB)
		d->db_failed = rc < 0;
	uint64_t done = d->barrier.fsyncs_done;
	msec_t now = clock_now();
	policy_barrier_sync_end(&d->barrier, what, token, rc, now, fs->config.retry_ms, fs->config.retry_max_ms);
	stats_tick(fs->stats, now);
	stats_count(fs->stats, STATS_DB_DONE, d->barrier.fsyncs_done - done);
	d->syncing &= (uint8_t)~what;
	if (!d->node && !d->syncing)
		shm_table_free(fs->dbs.table, index);
	pthread_cond_broadcast(&fs->dbs.changed);
	return rc;
}

/* Does what the event needs. dbs.lock held. */
static int settle(struct clawfs *fs, uint32_t index, enum barrier_event event)
{
	struct db *d = db_at(fs, index);
	/* What comes after is not waited for: a writer that never rests would keep us here. */
	const uint64_t wal = d->barrier.wal_seq, db = d->barrier.db_seq;
	unsigned need;

	for (;;) {
		need = d->node ? policy_barrier_before(&d->barrier, event) : 0;
		if (d->barrier.wal_durable >= wal)
			need &= ~(unsigned)BARRIER_SYNC_WAL;
		if (d->barrier.db_durable >= db)
			need &= ~(unsigned)BARRIER_SYNC_DB;
		if (!need)
			break;
		int rc = sync_locked(fs, index, need & BARRIER_SYNC_WAL ? BARRIER_SYNC_WAL : BARRIER_SYNC_DB);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int db_settle_before(struct clawfs *fs, uint32_t index, enum barrier_event event)
{
	pthread_mutex_lock(&fs->dbs.lock);
	int rc = settle(fs, index, event);
	pthread_mutex_unlock(&fs->dbs.lock);
	return rc;
}

/* --- what the kernel writes past us -------------------------------------- */

/* Whether a WAL is one (fileformat2.html 4.1). */
static bool is_wal_header(const uint8_t *buf, size_t len)
{
	return len >= 4 && buf[0] == 0x37 && buf[1] == 0x7f && buf[2] == 0x06 && (buf[3] & 0xfe) == 0x82;
}

/* True when `name` in `dir` is open and the kernel goes past us; looks at it then. Tree lock held. */
static bool look(struct clawfs *fs, uint32_t dir, const char *name, struct wal_sight *now)
{
	uint32_t node = node_find(&fs->nodes, dir, name);
	uint32_t slot = node ? file_peek(fs, node) : 0;
	struct stat st;
	bool passed;

	if (!slot)
		return false;
	struct file *f = file_at(fs, slot);
	pthread_rwlock_rdlock(&f->lock);
	passed = f->io == FILE_IO_PASSED;
	int fd = f->fd_rd >= 0 ? f->fd_rd : f->fd_wr;
	if (passed && fs->lower.sys->fstat(fd, &st) == 0) {
		*now = (struct wal_sight){.size = st.st_size, .mtime = st.st_mtim, .ctime = st.st_ctim};
		lower_pread(&fs->lower, fd, now->header, sizeof(now->header), 0);
	}
	pthread_rwlock_unlock(&f->lock);
	file_put(fs, slot);
	return passed;
}

void db_wal_look(struct clawfs *fs, uint32_t index, bool asked, msec_t when)
{
	struct db *d = db_at(fs, index);
	struct wal_sight now = {0};
	char wal[NAME_MAX + 1];

	pthread_rwlock_rdlock(&fs->tree);
	const struct node *n = d->node ? fs_node(fs, d->node) : NULL;
	const struct name *name = n && n->name ? name_at(&fs->nodes, n->name) : NULL;
	bool passed = name && db_wal_name(name->text, wal) && look(fs, name->parent, wal, &now);
	pthread_rwlock_unlock(&fs->tree);
	if (!passed)
		return;
	pthread_mutex_lock(&fs->dbs.lock);
	bool head = memcmp(now.header, d->seen.header, sizeof(now.header)) != 0;
	bool changed = head || now.size != d->seen.size || memcmp(&now.mtime, &d->seen.mtime, sizeof(now.mtime)) != 0 ||
		       memcmp(&now.ctime, &d->seen.ctime, sizeof(now.ctime)) != 0;
	d->asked |= asked;
	d->lax |= !d->asked && now.size > 0;
	if (changed || asked) {
		policy_barrier_observed(&d->barrier, head);
		policy_visit_active(&d->visit, true, (uint64_t)now.size, when);
		d->wal_bytes = (uint64_t)now.size;
		d->wal_odd = now.size >= WAL_HEADER && !is_wal_header(now.header, sizeof(now.header));
		d->seen = now;
	}
	pthread_mutex_unlock(&fs->dbs.lock);
}

bool db_wal_may_pass(struct clawfs *fs, uint32_t node)
{
	uint32_t index;

	if (db_role_of(fs, node, &index) != DB_ROLE_WAL)
		return true;
	pthread_mutex_lock(&fs->dbs.lock);
	/* After a sync that failed its pages are written again, and for that it must be held still. */
	bool may = !db_at(fs, index)->lax && !db_at(fs, index)->barrier.failures;
	pthread_mutex_unlock(&fs->dbs.lock);
	return may;
}

/* The database itself is written past us: it was none when it was opened. Tree lock held. */
static bool main_is_passed(struct clawfs *fs, uint32_t index)
{
	struct db *d = db_at(fs, index);
	uint32_t slot = d->node ? file_peek(fs, d->node) : 0;

	if (!slot)
		return false;
	bool passed = file_is_passed(fs, slot);
	file_put(fs, slot);
	return passed;
}

/* --- around changes ------------------------------------------------------ */

int db_change_begin(struct clawfs *fs, uint32_t node, const void *buf, size_t len, off_t off, struct db_io *io)
{
	pthread_rwlock_rdlock(&fs->tree);
	enum db_role role = db_role_of(fs, node, &io->db);
	/* The first page of a new one. */
	if (role == DB_ROLE_NONE && buf && off == 0 && db_is_header(buf, len)) {
		io->db = db_recognise(fs, node, buf, clock_now());
		role = DB_ROLE_MAIN;
	}
	bool excluded = role == DB_ROLE_MAIN && buf && off == 0 && db_is_excluded(fs, node);
	pthread_rwlock_unlock(&fs->tree);
	if (!io->db)
		return 0;
	if (role == DB_ROLE_MAIN)
		io->event = BARRIER_DB_WRITE;
	else if (!buf)
		io->event = BARRIER_WAL_TRUNCATE;
	else
		io->event = off < WAL_HEADER ? BARRIER_WAL_HEAD : BARRIER_WAL_WRITE;
	if (role == DB_ROLE_MAIN)
		db_wal_look(fs, io->db, false, clock_now());
	pthread_mutex_lock(&fs->dbs.lock);
	/* One that was none when we found it. */
	if (role == DB_ROLE_MAIN && db_at(fs, io->db)->mode == DB_UNKNOWN && buf && off == 0 && db_is_header(buf, len))
		db_judge(fs, db_at(fs, io->db), excluded);
	if (io->event == BARRIER_WAL_HEAD && off == 0)
		db_at(fs, io->db)->wal_odd = !is_wal_header(buf, len);
	int rc = settle(fs, io->db, io->event);
	pthread_mutex_unlock(&fs->dbs.lock);
	return rc;
}

void db_change_end(struct clawfs *fs, const struct db_io *io, const void *buf, size_t len, off_t off, int pid,
		   msec_t now)
{
	if (!io->db)
		return;
	struct db *d = db_at(fs, io->db);
	pthread_mutex_lock(&fs->dbs.lock);
	bool by_steward = fs->dbs.lease->node && pid == fs->dbs.lease->pid;
	policy_barrier_after(&d->barrier, io->event, now);
	bool wal = io->event != BARRIER_DB_WRITE;
	/* The first write to the database since its log was written: somebody checkpoints. */
	if (!wal && d->mode == DB_WAL && d->barrier.wal_seq != d->copied_seq)
		stats_count(fs->stats, STATS_CHECKPOINTS, 1);
	if (!wal)
		d->copied_seq = d->barrier.wal_seq;
	msec_t due = policy_visit_due(&d->visit, &fs->dbs.rules);
	if (wal)
		d->wal_bytes = buf && (uint64_t)off + len > d->wal_bytes ? (uint64_t)off + len
			       : buf					 ? d->wal_bytes
									 : (uint64_t)off;
	else if (buf && off == 0 && len > SQLITE_READ_VERSION)
		db_note_mode(d, buf, pid, by_steward, now);
	/* The steward's own doings are no reason to come again. */
	if (!by_steward)
		policy_visit_active(&d->visit, wal, d->wal_bytes, now);
	bool sooner = policy_visit_due(&d->visit, &fs->dbs.rules) < due;
	pthread_mutex_unlock(&fs->dbs.lock);
	if (sooner)
		steward_wake(fs);
}

int db_fsync(struct clawfs *fs, uint32_t node, bool data_only, msec_t now)
{
	uint32_t index;

	pthread_rwlock_rdlock(&fs->tree);
	enum db_role role = db_role_of(fs, node, &index);
	bool blind = role != DB_ROLE_NONE && main_is_passed(fs, index);
	uint32_t slot = role == DB_ROLE_NONE ? 0 : file_peek(fs, node);
	bool in_ram = false;
	if (slot) {
		pthread_rwlock_rdlock(&file_at(fs, slot)->lock);
		in_ram = file_at(fs, slot)->place != PLACE_LOWER;
		pthread_rwlock_unlock(&file_at(fs, slot)->lock);
		file_put(fs, slot);
	}
	pthread_rwlock_unlock(&fs->tree);
	if (role == DB_ROLE_NONE)
		return 0;
	/* In RAM, below a directory that is: flushed as any file. */
	if (in_ram)
		return 0;
	if (role == DB_ROLE_WAL)
		db_wal_look(fs, index, true, now);
	enum barrier_event event = role == DB_ROLE_MAIN ? BARRIER_DB_FSYNC : BARRIER_WAL_FSYNC;
	struct db *d = db_at(fs, index);
	pthread_mutex_lock(&fs->dbs.lock);
	/* Where writes to the database do not pass here, there is no barrier to wait for; and what is not a WAL has its
	 * fsync like any file. */
	if (blind && role == DB_ROLE_MAIN)
		policy_barrier_after(&d->barrier, BARRIER_DB_WRITE, now);
	bool full = role == DB_ROLE_WAL && (blind || d->wal_odd);
	int rc = settle(fs, index, full ? BARRIER_DB_WRITE : event);
	msec_t due = policy_barrier_due(&d->barrier, fs->config.sqlite_sync_ms);
	uint64_t asked = d->barrier.fsyncs_asked, elided = d->barrier.fsyncs_elided;
	if (rc == 0)
		policy_barrier_after(&d->barrier, event, now);
	stats_count(fs->stats, STATS_DB_ASKED, d->barrier.fsyncs_asked - asked);
	stats_count(fs->stats, STATS_DB_ELIDED, d->barrier.fsyncs_elided - elided);
	bool sooner = policy_barrier_due(&d->barrier, fs->config.sqlite_sync_ms) < due;
	pthread_mutex_unlock(&fs->dbs.lock);
	if (sooner)
		steward_wake(fs);
	/* Its attributes too: not what the barrier did. */
	return rc < 0 ? rc : role == DB_ROLE_WAL || data_only;
}

/* --- deadlines ----------------------------------------------------------- */

msec_t db_tick(struct clawfs *fs, msec_t now)
{
	uint32_t end = shm_table_end(fs->dbs.table);
	msec_t next = MSEC_NEVER;

	pthread_mutex_lock(&fs->dbs.lock);
	for (uint32_t i = 1; i < end; i++) {
		struct db *d = db_at(fs, i);
		if (!d->node)
			continue;
		if (policy_barrier_due(&d->barrier, fs->config.sqlite_sync_ms) <= now &&
		    !(d->syncing & BARRIER_SYNC_WAL))
			sync_locked(fs, i, BARRIER_SYNC_WAL);
		if (d->node)
			next = msec_min(next, policy_barrier_due(&d->barrier, fs->config.sqlite_sync_ms));
	}
	pthread_mutex_unlock(&fs->dbs.lock);
	return next;
}

static bool db_is_below(struct clawfs *fs, uint32_t index, uint32_t node)
{
	pthread_rwlock_rdlock(&fs->tree);
	pthread_mutex_lock(&fs->dbs.lock);
	uint32_t at = db_at(fs, index)->node;
	pthread_mutex_unlock(&fs->dbs.lock);
	bool below = node_is_below(&fs->nodes, at, node);
	pthread_rwlock_unlock(&fs->tree);
	return below;
}

int db_flush_below(struct clawfs *fs, uint32_t node)
{
	uint32_t end = shm_table_end(fs->dbs.table);
	int error = 0;

	for (uint32_t i = 1; i < end; i++) {
		if (node != NODE_ROOT && !db_is_below(fs, i, node))
			continue;
		db_wal_look(fs, i, true, clock_now());
		int rc = db_settle_before(fs, i, BARRIER_RENAME);
		if (rc < 0)
			error = rc;
	}
	return error;
}
