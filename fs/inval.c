#include "fs/inval.h"
#include "fs/fs.h"
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>

struct notice {
	struct notice *next;
	uint32_t node; /* of an entry, its directory */
	bool content;
	char name[]; /* "": the node itself */
};

void inval_init(struct clawfs *fs)
{
	struct inval *n = &fs->inval;

	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->wake, NULL);
	n->first = n->last = NULL;
	n->running = n->stop = false;
}

static struct notice *take(struct inval *n)
{
	struct notice *notice = n->first;

	if (notice) {
		n->first = notice->next;
		if (!n->first)
			n->last = NULL;
	}
	return notice;
}

void inval_fini(struct clawfs *fs)
{
	struct notice *notice;

	while ((notice = take(&fs->inval)))
		free(notice);
	pthread_cond_destroy(&fs->inval.wake);
	pthread_mutex_destroy(&fs->inval.lock);
}

/* -ENOENT says that the kernel does not know it, any other error that the mount is gone. */
static void say(struct clawfs *fs, const struct notice *notice)
{
	if (notice->name[0]) {
		fuse_lowlevel_notify_inval_entry(fs->session, notice->node, notice->name, strlen(notice->name));
		fuse_lowlevel_notify_inval_inode(fs->session, notice->node, -1, 0);
	} else {
		fuse_lowlevel_notify_inval_inode(fs->session, notice->node, notice->content ? 0 : -1, 0);
	}
}

static void *notifier(void *arg)
{
	struct clawfs *fs = arg;
	struct inval *n = &fs->inval;
	struct notice *notice;

	pthread_mutex_lock(&n->lock);
	while (!n->stop) {
		notice = take(n);
		if (!notice) {
			pthread_cond_wait(&n->wake, &n->lock);
			continue;
		}
		pthread_mutex_unlock(&n->lock);
		say(fs, notice);
		free(notice);
		pthread_mutex_lock(&n->lock);
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

int inval_start(struct clawfs *fs)
{
	if (pthread_create(&fs->inval.thread, NULL, notifier, fs) != 0)
		return -EAGAIN;
	pthread_mutex_lock(&fs->inval.lock);
	fs->inval.running = true;
	pthread_mutex_unlock(&fs->inval.lock);
	return 0;
}

void inval_stop(struct clawfs *fs)
{
	struct inval *n = &fs->inval;

	pthread_mutex_lock(&n->lock);
	bool running = n->running;
	n->running = false;
	n->stop = true;
	pthread_cond_signal(&n->wake);
	pthread_mutex_unlock(&n->lock);
	if (running)
		pthread_join(n->thread, NULL);
}

static void add(struct clawfs *fs, uint32_t node, const char *name, bool content)
{
	struct inval *n = &fs->inval;
	size_t len = strlen(name) + 1;

	pthread_mutex_lock(&n->lock);
	struct notice *notice = n->running ? malloc(sizeof(*notice) + len) : NULL;
	if (notice) {
		*notice = (struct notice){.node = node, .content = content};
		memcpy(notice->name, name, len);
		if (n->last)
			n->last->next = notice;
		else
			n->first = notice;
		n->last = notice;
		pthread_cond_signal(&n->wake);
	}
	pthread_mutex_unlock(&n->lock);
}

void inval_inode(struct clawfs *fs, uint32_t node, bool content)
{
	add(fs, node, "", content);
}

void inval_entry(struct clawfs *fs, uint32_t parent, const char *name)
{
	add(fs, parent, name, false);
}

void inval_store(struct clawfs *fs, uint32_t node, void *buf, size_t len, off_t off)
{
	struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(len);

	bytes.buf[0].mem = buf;
	/* Without it the kernel asks when the time comes. */
	fuse_lowlevel_notify_store(fs->session, node, off, &bytes, 0);
}
