#include "fs/db.h"
#include "fs/fs.h"
#include "fs/steward.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where the header says how commits are made: 2 is WAL (SQLite, fileformat2.html 1.3.3). */
#define READ_VERSION 19
#define WAL_SUFFIX   "-wal"

int dbs_init(struct clawfs *fs)
{
	pthread_mutex_init(&fs->dbs.lock, NULL);
	pthread_cond_init(&fs->dbs.changed, NULL);
	fs->dbs.rules = (struct visit_rules){
		.enforce = fs->config.sqlite_wal,
		.checkpoint_ms = fs->config.sqlite_checkpoint_ms,
		.wal_limit = fs->config.sqlite_wal_limit,
	};
	return shm_table_create(&fs->dbs.table, "clawfs-dbs", sizeof(struct db), 1, DBS_MAX);
}

void dbs_fini(struct clawfs *fs)
{
	shm_table_destroy(fs->dbs.table);
	fs->dbs.table = NULL;
	pthread_cond_destroy(&fs->dbs.changed);
	pthread_mutex_destroy(&fs->dbs.lock);
}

struct db *db_at(struct clawfs *fs, uint32_t index)
{
	return shm_table_at(fs->dbs.table, index);
}

bool db_wal_name(const char *name, char *out)
{
	return snprintf(out, NAME_MAX + 1, "%s" WAL_SUFFIX, name) <= NAME_MAX;
}

/* --- recognising --------------------------------------------------------- */

bool db_is_header(const void *header, size_t len)
{
	return len >= SQLITE_HEADER_SIZE && memcmp(header, SQLITE_MAGIC, sizeof(SQLITE_MAGIC)) == 0;
}

static bool is_excluded(struct clawfs *fs, uint32_t node)
{
	char path[PATH_MAX];

	if (!fs->config.sqlite_wal || node_path(&fs->nodes, node, path, sizeof(path)) < 0)
		return true;
	return policy_globs_match(&fs->config.sqlite_exclude, path);
}

/* Under its present name the database is ours to handle, or not. Everything of it is durable. dbs.lock held. */
static void judge(struct clawfs *fs, struct db *d, bool excluded)
{
	d->excluded = excluded;
	d->barrier.mode = excluded ? SYNC_FULL : (enum policy_sync)fs->config.sqlite_sync;
	d->trouble[0] = '\0';
}

/* dbs.lock held. */
static void note_mode(struct db *d, const uint8_t *header, int pid, bool by_steward, msec_t now)
{
	enum db_mode mode = header[READ_VERSION] == 2 ? DB_WAL : DB_ROLLBACK;

	if (mode == d->mode)
		return;
	if (by_steward) {
		d->enforced++;
		d->enforced_at = now;
	} else if (pid) {
		char path[32];
		d->changed_by = pid;
		d->changed_at = now;
		memset(d->changed_comm, 0, sizeof(d->changed_comm));
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			ssize_t n = read(fd, d->changed_comm, sizeof(d->changed_comm) - 1);
			if (n > 0 && d->changed_comm[n - 1] == '\n')
				d->changed_comm[n - 1] = '\0';
			close(fd);
		}
	}
	d->mode = mode;
	if (!d->excluded)
		policy_visit_mode(&d->visit, mode == DB_ROLLBACK, now);
}

