#include "fs/reload.h"
#include "fs/layers.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "fs/steward.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void say(void *arg, enum layers_word word, const char *line)
{
	const struct clawfs *fs = arg;

	log_warn(fs->log, "SIGHUP: %s%s", line, word == LAYERS_ERROR ? "; kept as it was" : "");
}

/* The application's file may have a newer version in RAM than the lower has, and the lower is where it is read. */
static void sync_json(struct clawfs *fs, enum policy_profile profile)
{
	const char *file = layers_json_name(profile);
	uint32_t node, slot = 0;

	pthread_rwlock_wrlock(&fs->tree);
	if (*file && name_resolve(fs, NODE_ROOT, file, &node) == 0)
		slot = file_peek(fs, node);
	pthread_rwlock_unlock(&fs->tree);
	if (!slot)
		return;
	int rc = file_sync(fs, slot, NULL, false, clock_now());
	if (rc < 0)
		log_warn(fs->log, "SIGHUP: %s could not be flushed: %s; an older version is read", file, strerror(-rc));
	file_put(fs, slot);
}

static void keep(struct settings *new, const struct settings *old, const struct policy_option *option)
{
	policy_option_copy(&new->config, &old->config, option);
	if (option->type == OPTION_RULE)
		memcpy(new->rules, old->rules, sizeof(new->rules));
	else if (option->type == OPTION_GLOB)
		memcpy(new->excluded, old->excluded, sizeof(new->excluded));
	else
		new->origin[option - policy_options()] = old->origin[option - policy_options()];
}

static void value_text(const struct policy_config *config, const struct policy_option *option, char *out, size_t size)
{
	out[0] = '\0';
	if (policy_option_count(config, option))
		policy_option_text(config, option, 0, out, size);
}

/* Says what has changed, and takes back what cannot. How many may be applied. */
static unsigned compare(struct clawfs *fs, struct settings *new, const struct settings *old)
{
	char before[POLICY_TEXT_MAX], after[POLICY_TEXT_MAX], place[4400];
	unsigned count = 0;

	for (const struct policy_option *o = policy_options(); o->name; o++) {
		if (policy_option_same(&new->config, &old->config, o))
			continue;
		value_text(&old->config, o, before, sizeof(before));
		value_text(&new->config, o, after, sizeof(after));
		layers_origin_text(fs->layers, new, layers_origin(new, o, 0), o, place, sizeof(place));
		if (o->live) {
			log_info(fs->log, "SIGHUP: %s is now %s, was %s (%s)", o->name, after, before, place);
			count++;
			continue;
		}
		log_warn(fs->log, "SIGHUP: %s has changed (%s), which takes effect at the next mount", o->name, place);
		keep(new, old, o);
	}
	return count;
}

/* A field may be read without a lock (CONFIG), so it is stored whole; and with either lock as one set, so both are
 * held for all of them. */
static void store(struct policy_config *to, const struct policy_config *from)
{
	for (const struct policy_option *o = policy_options(); o->name; o++) {
		void *field = (char *)to + o->offset;
		const void *value = (const char *)from + o->offset;
		if (!o->live)
			continue;
		if (o->type == OPTION_BOOL)
			__atomic_store_n((bool *)field, *(const bool *)value, __ATOMIC_RELAXED);
		else
			__atomic_store_n((int64_t *)field, *(const int64_t *)value, __ATOMIC_RELAXED);
	}
}

/* What waits, waits by the new rules. */
static void reschedule(struct clawfs *fs)
{
	uint32_t end = shm_table_end(fs->files);

	for (uint32_t i = 1; i < end; i++) {
		struct file *f = file_at(fs, i);
		pthread_mutex_lock(&fs->attach);
		pthread_mutex_lock(&fs->sched.lock);
		if (f->refs > 0)
			sched_update(fs, i, f);
		pthread_mutex_unlock(&fs->sched.lock);
		pthread_mutex_unlock(&fs->attach);
	}
	pthread_mutex_lock(&fs->sched.lock);
	pthread_cond_signal(&fs->sched.wake);
	pthread_cond_broadcast(&fs->sched.changed);
	pthread_mutex_unlock(&fs->sched.lock);
	steward_wake(fs);
}

static void apply(struct clawfs *fs, const struct policy_config *config)
{
	pthread_mutex_lock(&fs->sched.lock);
	pthread_mutex_lock(&fs->dbs.lock);
	store(&fs->config, config);
	db_rules_set(fs);
	pthread_mutex_unlock(&fs->dbs.lock);
	pthread_mutex_unlock(&fs->sched.lock);
	reschedule(fs);
	life_configure(fs);
}

void reload(struct clawfs *fs)
{
	struct layers layers = *fs->layers;
	struct settings *new = malloc(sizeof(*new)), *old;
	unsigned errors, changed;

	if (!new) {
		log_error(fs->log, "SIGHUP: %s; nothing is changed", strerror(ENOMEM));
		return;
	}
	sync_json(fs, fs->config.rules.profile);
	layers.lower = fs->lower.root;
	layers.name = fs->source;
	/* Nobody but us, the thread of the signals, replaces it. */
	old = fs->settings;
	errors = layers_read(&layers, new, say, fs);
	for (const struct policy_option *o = policy_options(); o->name; o++)
		if (new->broken[o - policy_options()])
			keep(new, old, o);
	if (!layers_check(&layers, new, say, fs)) {
		log_warn(fs->log, "SIGHUP: nothing is changed");
		free(new);
		return;
	}
	changed = compare(fs, new, old);
	if (changed)
		apply(fs, &new->config);
	else
		log_info(fs->log, "SIGHUP: the configuration was read again%s; nothing is changed",
			 errors ? ", with errors" : "");
	pthread_mutex_lock(&fs->reload);
	fs->settings = new;
	pthread_mutex_unlock(&fs->reload);
	free(old);
}

static void add_line(void *arg, const char *line)
{
	listing_text(arg, "%s", line);
}

void reload_show(struct clawfs *fs, struct listing *out)
{
	pthread_mutex_lock(&fs->reload);
	layers_show(fs->layers, fs->settings, add_line, out);
	pthread_mutex_unlock(&fs->reload);
}
