#include "fs/dbimpl.h"
#include "fs/fs.h"
#include "fs/steward.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAL_SUFFIX "-wal"

void db_rules_set(struct clawfs *fs)
{
	fs->dbs.rules = (struct visit_rules){
		.enforce = fs->config.sqlite_wal,
		.checkpoint_ms = fs->config.sqlite_checkpoint_ms,
		.wal_limit = fs->config.sqlite_wal_limit,
	};
}

int dbs_init(struct clawfs *fs)
{
	pthread_mutex_init(&fs->dbs.lock, NULL);
	pthread_cond_init(&fs->dbs.changed, NULL);
	fs->dbs.lease = &fs->shared->lease;
	db_rules_set(fs);
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

bool db_is_excluded(struct clawfs *fs, uint32_t node)
{
	char path[PATH_MAX];

	if (!fs->config.sqlite_wal || node_path(&fs->nodes, node, path, sizeof(path)) < 0)
		return true;
	return policy_globs_match(&fs->config.sqlite_exclude, path);
}

void db_judge(struct clawfs *fs, struct db *d, bool excluded)
{
	d->excluded = excluded;
	d->barrier.mode = excluded ? SYNC_FULL : (enum policy_sync)fs->config.sqlite_sync;
	d->trouble[0] = '\0';
}

void db_note_mode(struct db *d, const uint8_t *header, int pid, bool by_steward, msec_t now)
{
	enum db_mode mode = header[SQLITE_READ_VERSION] == 2 ? DB_WAL : DB_ROLLBACK;

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
		d->excluded = !header || db_is_excluded(fs, node);
		policy_barrier_init(&d->barrier, d->excluded ? SYNC_FULL : (enum policy_sync)fs->config.sqlite_sync);
		policy_visit_init(&d->visit, now);
		/* What was written before we looked may be anywhere. */
		d->barrier.db_seq = 1;
		policy_barrier_observed(&d->barrier, true);
		d->wal_new = true;
		if (header)
			db_note_mode(d, header, 0, false, now);
		__atomic_store_n(&n->db, index, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&fs->dbs.lock);
	if (index && !known)
		steward_wake(fs);
	return index;
}

int dbs_revive(struct clawfs *fs, msec_t now)
{
	int rc = shm_table_revive(fs->dbs.table);
	uint32_t end = rc < 0 ? 0 : shm_table_end(fs->dbs.table);

	for (uint32_t i = 1; i < end; i++) {
		struct db *d = db_at(fs, i);
		if (!shm_table_is_live(fs->dbs.table, i))
			continue;
		if (!d->node || !shm_table_is_live(fs->nodes.table, d->node) || fs_node(fs, d->node)->db != i) {
			d->node = 0;
			shm_table_free(fs->dbs.table, i);
			continue;
		}
		d->syncing = 0;
		memset(&d->seen, 0, sizeof(d->seen));
		policy_barrier_revive(&d->barrier);
		policy_visit_init(&d->visit, now);
		d->wal_new = true;
		if (!d->excluded)
			policy_visit_mode(&d->visit, d->mode == DB_ROLLBACK, now);
	}
	end = rc < 0 ? 0 : shm_table_end(fs->nodes.table);
	for (uint32_t i = NODE_FIRST; i < end; i++) {
		struct node *n = fs_node(fs, i);
		if (shm_table_is_live(fs->nodes.table, i) && n->db && db_at(fs, n->db)->node != i)
			n->db = 0;
	}
	return rc;
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

/* The record of the node, 0 if none, and if it has several names: those may have a WAL each, so it is handled as any
 * file is. Tree lock held. */
static uint32_t db_of(struct clawfs *fs, uint32_t node)
{
	const struct node *n = node ? fs_node(fs, node) : NULL;

	if (!n || !n->name || name_at(&fs->nodes, n->name)->sibling)
		return 0;
	return __atomic_load_n(&n->db, __ATOMIC_ACQUIRE);
}

/* Of a name that is no database's own. */
static enum db_role role_beside(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *db)
{
	size_t len = strlen(name), suffix = strlen(WAL_SUFFIX);
	char base[NAME_MAX + 1];

	*db = 0;
	if (len <= suffix || len > NAME_MAX || strcmp(name + len - suffix, WAL_SUFFIX) != 0)
		return DB_ROLE_NONE;
	memcpy(base, name, len - suffix);
	base[len - suffix] = '\0';
	*db = db_of(fs, node_find(&fs->nodes, parent, base));
	return *db ? DB_ROLE_WAL : DB_ROLE_NONE;
}

enum db_role db_role_of_name(struct clawfs *fs, uint32_t parent, const char *name, uint32_t *db)
{
	*db = db_of(fs, node_find(&fs->nodes, parent, name));
	return *db ? DB_ROLE_MAIN : role_beside(fs, parent, name, db);
}

enum db_role db_role_of(struct clawfs *fs, uint32_t node, uint32_t *db)
{
	const struct node *n = fs_node(fs, node);
	const struct name *name;

	*db = db_of(fs, node);
	if (*db)
		return DB_ROLE_MAIN;
	if (!n->name)
		return DB_ROLE_NONE;
	name = name_at(&fs->nodes, n->name);
	/* Two names may belong to two databases. */
	return name->sibling ? DB_ROLE_NONE : role_beside(fs, name->parent, name->text, db);
}

/* --- names --------------------------------------------------------------- */

int db_link_begin(struct clawfs *fs, uint32_t node)
{
	uint32_t index;

	pthread_rwlock_rdlock(&fs->tree);
	enum db_role role = db_role_of(fs, node, &index);
	pthread_rwlock_unlock(&fs->tree);
	if (role == DB_ROLE_NONE)
		return 0;
	db_wal_look(fs, index, true, clock_now());
	return db_settle_before(fs, index, BARRIER_RENAME);
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
	enum db_role role = db_role_of(fs, node, &index);
	pthread_rwlock_unlock(&fs->tree);
	if (role == DB_ROLE_NONE)
		return 0;
	pthread_mutex_lock(&fs->dbs.lock);
	bool taken = db_at(fs, index)->taken;
	pthread_mutex_unlock(&fs->dbs.lock);
	if (taken && check_taken(fs, index) < 0)
		return -EBUSY;
	if (role != DB_ROLE_WAL)
		return 0;
	return db_settle_before(fs, index, BARRIER_WAL_HEAD);
}

int db_name_begin(struct clawfs *fs, uint32_t parent, const char *name, enum barrier_event event)
{
	uint32_t index;

	pthread_rwlock_rdlock(&fs->tree);
	enum db_role role = db_role_of_name(fs, parent, name, &index);
	pthread_rwlock_unlock(&fs->tree);
	if (role == DB_ROLE_NONE || (role == DB_ROLE_MAIN && event != BARRIER_RENAME))
		return 0;
	if (event == BARRIER_RENAME)
		db_wal_look(fs, index, true, clock_now());
	return db_settle_before(fs, index, event);
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
	struct db_lease *lease = fs->dbs.lease;
	uint32_t index;

	if (db_role_of_name(fs, parent, name, &index) == DB_ROLE_WAL) {
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

	enum db_role role = db_role_of_name(fs, parent, name, &index);

	if (role == DB_ROLE_NONE)
		return;
	pthread_mutex_lock(&fs->dbs.lock);
	struct db *d = db_at(fs, index);
	/* The WAL beside it may be another one now, which was written under another name. */
	policy_barrier_wal_new(&d->barrier);
	policy_barrier_observed(&d->barrier, true);
	d->wal_new = true;
	d->wal_odd = d->asked = false;
	d->wal_bytes = 0;
	if (role == DB_ROLE_MAIN && d->mode != DB_UNKNOWN) {
		db_judge(fs, d, db_is_excluded(fs, d->node));
		policy_visit_mode(&d->visit, d->mode == DB_ROLLBACK && !d->excluded, clock_now());
	}
	pthread_mutex_unlock(&fs->dbs.lock);
}

bool db_fenced(struct clawfs *fs, int pid)
{
	return fs->dbs.lease->node && pid == fs->dbs.lease->pid && fs->dbs.lease->fenced;
}
