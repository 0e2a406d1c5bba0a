#include "fs/takeover.h"
#include "fs/crashpoint.h"
#include "fs/fileimpl.h"
#include "fs/rotate.h"
#include "fs/takeoverimpl.h"
#include "fs/view.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <unistd.h>

bool takeover_is_node(struct clawfs *fs, uint32_t node)
{
	return shm_table_is_live(fs->nodes.table, node) && fs_node(fs, node)->type;
}

/* Whether the record is a file's content state. */
static bool is_file(struct clawfs *fs, uint32_t slot)
{
	if (!shm_table_is_live(fs->files, slot))
		return false;
	uint32_t node = file_at(fs, slot)->node;
	return node && takeover_is_node(fs, node) && fs_node(fs, node)->file == slot;
}

/* --- descriptors --------------------------------------------------------- */

/* What a record says is its: no more when it is not open. What two records say is theirs was on its way from one to the
 * other. */
static void claim(struct fdset *left, int *fd)
{
	if (*fd < 0)
		return;
	if (fdset_has(left, *fd))
		fdset_remove(left, *fd);
	else
		*fd = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
}

static void claim_files(struct clawfs *fs, struct fdset *left)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		if (!is_file(fs, i))
			continue;
		bool one = f->fd_rd == f->fd_wr;
		claim(left, &f->fd_rd);
		if (one)
			f->fd_wr = f->fd_rd;
		else
			claim(left, &f->fd_wr);
		claim(left, &f->fd_up);
	}
}

static void claim_nodes(struct clawfs *fs, struct fdset *left)
{
	uint32_t end = shm_table_end(fs->nodes.table);

	for (uint32_t i = NODE_FIRST; i < end; i++) {
		if (!takeover_is_node(fs, i))
			continue;
		claim(left, &fs_node(fs, i)->lower_fd);
		claim(left, &fs_node(fs, i)->upper_fd);
	}
}

int takeover_keep(struct clawfs *fs)
{
	int rc = fdset_open(&fs->kept);

	if (rc < 0)
		return rc;
	claim_nodes(fs, &fs->kept);
	claim_files(fs, &fs->kept);
	return 0;
}

/* Closes what no record owns: it was just opened, or about to be closed. */
static int sort_descriptors(struct clawfs *fs)
{
	struct fdset left;
	int rc = fdset_open(&left);

	if (rc == 0) {
		for (int fd = 0; fd < fs->kept.size; fd++)
			if (fdset_has(&fs->kept, fd))
				fdset_remove(&left, fd);
		/* This worker's own, which is older than the look. */
		if (fs->spawner.pid)
			fdset_remove(&left, fs->spawner.sock);
		claim_nodes(fs, &left);
		claim_files(fs, &left);
		fdset_close(&left);
	}
	fdset_free(&left);
	return rc;
}

/* --- requests ------------------------------------------------------------ */

/* References that the kernel has given back, and that were not booked yet. */
static void settle_forget(struct clawfs *fs, struct request *r)
{
	while (r->gave > 0) {
		uint32_t i = r->gave - 1, node = r->given[i];
		__atomic_store_n(&r->gave, i, __ATOMIC_RELEASE);
		if (node < NODE_FIRST || !takeover_is_node(fs, node))
			continue;
		struct node *n = fs_node(fs, node);
		n->nlookup -= r->count[i] < n->nlookup ? r->count[i] : n->nlookup;
	}
	r->unique = 0;
	r->state = REQUEST_FREE;
}

/* An append that the process died in is done when all of it is there, and else undone. */
static void settle_append(struct clawfs *fs, struct request *r)
{
	struct file *f = file_at(fs, r->slot);
	bool upper = place_is_upper(f->place);
	int fd = upper ? f->fd_up : f->fd_wr;
	off_t size = file_fd_size(fd);

	if (size >= r->off + r->len)
		r->state = REQUEST_DONE;
	else if (size > r->off && (upper ? ftruncate(fd, r->off) : fs->lower.sys->ftruncate(fd, r->off)) < 0)
		log_error(fs->log, "cannot take back a piece of a line");
	r->slot = 0;
}

/* A handle that was not complete is none: its number may become another's. */
static void settle_handle(struct clawfs *fs, struct request *r)
{
	bool live = r->handle && shm_table_is_live(fs->handles, r->handle);
	uint32_t state = live ? ((struct handle *)shm_table_at(fs->handles, r->handle))->state : HANDLE_NONE;

	if (r->opcode == FUSE_RELEASE || r->opcode == FUSE_RELEASEDIR) {
		if (state == HANDLE_CLOSING && r->state == REQUEST_BEGUN)
			r->state = REQUEST_DONE;
	} else if (state != HANDLE_OPEN) {
		r->handle = 0;
	}
}