uint32_t db_recognise(struct clawfs *fs, uint32_t node, const void *header, msec_t now)
{
	struct node *n = fs_node(fs, node);

	/* A temporary one, of no name. */
	if (!n->name)
		return 0;
	pthread_mutex_lock(&fs->dbs.lock);
	uint32_t index = __atomic_load_n(&n->db, __ATOMIC_ACQUIRE);
	bool known = index != 0;
	if (!index)
		index = shm_table_alloc(fs->dbs.table);
	if (index && !known) {
		struct db *d = db_at(fs, index);
		d->node = node;
		d->excluded = !header || is_excluded(fs, node);
		policy_barrier_init(&d->barrier, d->excluded ? SYNC_FULL : (enum policy_sync)fs->config.sqlite_sync);
		policy_visit_init(&d->visit, now);
		/* What was written before we looked may be anywhere. */
		d->barrier.db_seq = 1;
		policy_barrier_observed(&d->barrier, true);
		d->wal_new = true;
		if (header)
			note_mode(d, header, 0, false, now);
		__atomic_store_n(&n->db, index, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&fs->dbs.lock);
	if (index && !known)
		steward_wake(fs);
	return index;
}

void db_probe(struct clawfs *fs, uint32_t node, int fd, msec_t now)
{
	uint8_t header[SQLITE_HEADER_SIZE];
	struct stat st;

	/* Whole pages: spares reading most files. */
	if (__atomic_load_n(&fs_node(fs, node)->db, __ATOMIC_ACQUIRE) || fs->lower.sys->fstat(fd, &st) < 0 ||
	    st.st_size == 0 || st.st_size % 512 != 0)
		return;
	if (lower_pread(&fs->lower, fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	    db_is_header(header, sizeof(header)))
		db_recognise(fs, node, header, now);
}

void db_found(struct clawfs *fs, uint32_t index, const char *trouble, bool changed, bool taken)
{
	struct db *d = db_at(fs, index);

	pthread_mutex_lock(&fs->dbs.lock);
	if (trouble)
		snprintf(d->trouble, sizeof(d->trouble), "%s", trouble);
	d->taken = taken;
	if (changed) {
		d->enforced++;
		d->enforced_at = clock_now();
	}
	pthread_mutex_unlock(&fs->dbs.lock);
}

void db_gone(struct clawfs *fs, uint32_t node)
{
	struct node *n = fs_node(fs, node);

	if (!n->db)
		return;
	pthread_mutex_lock(&fs->dbs.lock);
	struct db *d = db_at(fs, n->db);
	/* A sync that runs frees it when it has ended. */
	d->node = 0;
	if (!d->syncing)
		shm_table_free(fs->dbs.table, n->db);
	__atomic_store_n(&n->db, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&fs->dbs.lock);
}

/* --- who is who ---------------------------------------------------------- */

enum role { ROLE_NONE, ROLE_MAIN, ROLE_WAL };

/* The record of the node, 0 if none, and if it has several names: those may have a WAL each, so it is handled as any
 * file is. Tree lock held. */
static uint32_t db_of(struct clawfs *fs, uint32_t node)
{
	const struct node *n = node ? fs_node(fs, node) : NULL;

	if (!n || !n->name || name_at(&fs->nodes, n->name)->sibling)
		return 0;
	return __atomic_load_n(&n->db, __ATOMIC_ACQUIRE);
}

/* What the name below `parent` is to a database. Tree lock held. */
static enum role role_of_name(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *db)
{
	size_t len = strlen(name), suffix = strlen(WAL_SUFFIX);
	uint32_t node = node_find(&fs->nodes, parent, name);
	char base[NAME_MAX + 1];

	*db = db_of(fs, node);
	if (*db)
		return ROLE_MAIN;
	if (len <= suffix || len > NAME_MAX || strcmp(name + len - suffix, WAL_SUFFIX) != 0)
		return ROLE_NONE;
	memcpy(base, name, len - suffix);
	base[len - suffix] = '\0';
	*db = db_of(fs, node_find(&fs->nodes, parent, base));
	return *db ? ROLE_WAL : ROLE_NONE;
}

static enum role role_of(struct clawfs *fs, uint32_t node, uint32_t *db)
{
	const struct node *n = fs_node(fs, node);
	const struct name *name;

	*db = db_of(fs, node);
	if (*db)
		return ROLE_MAIN;
	if (!n->name)
		return ROLE_NONE;
	name = name_at(&fs->nodes, n->name);
	/* Two names may belong to two databases. */
	return name->sibling ? ROLE_NONE : role_of_name(fs, name->parent, name->text, db);
}

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
		int dirfd = dir_lower(fs, dir);
		t.fd = dirfd < 0 ? dirfd : lower_open_own(&fs->lower, dirfd, name, O_RDONLY);
	}
	return t;
}

