#include "fs/dirty.h"
#include <limits.h>
#include <string.h>

/* A copy of what one line needs. */
struct held {
	struct policy_file policy;
	uint64_t ram;
	char path[PATH_MAX];
};

static bool held_read(struct clawfs *fs, uint32_t slot, struct held *held)
{
	struct file *f = file_at(fs, slot);
	bool found = false;

	pthread_rwlock_rdlock(&fs->tree);
	pthread_mutex_lock(&fs->attach);
	if (f->refs > 0) {
		pthread_mutex_lock(&fs->sched.lock);
		held->policy = f->policy;
		held->ram = f->ram;
		pthread_mutex_unlock(&fs->sched.lock);
		found = held->ram + (held->policy.state != POLICY_CLEAN) > 0 &&
			node_path(&fs->nodes, f->node, held->path, sizeof(held->path)) == 0;
	}
	pthread_mutex_unlock(&fs->attach);
	pthread_rwlock_unlock(&fs->tree);
	return found;
}

static const char *waits_for(const struct policy_file *p)
{
	if (p->state == POLICY_CLEAN || p->cls == CLASS_VOLATILE)
		return "-";
	if (p->state != POLICY_DIRTY)
		return "flushing";
	if (p->failures > 0)
		return "refused";
	return p->rewriting > 0 ? "rewritten" : "due";
}

static void path_text(struct listing *out, const char *path)
{
	while (*path) {
		size_t plain = strcspn(path, "\n\\");
		listing_text(out, "%.*s", (int)plain, path);
		path += plain;
		if (*path)
			listing_text(out, "%s", *path++ == '\n' ? "\\012" : "\\134");
	}
	listing_text(out, "\n");
}

void dirty_list(struct clawfs *fs, struct listing *out, msec_t now)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++) {
		struct held held;
		if (!held_read(fs, i, &held))
			continue;
		msec_t first = msec_min(held.policy.first, held.policy.in_flight_first);
		listing_text(out, "%s %s %llu %lld ", policy_class_name(held.policy.cls), waits_for(&held.policy),
			     (unsigned long long)held.ram,
			     (long long)(first == MSEC_NEVER || first > now ? 0 : now - first));
		path_text(out, held.path);
	}
}

/* The node at the path, or 0: what has no node is not in RAM. */
static uint32_t find_path(struct clawfs *fs, const char *path, size_t len)
{
	uint32_t node = NODE_ROOT;

	pthread_rwlock_rdlock(&fs->tree);
	while (node && len > 0) {
		char name[NAME_MAX + 1];
		const char *slash = memchr(path, '/', len);
		size_t n = slash ? (size_t)(slash - path) : len;
		if (n > NAME_MAX) {
			node = 0;
			break;
		}
		if (n > 0) {
			memcpy(name, path, n);
			name[n] = '\0';
			node = node_find(&fs->nodes, node, name);
		}
		n += slash != NULL;
		path += n;
		len -= n;
	}
	pthread_rwlock_unlock(&fs->tree);
	return node;
}

int dirty_flush(struct clawfs *fs, const char *path, size_t len)
{
	static const char wal[] = "-wal";
	const size_t tail = sizeof(wal) - 1;

	/* A log of commits is durable as part of its database. */
	if (len > tail && memcmp(path + len - tail, wal, tail) == 0)
		len -= tail;
	uint32_t node = find_path(fs, path, len);
	return node ? sched_flush_below(fs, node, CAUSE_SYNC) : 0;
}