static void settle_requests(struct clawfs *fs)
{
	for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *r = &fs->shared->requests.record[i];
		if (r->state == REQUEST_FREE)
			continue;
		settle_handle(fs, r);
		if (r->state != REQUEST_BEGUN)
			continue;
		if (r->opcode == FUSE_FORGET || r->opcode == FUSE_BATCH_FORGET)
			settle_forget(fs, r);
		else if (r->opcode == FUSE_WRITE && r->slot && is_file(fs, r->slot))
			settle_append(fs, r);
	}
}

/* --- open files ---------------------------------------------------------- */

/* Content states with nothing counted yet but for a reference of ours, which keeps them until the end. */
static void revive_files(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		if (!shm_table_is_live(fs->files, i))
			continue;
		if (!is_file(fs, i)) {
			shm_table_free(fs->files, i);
			continue;
		}
		rwlock_init(&f->lock);
		f->orphan = fs_node(fs, f->node)->flags & NODE_ORPHAN;
		f->refs = 1 + (place_is_upper(f->place) && !f->orphan);
		f->readers = f->writers = f->cached = 0;
		f->ram = 0;
		/* A sync of its last flush may have failed, and the kernel tells of it once. */
		f->distrust |= f->policy.state == POLICY_FLUSHING || f->policy.state == POLICY_REDIRTIED;
		f->saves += f->in_flight_saves;
		f->in_flight_saves = 0;
	}
	end = shm_table_end(fs->nodes.table);
	for (uint32_t i = NODE_FIRST; i < end; i++)
		if (takeover_is_node(fs, i) && fs_node(fs, i)->file && !is_file(fs, fs_node(fs, i)->file))
			fs_node(fs, i)->file = 0;
}

static void revive_handles(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->handles);

	for (uint32_t i = 1; i < end; i++) {
		struct handle *h = shm_table_at(fs->handles, i);
		if (!shm_table_is_live(fs->handles, i))
			continue;
		bool good = h->state == HANDLE_OPEN && takeover_is_node(fs, h->node) &&
			    (!h->file || (is_file(fs, h->file) && file_at(fs, h->file)->node == h->node));
		if (!good) {
			/* Closed is closed, and its version complete. */
			if (h->state == HANDLE_CLOSING && h->rewriting && h->file && is_file(fs, h->file))
				file_unmark(fs, h->file);
			h->rewriting = false;
			h->state = HANDLE_NONE;
			shm_table_free(fs->handles, i);
		} else if (h->file) {
			struct file *f = file_at(fs, h->file);
			int acc = (int)h->flags & O_ACCMODE;
			f->refs++;
			f->readers += acc != O_WRONLY;
			f->writers += acc != O_RDONLY;
			f->cached += h->cached;
		}
	}
	/* How many rewrite each file. */
	uint32_t files = shm_table_end(fs->files);
	for (uint32_t i = 1; i < files; i++)
		if (is_file(fs, i))
			policy_file_revive(&file_at(fs, i)->policy);
	for (uint32_t i = 1; i < end; i++) {
		const struct handle *h = shm_table_at(fs->handles, i);
		if (shm_table_is_live(fs->handles, i) && h->file && h->rewriting)
			policy_file_revive_rewriter(&file_at(fs, h->file)->policy);
	}
}

/* --- the end ------------------------------------------------------------- */

/* What is counted over all files and nodes. */
static void count_again(struct clawfs *fs, msec_t now)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		if (!is_file(fs, i))
			continue;
		bool upper = place_is_upper(f->place);
		/* Whether its last change reached the lower is not known. */
		if (upper && !f->orphan && f->policy.state == POLICY_CLEAN) {
			policy_file_touch(&f->policy, now);
			if (f->policy.cls != CLASS_VOLATILE)
				policy_file_demand(&f->policy);
		} else if ((!upper || f->orphan) && f->policy.state == POLICY_DIRTY) {
			policy_file_drop(&f->policy);
		}
		if (upper)
			file_account(fs, f, file_fd_size(f->fd_up));
		fs->sched.files += upper && !f->orphan;
		sched_update(fs, i, f);
	}
	fs->sched.times_pending = 0;
	end = shm_table_end(fs->nodes.table);
	for (uint32_t i = NODE_FIRST; i < end; i++)
		if (takeover_is_node(fs, i) && fs_node(fs, i)->name && fs_node(fs, i)->flags & NODE_TIMES)
			fs->sched.times_pending++;
}