/* After a sync that failed the kernel calls its pages clean, and the next would succeed with nothing written: they are
 * made dirty again. What the kernel writes past us cannot be held still for that. */
static int rewrite_target(struct clawfs *fs, const struct target *t)
{
	if (!t->slot)
		return lower_rewrite(&fs->lower, t->fd);
	struct file *f = file_at(fs, t->slot);
	pthread_rwlock_wrlock(&f->lock);
	int rc = f->io == FILE_IO_PASSED ? -EIO : lower_rewrite(&fs->lower, t->fd);
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
	if (role_of(fs, node, &index) == ROLE_WAL)
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
			note_mode(db_at(fs, index), header, 0, false, now);
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

	if (t.fd == -EAGAIN)
		rc = file_materialise(fs, t.slot, clock_now());
	else if (t.fd >= 0 && again)
		rc = rewrite_target(fs, &t);
	/* What has no name any more need not outlive a power cut. */
	else if (t.fd < 0 && t.fd != -ENOENT)
		rc = t.fd;
	if (rc == 0 && t.fd >= 0)
		rc = fs->lower.sys->fdatasync(t.fd) < 0 ? -errno : 0;
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
	policy_barrier_sync_end(&d->barrier, what, token, rc, clock_now(), fs->config.retry_ms,
				fs->config.retry_max_ms);
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

/* The same, for who does not hold it. */
static int settle_before(struct clawfs *fs, uint32_t index, enum barrier_event event)
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

/* Tells the barrier what the kernel has written to the database's WAL past us. `asked`: it is to be synced, so
 * something was written, although times are too coarse to show it. No lock held. */
static void wal_look(struct clawfs *fs, uint32_t index, bool asked, msec_t when)
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

	if (role_of(fs, node, &index) != ROLE_WAL)
		return true;
	pthread_mutex_lock(&fs->dbs.lock);
	bool lax = db_at(fs, index)->lax;
	pthread_mutex_unlock(&fs->dbs.lock);
	return !lax;
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
	enum role role = role_of(fs, node, &io->db);
	/* The first page of a new one. */
	if (role == ROLE_NONE && buf && off == 0 && db_is_header(buf, len)) {
		io->db = db_recognise(fs, node, buf, clock_now());
		role = ROLE_MAIN;
	}
	bool excluded = role == ROLE_MAIN && buf && off == 0 && is_excluded(fs, node);
	pthread_rwlock_unlock(&fs->tree);
	if (!io->db)
		return 0;
	if (role == ROLE_MAIN)
		io->event = BARRIER_DB_WRITE;
	else if (!buf)
		io->event = BARRIER_WAL_TRUNCATE;
	else
		io->event = off < WAL_HEADER ? BARRIER_WAL_HEAD : BARRIER_WAL_WRITE;
	if (role == ROLE_MAIN)
		wal_look(fs, io->db, false, clock_now());
	pthread_mutex_lock(&fs->dbs.lock);
	/* One that was none when we found it. */
	if (role == ROLE_MAIN && db_at(fs, io->db)->mode == DB_UNKNOWN && buf && off == 0 && db_is_header(buf, len))
		judge(fs, db_at(fs, io->db), excluded);
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
	bool by_steward = fs->dbs.lease.node && pid == fs->dbs.lease.pid;
	policy_barrier_after(&d->barrier, io->event, now);
	bool wal = io->event != BARRIER_DB_WRITE;
	msec_t due = policy_visit_due(&d->visit, &fs->dbs.rules);
	if (wal)
		d->wal_bytes = buf && (uint64_t)off + len > d->wal_bytes ? (uint64_t)off + len
			       : buf					 ? d->wal_bytes
									 : (uint64_t)off;
	else if (buf && off == 0 && len > READ_VERSION)
		note_mode(d, buf, pid, by_steward, now);
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
	enum role role = role_of(fs, node, &index);
	bool blind = role != ROLE_NONE && main_is_passed(fs, index);
	uint32_t slot = role == ROLE_NONE ? 0 : file_peek(fs, node);
	bool in_ram = false;
	if (slot) {
		pthread_rwlock_rdlock(&file_at(fs, slot)->lock);
		in_ram = file_at(fs, slot)->place != PLACE_LOWER;
		pthread_rwlock_unlock(&file_at(fs, slot)->lock);
		file_put(fs, slot);
	}
	pthread_rwlock_unlock(&fs->tree);
	if (role == ROLE_NONE)
		return 0;
	/* In RAM, below a directory that is: flushed as any file. */
	if (in_ram)
		return 0;
	if (role == ROLE_WAL)
		wal_look(fs, index, true, now);
	enum barrier_event event = role == ROLE_MAIN ? BARRIER_DB_FSYNC : BARRIER_WAL_FSYNC;
	struct db *d = db_at(fs, index);
	pthread_mutex_lock(&fs->dbs.lock);
	/* Where writes to the database do not pass here, there is no barrier to wait for; and what is not a WAL has its
	 * fsync like any file. */
	if (blind && role == ROLE_MAIN)
		policy_barrier_after(&d->barrier, BARRIER_DB_WRITE, now);
	bool full = role == ROLE_WAL && (blind || d->wal_odd);
	int rc = settle(fs, index, full ? BARRIER_DB_WRITE : event);
	msec_t due = policy_barrier_due(&d->barrier, fs->config.sqlite_sync_ms);
	if (rc == 0)
		policy_barrier_after(&d->barrier, event, now);
	bool sooner = policy_barrier_due(&d->barrier, fs->config.sqlite_sync_ms) < due;
	pthread_mutex_unlock(&fs->dbs.lock);
	if (sooner)
		steward_wake(fs);
	/* Its attributes too: not what the barrier did. */
	return rc < 0 ? rc : role == ROLE_WAL || data_only;
}

