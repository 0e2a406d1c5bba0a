#include "fs/underway.h"
#include "fs/fs.h"
#include "fs/serve.h"
#include <assert.h>
#include <string.h>

void underway_init(struct underway *u)
{
	*u = (struct underway){0};
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->ended, NULL);
}

void underway_fini(struct underway *u)
{
	pthread_cond_destroy(&u->ended);
	pthread_mutex_destroy(&u->lock);
}

bool underway_is(struct clawfs *fs, uint32_t parent, const char *name)
{
	for (const struct underway_name *n = fs->underway.first; n; n = n->next)
		if (n->parent == parent && strcmp(n->name, name) == 0)
			return true;
	return false;
}

void underway_begin(struct clawfs *fs, struct underway_name *name)
{
	assert(!underway_is(fs, name->parent, name->name));
	name->next = fs->underway.first;
	fs->underway.first = name;
}

void underway_end(struct clawfs *fs, struct underway_name *name)
{
	struct underway *u = &fs->underway;
	struct underway_name **p = &u->first;

	while (*p != name)
		p = &(*p)->next;
	*p = name->next;
	pthread_mutex_lock(&u->lock);
	u->ends++;
	pthread_cond_broadcast(&u->ended);
	pthread_mutex_unlock(&u->lock);
}

void underway_wait(struct clawfs *fs)
{
	struct underway *u = &fs->underway;

	pthread_mutex_lock(&u->lock);
	uint64_t ends = u->ends;
	pthread_mutex_unlock(&u->lock);
	pthread_rwlock_unlock(&fs->tree);
	serve_waits(fs);
	pthread_mutex_lock(&u->lock);
	while (u->ends == ends)
		pthread_cond_wait(&u->ended, &u->lock);
	pthread_mutex_unlock(&u->lock);
	pthread_rwlock_wrlock(&fs->tree);
}

void underway_lock(struct clawfs *fs, uint32_t parent, const char *name)
{
	pthread_rwlock_wrlock(&fs->tree);
	while (underway_is(fs, parent, name))
		underway_wait(fs);
}
