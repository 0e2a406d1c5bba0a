/* One operation on both sides, and whether they did the same. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static struct res on_mount, on_plain;

static bool side_open(struct side *s, const char *root)
{
	struct stat st;

	s->root = root;
	s->run = -1;
	s->rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < NHANDLES; i++)
		s->fd[i] = -1;
	if (s->rootfd < 0 || fstat(s->rootfd, &st) < 0) {
		fprintf(stderr, "model: %s: %s\n", root, strerror(errno));
		return false;
	}
	s->dev = st.st_dev;
	return true;
}

bool sides_open(struct side *mount, const char *mount_root, struct side *plain, const char *plain_root)
{
	*mount = (struct side){.label = "mount", .is_mount = true};
	*plain = (struct side){.label = "plain"};
	if (!side_open(mount, mount_root) || !side_open(plain, plain_root))
		return false;
	compare_probe(plain);
	return true;
}

bool sides_alive(const struct side *mount)
{
	struct statvfs st;

	return fstatvfs(mount->rootfd, &st) == 0;
}

static void run_name(char *buf, size_t size, int run)
{
	snprintf(buf, size, "r%d", run);
}

/* The next number whose directories nobody has used. */
static int fresh_number(const struct side *mount, const struct side *plain)
{
	int run = mount->run;
	char path[32];

	do
		run_name(path, sizeof(path), ++run);
	while (faccessat(mount->rootfd, path, F_OK, 0) == 0 || faccessat(plain->rootfd, path, F_OK, 0) == 0);
	return run;
}

static bool fresh(struct side *s, int run, char *why)
{
	const char *const parents[] = {"logs", "workspace"};
	char path[32];

	s->run = run;
	for (int i = 0; i < NHANDLES; i++)
		s->fd[i] = -1;
	run_name(path, sizeof(path), run);
	for (int i = 0; i < 3; i++) {
		if (mkdirat(s->rootfd, i < 2 ? parents[i] : path, 0755) == 0 || (i < 2 && errno == EEXIST))
			continue;
		say(why, "mkdir %s/%s: %s", s->root, i < 2 ? parents[i] : path, strerror(errno));
		return false;
	}
	return true;
}