/* --- names --------------------------------------------------------------- */

int db_link_begin(struct clawfs *fs, uint32_t node)
{
	uint32_t index;

	pthread_rwlock_rdlock(&fs->tree);
	enum role role = role_of(fs, node, &index);
	pthread_rwlock_unlock(&fs->tree);
	if (role == ROLE_NONE)
		return 0;
	wal_look(fs, index, true, clock_now());
	return settle_before(fs, index, BARRIER_RENAME);
}

bool db_wal_is_taken(struct clawfs *fs, int dirfd, const char *name)
{
	char wal[NAME_MAX + 1];

	if (!db_wal_name(name, wal))
		return false;
	int fd = lower_open_own(&fs->lower, dirfd, wal, O_RDONLY);
	bool taken = fd >= 0 && lower_is_written(fd);
	if (fd >= 0)
		close(fd);
	return taken;
}

/* Looks again whether the database is still taken. */
static int check_taken(struct clawfs *fs, uint32_t index)
{
	struct db *d = db_at(fs, index);
	int rc = 0;

	pthread_rwlock_rdlock(&fs->tree);
	const struct node *n = d->node ? fs_node(fs, d->node) : NULL;
	const struct name *name = n && n->name ? name_at(&fs->nodes, n->name) : NULL;
	int dirfd = name ? dir_lower(fs, name->parent) : -1;
	if (dirfd >= 0 && db_wal_is_taken(fs, dirfd, name->text))
		rc = -EBUSY;
	pthread_rwlock_unlock(&fs->tree);
	if (rc == 0) {
		pthread_mutex_lock(&fs->dbs.lock);
		d->taken = false;
		d->trouble[0] = '\0';
		pthread_mutex_unlock(&fs->dbs.lock);
	}
	return rc;
}