/* Gives back our references, and frees what nobody needs. */
static void let_go(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++)
		if (is_file(fs, i))
			file_put(fs, i);
	end = shm_table_end(fs->nodes.table);
	for (uint32_t i = NODE_FIRST; i < end; i++) {
		if (!takeover_is_node(fs, i))
			continue;
		struct node *n = fs_node(fs, i);
		if (!n->name && !(n->flags & NODE_ORPHAN)) {
			node_unset_own(&fs->nodes, i);
			n->flags &= ~(uint32_t)(NODE_LOWER | NODE_UPPER);
			n->flags |= NODE_ORPHAN;
		}
		node_reap(&fs->nodes, i);
	}
#ifdef CLAWFS_DEBUG
	for (uint32_t i = NODE_FIRST; i < end; i++)
		if (takeover_is_node(fs, i))
			clawfs_check(fs, i);
#endif
}

/* Whether a request that will come again is going to tell the kernel of the node. */
static bool is_promised(struct clawfs *fs, uint32_t node)
{
	for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
		const struct request *r = &fs->shared->requests.record[i];
		if (r->state == REQUEST_FREE)
			continue;
		if (r->node == node)
			return true;
		for (uint32_t k = 0; k < r->gave; k++)
			if (r->given[k] == node)
				return true;
	}
	return false;
}

/* References that the kernel gave back to the very read(2) in which a worker died are never heard of again. What they
 * hold open, if it has no name, would stay open for ever, so the kernel is asked whether it still knows it. The node
 * stays: its number must not become another's while a reference may be on its way back. */
static void ask_kernel(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->nodes.table);

	for (uint32_t i = NODE_FIRST; i < end; i++) {
		struct node *n = fs_node(fs, i);
		if (!takeover_is_node(fs, i) || !(n->flags & NODE_ORPHAN) || n->file || n->children ||
		    (n->lower_fd < 0 && n->upper_fd < 0) || is_promised(fs, i))
			continue;
		if (fuse_lowlevel_notify_inval_inode(fs->session, i, -1, 0) == -ENOENT) {
			node_close_fd(&fs->nodes, &n->lower_fd);
			node_close_fd(&fs->nodes, &n->upper_fd);
		}
	}
}

/* What has a name can be opened again; what a descriptor shows may have been removed or replaced under it. */
static void forget_directories(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->nodes.table);

	for (uint32_t i = NODE_FIRST; i < end; i++) {
		struct node *n = fs_node(fs, i);
		if (!takeover_is_node(fs, i) || !n->name)
			continue;
		node_close_fd(&fs->nodes, &n->lower_fd);
		node_close_fd(&fs->nodes, &n->upper_fd);
		if (!n->lineage)
			n->lineage = node_new_lineage(&fs->nodes);
	}
}

int takeover(struct clawfs *fs, msec_t now)
{
	struct name_drop drop[2];

	stats_revive(fs->stats);
	requests_revive(&fs->shared->requests);
	/* The steward is dead, but requests of it may come again. */
	fs->shared->lease.fenced = true;
	/* Names of this worker's own, which none before has given. */
	fs->upper.next_work = (uint64_t)fs->shared->generation << 40;

	sched_fini(&fs->sched);
	CRASH_POINT("takeover: begin");
	int rc = sched_init(&fs->sched);
	if (rc == 0)
		rc = shm_table_revive(fs->files);
	if (rc == 0)
		rc = shm_table_revive(fs->handles);
	if (rc == 0)
		rc = nodes_revive(&fs->nodes, drop, intent_names(fs, drop));
	if (rc == 0)
		rc = dbs_revive(fs, now);
	if (rc == 0)
		rc = sort_descriptors(fs);
	if (rc < 0)
		return rc;
	forget_directories(fs);
	/* So that its end is gone through from the beginning. */
	uint32_t victim = intent_victim(fs);
	if (victim)
		fs_node(fs, victim)->flags &= ~(uint32_t)NODE_ORPHAN;
	CRASH_POINT("takeover: files");
	revive_files(fs);
	CRASH_POINT("takeover: requests");
	settle_requests(fs);
	CRASH_POINT("takeover: handles");
	revive_handles(fs);
	rotate_takeover(fs);
	nodes_list_ram(&fs->nodes);
	CRASH_POINT("takeover: intent");
	intent_settle(fs, drop, now);
	view_takeover(fs);
	CRASH_POINT("takeover: look");
	takeover_look(fs, now);
	CRASH_POINT("takeover: count");
	nodes_list_ram(&fs->nodes);
	count_again(fs, now);
	CRASH_POINT("takeover: clean");
	upper_empty_work(&fs->upper);
	lower_temp_remove(&fs->lower);
	let_go(fs);
	CRASH_POINT("takeover: ask the kernel");
	/* Without a mount there is nobody to ask, and the descriptor's number may be another's. */
	if (!fs->shared->ending)
		ask_kernel(fs);
	CRASH_POINT("takeover: end");
	log_info(fs->log, "worker number %u has taken over", fs->shared->generation);
	return 0;
}