static bool fifo(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static bool regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool handle_fits(const struct side *s, int fd, unsigned flags)
{
	if (fd < 0)
		return false;
	if ((flags & OPF_IO) && fifo(fd))
		return false;
	return !(flags & OPF_REGULAR) || regular(fd);
}

/* Has the operation something to act on? Decided on the plain side, for both. */
static bool applicable(const struct side *mount, const struct side *plain, const struct op *op)
{
	const struct op_info *info = &op_info[op->kind];
	bool opens = op->kind == OP_OPEN || op->kind == OP_CREAT || op->kind == OP_TMPFILE;

	if (info->args[0] == 'h' && !opens &&
	    (mount->fd[op->a[0]] < 0 || !handle_fits(plain, plain->fd[op->a[0]], info->flags)))
		return false;
	return !(info->flags & OPF_HANDLE2) ||
	       (mount->fd[op->a[2]] >= 0 && handle_fits(plain, plain->fd[op->a[2]], info->flags));
}

static void run_side(struct side *s, const struct op *op, struct res *r)
{
	const struct op_info *info = &op_info[op->kind];
	struct stat before, after;
	int fd = -1;

	res_reset(r);
	if ((info->flags & OPF_MODIFY) && fstat(s->fd[op->a[0]], &before) == 0)
		fd = s->fd[op->a[0]];
	info->run(s, op, r);
	if (fd >= 0 && r->ret >= 0 && fstat(fd, &after) == 0 && !time_explicit(before.st_mtim) &&
	    time_cmp(after.st_mtim, before.st_mtim) < 0)
		note(r, "the mtime went back from %ld.%09ld to %ld.%09ld", (long)before.st_mtim.tv_sec,
		     before.st_mtim.tv_nsec, (long)after.st_mtim.tv_sec, after.st_mtim.tv_nsec);
}

static bool compare_results(const struct op *op, char *why)
{
	const struct res *m = &on_mount, *p = &on_plain;
	size_t at = 0;

	if (m->note[0] || p->note[0]) {
		say(why, "%s: %s", m->note[0] ? "mount" : "plain", m->note[0] ? m->note : p->note);
	} else if (m->ret != p->ret || m->err != p->err) {
		say(why, "mount: %ld (%s)  plain: %ld (%s)", m->ret, errno_name(m->err), p->ret, errno_name(p->err));
	} else if (m->len != p->len || (m->len > 0 && memcmp(m->data, p->data, m->len) != 0)) {
		while (at < m->len && at < p->len && m->data[at] == p->data[at])
			at++;
		say(why, "mount: %zu bytes  plain: %zu bytes, different from byte %zu on: ", m->len, p->len, at);
		for (int side = 0; side < 2; side++) {
			const struct res *r = side ? p : m;
			size_t n = strlen(why);

			n += (size_t)snprintf(why + n, WHY_SIZE - n, side ? "  plain" : "mount");
			for (size_t i = at; i < at + 16 && i < r->len; i++)
				n += (size_t)snprintf(why + n, WHY_SIZE - n, " %02x", r->data[i]);
		}
	} else {
		return true;
	}
	return false;
}

/* What the operation acted on, behind whatever symlink. */
static void forget_target(const struct side *plain, const char *path)
{
	int fd = openat(plain->rootfd, path, O_PATH | O_CLOEXEC);
	struct ident id;

	if (fd < 0)
		return;
	ident_get(&id, fd, NULL);
	ident_forget(&id);
	close(fd);
}

static bool compare_path(const struct side *mount, const struct side *plain, long name, bool vague, char *why)
{
	char path[PATH_MAX], reason[WHY_SIZE];
	struct ident id;
	struct stat m, p;
	int em, ep;

	name_path(plain, name, path);
	em = fstatat(mount->rootfd, path, &m, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
	ep = fstatat(plain->rootfd, path, &p, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
	if (em != ep) {
		say(why, "lstat %s afterwards: mount %s, plain %s", name_alias(name), errno_name(em), errno_name(ep));
		return false;
	}
	if (em)
		return true;
	if (vague)
		forget_target(plain, path);
	ident_get(&id, plain->rootfd, path);
	if (pair_check(mount, &m, &p, &id, PAIR_INODES, reason))
		return true;
	say(why, "lstat %s afterwards: %s", name_alias(name), reason);
	return false;
}

static bool compare_handle(const struct side *mount, const struct side *plain, long h, bool vague, char *why)
{
	char reason[WHY_SIZE];
	struct ident id;
	struct stat m, p;

	if ((mount->fd[h] < 0) != (plain->fd[h] < 0)) {
		say(why, "handle %ld is open on one side only", h);
		return false;
	}
	if (mount->fd[h] < 0)
		return true;
	if (fstat(mount->fd[h], &m) < 0 || fstat(plain->fd[h], &p) < 0) {
		say(why, "fstat of handle %ld afterwards: %s", h, errno_name(errno));
		return false;
	}
	ident_get(&id, plain->fd[h], NULL);
	if (vague)
		ident_forget(&id);
	if (pair_check(mount, &m, &p, &id, PAIR_INODES, reason))
		return true;
	say(why, "fstat of handle %ld afterwards: %s", h, reason);
	return false;
}

static void close_handle(struct side *s, long h)
{
	if (s->fd[h] >= 0)
		close(s->fd[h]);
	s->fd[h] = -1;
}

/* The plain side goes first: what its file system does not have is not asked of
 * the mount. The mount may be without O_TMPFILE (the kernel has it for FUSE
 * since 6.1); then the plain side's is closed again. */
static bool step(struct side *mount, struct side *plain, const struct op *op, char *why)
{
	const struct op_info *info = &op_info[op->kind];
	bool same, vague;

	if (!applicable(mount, plain, op))
		return true;
	res_reset(&on_plain);
	if (!(info->flags & OPF_MOUNT)) {
		run_side(plain, op, &on_plain);
		if (on_plain.err == EOPNOTSUPP || on_plain.err == ENOSYS) {
			if (op->kind == OP_TMPFILE)
				close_handle(mount, op->a[0]);
			return true;
		}
	}
	run_side(mount, op, &on_mount);
	if (op->kind == OP_TMPFILE && on_mount.err == EOPNOTSUPP && on_plain.err == 0) {
		close_handle(plain, op->a[0]);
		return true;
	}
	same = compare_results(op, why);
	vague = on_plain.forget || on_mount.forget;
	for (int i = 0; same && info->args[i]; i++) {
		if (info->args[i] == 'p')
			same = compare_path(mount, plain, op->a[i], vague, why);
		else if (info->args[i] == 'h')
			same = compare_handle(mount, plain, op->a[i], vague, why);
	}
	return same;
}

static void close_all(struct side *mount, struct side *plain)
{
	for (long h = 0; h < NHANDLES; h++) {
		close_handle(mount, h);
		close_handle(plain, h);
	}
}

static bool finish(struct side *mount, struct side *plain, struct failure *f)
{
	f->phase = PHASE_TREES;
	if (!run_compare(mount, plain, PAIR_INODES, f->why))
		return false;
	f->phase = PHASE_PURGE;
	if (!run_purge(mount, plain, f->why))
		return false;
	f->phase = PHASE_PURGED;
	return run_compare(mount, plain, PAIR_INODES, f->why);
}

bool run_list(struct side *mount, struct side *plain, const struct oplist *list, const struct options *o,
	      struct failure *f)
{
	int run = fresh_number(mount, plain);
	bool same;

	ident_reset();
	watchdog_list(list, o->seed);
	f->step = 0;
	f->phase = PHASE_STEP;
	same = fresh(mount, run, f->why) && fresh(plain, run, f->why);
	while (same && f->step < list->n) {
		f->phase = PHASE_STEP;
		watchdog_step(f->step);
		same = step(mount, plain, &list->v[f->step], f->why);
		if (same && o->every && (f->step + 1) % o->every == 0) {
			f->phase = PHASE_TREES;
			same = run_compare(mount, plain, PAIR_INODES, f->why);
		}
		f->step += same;
	}
	watchdog_step(f->step);
	close_all(mount, plain);
	same = same && finish(mount, plain, f);
	watchdog_list(NULL, 0);
	return same;
}