int db_open_begin(struct clawfs *fs, uint32_t node)
{
	uint32_t index;

	pthread_rwlock_rdlock(&fs->tree);
	enum role role = role_of(fs, node, &index);
	pthread_rwlock_unlock(&fs->tree);
	if (role == ROLE_NONE)
		return 0;
	pthread_mutex_lock(&fs->dbs.lock);
	bool taken = db_at(fs, index)->taken;
	pthread_mutex_unlock(&fs->dbs.lock);
	if (taken && check_taken(fs, index) < 0)
		return -EBUSY;
	if (role != ROLE_WAL)
		return 0;
	return settle_before(fs, index, BARRIER_WAL_HEAD);
}

int db_name_begin(struct clawfs *fs, uint32_t parent, const char *name, enum barrier_event event)
{
	uint32_t index;

	pthread_rwlock_rdlock(&fs->tree);
	enum role role = role_of_name(fs, parent, name, &index);
	pthread_rwlock_unlock(&fs->tree);
	if (role == ROLE_NONE || (role == ROLE_MAIN && event != BARRIER_RENAME))
		return 0;
	if (event == BARRIER_RENAME)
		wal_look(fs, index, true, clock_now());
	return settle_before(fs, index, event);
}

/* `name` is `base`, or that and one of SQLite's suffixes. */
static bool is_of_group(const char *name, const char *base)
{
	static const char *const suffixes[] = {"", WAL_SUFFIX, "-shm", "-journal"};
	size_t len = strlen(base);

	if (strncmp(name, base, len) != 0)
		return false;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++)
		if (strcmp(name + len, suffixes[i]) == 0)
			return true;
	return false;
}

void db_name_changes(struct clawfs *fs, uint32_t parent, const char *name, int pid)
{
	struct db_lease *lease = &fs->dbs.lease;
	uint32_t index;

	if (role_of_name(fs, parent, name, &index) == ROLE_WAL) {
		struct db *d = db_at(fs, index);
		pthread_mutex_lock(&fs->dbs.lock);
		policy_barrier_after(&d->barrier, BARRIER_WAL_UNLINK, 0);
		d->wal_bytes = 0;
		d->wal_new = d->wal_odd = d->asked = false;
		pthread_mutex_unlock(&fs->dbs.lock);
	}
	if (!lease->node || pid == lease->pid)
		return;
	const struct node *n = fs_node(fs, lease->node);
	const struct name *base = n->name ? name_at(&fs->nodes, n->name) : NULL;
	if (!base || (base->parent == parent && is_of_group(name, base->text)))
		lease->fenced = true;
}

void db_name_made(struct clawfs *fs, uint32_t parent, const char *name)
{
	uint32_t index;

	enum role role = role_of_name(fs, parent, name, &index);

	if (role == ROLE_NONE)
		return;
	pthread_mutex_lock(&fs->dbs.lock);
	struct db *d = db_at(fs, index);
	/* The WAL beside it may be another one now, which was written under another name. */
	policy_barrier_wal_new(&d->barrier);
	policy_barrier_observed(&d->barrier, true);
	d->wal_new = true;
	d->wal_odd = d->asked = false;
	d->wal_bytes = 0;
	if (role == ROLE_MAIN && d->mode != DB_UNKNOWN) {
		judge(fs, d, is_excluded(fs, d->node));
		policy_visit_mode(&d->visit, d->mode == DB_ROLLBACK && !d->excluded, clock_now());
	}
	pthread_mutex_unlock(&fs->dbs.lock);
}

bool db_fenced(struct clawfs *fs, int pid)
{
	return fs->dbs.lease.node && pid == fs->dbs.lease.pid && fs->dbs.lease.fenced;
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
		wal_look(fs, i, true, clock_now());
		int rc = settle_before(fs, i, BARRIER_RENAME);
		if (rc < 0)
			error = rc;
	}
	return error;
}
