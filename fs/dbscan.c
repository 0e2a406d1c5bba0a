#include "fs/dbscan.h"
#include "fs/fs.h"
#include "fs/names.h"
#include "fs/steward.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deeper trees hold no database of an application's. */
#define DEPTH_MAX 64
/* A database is made of pages of at least so much (fileformat2.html 1.2). */
#define PAGE_MIN 512

struct scan {
	struct clawfs *fs;
	unsigned depth;
	size_t len;	     /* of path */
	char path[PATH_MAX]; /* of the directory, then of what is looked at */
	int dirfd;
};

static bool has_sibling(struct clawfs *fs, int dirfd, const char *name, const char *suffix)
{
	char other[NAME_MAX + 1];
	struct stat st;

	return snprintf(other, sizeof(other), "%s%s", name, suffix) <= NAME_MAX &&
	       fs->lower.sys->fstatat(dirfd, other, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* Whether a hot journal may be one of several, of a transaction over attached databases. It names their
 * super-journal by its whole path, which leads through the mount, and SQLite takes a journal whose super-journal is not
 * there for one that was committed: judged here, it would be thrown away and the database be left torn. The steward or
 * the application comes upon it through the mount. (fileformat2.html 3: the record at the journal's end closes with the
 * journal's magic.) */
static bool names_super_journal(struct clawfs *fs, int dirfd, const char *name)
{
	static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
	char journal[NAME_MAX + 1];
	uint8_t end[sizeof(magic)];
	struct stat st;
	bool named = false;

	if (snprintf(journal, sizeof(journal), "%s-journal", name) > NAME_MAX)
		return false;
	int fd = lower_open_own(&fs->lower, dirfd, journal, O_RDONLY);
	if (fd < 0)
		return false;
	/* An empty one, or one that a rollback has ended, has none; one that cannot be read is left alone as well. */
	if (fs->lower.sys->fstat(fd, &st) < 0)
		named = true;
	else if (st.st_size > (off_t)sizeof(end))
		named = lower_pread(&fs->lower, fd, end, sizeof(end), st.st_size - (off_t)sizeof(end)) !=
				(ssize_t)sizeof(end) ||
			memcmp(end, magic, sizeof(magic)) == 0;
	close(fd);
	return named;
}

/* The node at `path`; 0 when it cannot be had. Tree lock for writing. */
static uint32_t node_of_path(struct clawfs *fs, const char *path)
{
	uint32_t node = NODE_ROOT;

	while (*path && node) {
		char part[NAME_MAX + 1];
		size_t len = strcspn(path, "/");
		uint32_t next = 0;
		memcpy(part, path, len);
		part[len] = '\0';
		path += len + (path[len] == '/');
		node = name_resolve(fs, node, part, &next) == 0 ? next : 0;
	}
	return node;
}

/* Reads the header; false when there is none. */
static bool read_header(const struct scan *s, const char *name, uint8_t *header)
{
	int fd = lower_open_own(&s->fs->lower, s->dirfd, name, O_RDONLY);
	bool ok =
		fd >= 0 && lower_pread(&s->fs->lower, fd, header, SQLITE_HEADER_SIZE, 0) == (ssize_t)SQLITE_HEADER_SIZE;

	if (fd >= 0)
		close(fd);
	return ok && db_is_header(header, SQLITE_HEADER_SIZE);
}

/* What there is goes into the stats; trouble, once, into the log. */
static void show(struct scan *s, const uint8_t *header, const char *trouble, bool changed, bool taken)
{
	struct clawfs *fs = s->fs;

	if (trouble)
		log_warn(fs->log,
			 "database %s: left as it is: %s; if it should be one, see: sqlite3 FILE 'PRAGMA "
			 "integrity_check'",
			 s->path, trouble);
	pthread_rwlock_wrlock(&fs->tree);
	uint32_t node = node_of_path(fs, s->path);
	uint32_t index = node ? db_recognise(fs, node, header, clock_now()) : 0;
	if (index)
		db_found(fs, index, trouble, changed, taken);
	pthread_rwlock_unlock(&fs->tree);
}

/* The index of a write-ahead log that a steward has left on the lower who was killed in a visit. Through the mount it
 * would be another file than the one in RAM once that is unlinked, and who opens the database then would not share it
 * with who has it open: commits would be lost. */
static void remove_index(struct scan *s, const char *name)
{
	struct flock any = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char index[NAME_MAX + 1];

	if (snprintf(index, sizeof(index), "%s-shm", name) > NAME_MAX)
		return;
	int fd = lower_open_own(&s->fs->lower, s->dirfd, index, O_RDWR);
	if (fd < 0)
		return;
	/* Not one that a program uses that has opened the database on the lower. */
	if (fcntl(fd, F_GETLK, &any) == 0 && any.l_type == F_UNLCK)
		s->fs->lower.sys->unlinkat(s->dirfd, index, 0);
	close(fd);
}

static void take_database(struct scan *s, const char *name, uint8_t *header, const struct stat *st)
{
	struct clawfs *fs = s->fs;
	const char *why = NULL;
	struct steward_reply reply = {0};

	bool leave = !fs->config.sqlite_wal || policy_globs_match(&fs->config.sqlite_exclude, s->path);
	/* In WAL mode and at rest is how we leave it. */
	bool taken = db_wal_is_taken(fs, s->dirfd, name);
	if (taken)
		why = "a program that had it open in an earlier mount still writes to it; end that program";
	else
		remove_index(s, name);
	if (!leave && !taken && !names_super_journal(fs, s->dirfd, name) &&
	    (header[18] != 2 || header[19] != 2 || has_sibling(fs, s->dirfd, name, "-journal") ||
	     has_sibling(fs, s->dirfd, name, "-wal"))) {
		int rc = steward_visit_lower(fs, s->dirfd, name, VISIT_ENFORCE | VISIT_TRUNCATE, &reply);
		if (rc < 0)
			remove_index(s, name);
		if (rc < 0)
			why = rc == -EPIPE ? "SQLite crashed on it" : strerror(-rc);
		else if (reply.rc != STEWARD_OK)
			why = reply.why;
	}
	/* Another mode is not another content (steward.c). */
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
	if (reply.changed && reply.frames == 0)
		fs->lower.sys->utimensat(s->dirfd, name, times, AT_SYMLINK_NOFOLLOW);
	show(s, (!why || taken) && read_header(s, name, header) ? header : NULL, why, reply.changed, taken);
}

static bool is_database_name(struct clawfs *fs, const char *path)
{
	static const char *const beside[] = {"-wal", "-journal"};
	size_t len = strlen(path);

	for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++)
		if (len > strlen(beside[i]) && strcmp(path + len - strlen(beside[i]), beside[i]) == 0)
			return false;
	return policy_classify(&fs->config.rules, path) == CLASS_SQLITE;
}

static int scan_dir(struct scan *s, int dirfd);

static int scan_entry(void *arg, const char *name, uint64_t ino, unsigned char type)
{
	struct scan *s = arg;
	struct clawfs *fs = s->fs;
	struct stat st;
	size_t len = s->len, add = strlen(name);

	(void)ino;
	if (type != DT_DIR && type != DT_REG && type != DT_UNKNOWN)
		return 0;
	if (s->len + 1 + add >= sizeof(s->path) || fs->lower.sys->fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (s->len == 0 && strcmp(name, LOWER_TEMP_DIR) == 0)
		return 0;
	s->len += (size_t)snprintf(s->path + s->len, sizeof(s->path) - s->len, "%s%s", s->len ? "/" : "", name);
	if (S_ISDIR(st.st_mode) && s->depth < DEPTH_MAX) {
		int dirfd = lower_open(&fs->lower, s->dirfd, name, O_RDONLY | O_DIRECTORY, 0);
		int outer = s->dirfd;
		if (dirfd >= 0) {
			s->depth++;
			s->dirfd = dirfd;
			scan_dir(s, dirfd);
			s->dirfd = outer;
			s->depth--;
			close(dirfd);
		}
	} else if (S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size > 0) {
		uint8_t header[SQLITE_HEADER_SIZE];
		bool named = is_database_name(fs, s->path);
		/* Whatever its name, it is made of whole pages: spares reading most files. */
		bool candidate = st.st_size >= PAGE_MIN && st.st_size % PAGE_MIN == 0;
		if (candidate && read_header(s, name, header))
			take_database(s, name, header, &st);
		else if (named)
			show(s, NULL, "no SQLite database, or an encrypted one", false, false);
	}
	s->len = len;
	s->path[len] = '\0';
	return 0;
}

static int scan_dir(struct scan *s, int dirfd)
{
	return lower_list(&s->fs->lower, dirfd, scan_entry, s);
}

void dbscan_enforce(struct clawfs *fs)
{
	struct scan *s = calloc(1, sizeof(*s));

	if (!s)
		return;
	s->fs = fs;
	s->dirfd = fs->lower.root;
	scan_dir(s, fs->lower.root);
	free(s);
}

int dbscan_fold(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->dbs.table);
	int error = 0;

	for (uint32_t i = 1; i < end; i++) {
		const struct db *d = db_at(fs, i);
		struct steward_reply reply = {0};
		char name[NAME_MAX + 1] = "";
		int dirfd = -1;

		pthread_rwlock_wrlock(&fs->tree);
		const struct node *n = d->node && !d->excluded ? fs_node(fs, d->node) : NULL;
		if (n && n->name && !name_at(&fs->nodes, n->name)->sibling && n->flags & NODE_LOWER) {
			const struct name *at = name_at(&fs->nodes, n->name);
			snprintf(name, sizeof(name), "%s", at->text);
			dirfd = dir_lower(fs, at->parent);
		}
		pthread_rwlock_unlock(&fs->tree);
		if (dirfd < 0 || !has_sibling(fs, dirfd, name, "-wal") || names_super_journal(fs, dirfd, name))
			continue;
		/* Programs that the mount was taken away from may go on writing there: theirs is what they write. */
		if (db_wal_is_taken(fs, dirfd, name)) {
			log_warn(fs->log,
				 "database %s: its write-ahead log is still written to and stays beside it; end its "
				 "programs",
				 name);
			continue;
		}
		int rc = steward_visit_lower(fs, dirfd, name, VISIT_CHECKPOINT | VISIT_TRUNCATE, &reply);
		if (rc == 0 && reply.rc != STEWARD_OK)
			rc = -EIO;
		if (rc < 0) {
			log_warn(fs->log,
				 "database %s: its write-ahead log could not be folded in and stays beside it: %s",
				 name, reply.why[0] ? reply.why : strerror(-rc));
			error = rc;
		}
	}
	return error;
}
