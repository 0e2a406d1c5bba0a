#include "fs/layers.h"
#include "policy/alias.h"
#include "policy/conftext.h"
#include "policy/nearest.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX     (1u << 20)
#define ENV_PREFIX   "CLAWFS_"
#define THEIR_PREFIX "SECURECLAW_"
/* SECURECLAW_* is the application's: only what is all but one of ours is worth a word. */
#define THEIR_EDITS 2

extern char **environ;

void layers_init(struct layers *layers)
{
	const char *home = getenv("HOME");

	*layers = (struct layers){.system_path = "/etc/clawfs.conf", .environment = environ, .lower = -1, .name = ""};
	layers->is_root = geteuid() == 0;
	if (!home || *home != '/') {
		const struct passwd *user = getpwuid(geteuid());
		home = user ? user->pw_dir : "";
	}
	int len = snprintf(layers->user_path, sizeof(layers->user_path), "%s/.config/clawfs.conf", home);
	if (*home != '/' || (size_t)len >= sizeof(layers->user_path))
		layers->user_path[0] = '\0';
}

/* --- saying -------------------------------------------------------------- */

void layers_make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ')
			*text = '?';
}

const char *layers_json_name(enum policy_profile profile)
{
	static const char *const names[] = {
		[PROFILE_SECURECLAW] = "secureclaw.json",
		[PROFILE_OPENCLAW] = "openclaw.json",
		[PROFILE_GENERIC] = "",
	};

	return names[profile];
}

/* The variable that sets the option. */
static void own_variable(const char *option, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, ENV_PREFIX);

	for (; *option && used < size - 1; option++)
		out[used++] = (char)(*option >= 'a' && *option <= 'z' ? *option - 'a' + 'A' : *option);
	out[used] = '\0';
}

void layers_origin_text(const struct layers *layers, const struct settings *settings, const struct origin *origin,
			const struct policy_option *option, char *out, size_t size)
{
	char variable[80] = "";
	const char *path = "";
	size_t used = 0;

	switch (origin->layer) {
	case LAYER_JSON:
		path = layers_json_name((enum policy_profile)settings->config.profile);
		used = (size_t)snprintf(out, size, "%s/", layers->name);
		break;
	case LAYER_SYSTEM:
		path = layers->system_path;
		break;
	case LAYER_USER:
		path = layers->user_path;
		break;
	case LAYER_ENVIRONMENT:
		if (!origin->alias)
			own_variable(option->name, variable, sizeof(variable));
		path = origin->alias ? origin->alias->name : variable;
		break;
	case LAYER_COMMAND:
		path = "-o";
		break;
	case LAYER_DEFAULT:
	case LAYER_COUNT:
		path = "default";
		break;
	}
	if (used < size)
		used += (size_t)snprintf(out + used, size - used, "%s", path);
	if (origin->line && used < size)
		snprintf(out + used, size - used, ":%u", origin->line);
}

void layers_error(struct layers_run *run, const struct origin *origin, const char *shown, const char *why)
{
	char place[4400] = "", line[5200];

	if (origin->layer != LAYER_ENVIRONMENT)
		layers_origin_text(run->layers, run->settings, origin, NULL, place, sizeof(place));
	switch (origin->layer) {
	case LAYER_ENVIRONMENT:
		snprintf(line, sizeof(line), "environment variable %s: %s", shown, why);
		break;
	case LAYER_COMMAND:
		snprintf(line, sizeof(line), "option %s: %s", shown, why);
		break;
	case LAYER_DEFAULT:
	case LAYER_COUNT:
	case LAYER_JSON:
	case LAYER_SYSTEM:
	case LAYER_USER:
		snprintf(line, sizeof(line), "%s: %s: %s", place, shown, why);
		break;
	}
	layers_make_printable(line);
	run->say(run->arg, LAYERS_ERROR, line);
	run->errors++;
}

void layers_warning(struct layers_run *run, const char *path, const char *why)
{
	char line[5200];

	snprintf(line, sizeof(line), "%s: %s; going on without it", path, why);
	layers_make_printable(line);
	run->say(run->arg, LAYERS_WARNING, line);
}

/* --- setting ------------------------------------------------------------- */

void layers_begin(struct layers_run *run, bool guard)
{
	run->rules = run->excluded = 0;
	run->guard = guard;
}

static unsigned place_of(const struct policy_option *option)
{
	return (unsigned)(option - policy_options());
}

/* The entry that was added last goes behind those of its own layer. */
static void place_entry(struct layers_run *run, const struct policy_option *option, const struct origin *origin,
			struct origin *origins, unsigned *added)
{
	unsigned last = policy_option_count(&run->settings->config, option) - 1;

	policy_option_rotate(&run->settings->config, option, *added);
	for (unsigned i = last; i > *added; i--)
		origins[i] = origins[i - 1];
	origins[(*added)++] = *origin;
}

void layers_set(struct layers_run *run, const struct origin *origin, const char *shown, const char *name,
		const char *value)
{
	const struct policy_option *option = policy_option_find(name);
	struct settings *s = run->settings;
	char why[400];

	if (option && option->guarded && run->guard) {
		layers_error(run, origin, shown,
			     "not taken from here, because others than root and the daemon's user may write this file; "
			     "set it in /etc/clawfs.conf or with -o");
		s->broken[place_of(option)] = true;
		return;
	}
	if (policy_config_set(&s->config, name, value, why, sizeof(why)) < 0 || !option) {
		layers_error(run, origin, shown, why);
		if (option)
			s->broken[place_of(option)] = true;
		return;
	}
	if (option->type == OPTION_RULE)
		place_entry(run, option, origin, s->rules, &run->rules);
	else if (option->type == OPTION_GLOB)
		place_entry(run, option, origin, s->excluded, &run->excluded);
	else
		s->origin[place_of(option)] = *origin;
}

const struct origin *layers_origin(const struct settings *settings, const struct policy_option *option, unsigned index)
{
	if (option->type == OPTION_RULE)
		return &settings->rules[index];
	if (option->type == OPTION_GLOB)
		return &settings->excluded[index];
	return &settings->origin[place_of(option)];
}

/* --- files --------------------------------------------------------------- */

static bool others_may_write(const struct stat *st)
{
	return (st->st_uid != 0 && st->st_uid != geteuid()) || st->st_mode & 022;
}

char *layers_slurp(int dirfd, const char *path, size_t max, bool dir_counts, size_t *len, bool *guard, const char **why)
{
	struct stat st, dir;
	char *text = NULL;

	*why = "";
	/* A FIFO must not hold up the mount. */
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			*why = strerror(errno);
		return NULL;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		*why = "not a regular file";
		goto out;
	}
	if ((size_t)st.st_size > max) {
		*why = "too large to be a configuration";
		goto out;
	}
	*guard = others_may_write(&st) || (dir_counts && (fstat(dirfd, &dir) < 0 || others_may_write(&dir)));
	text = malloc((size_t)st.st_size + 1);
	ssize_t n = text ? pread(fd, text, (size_t)st.st_size, 0) : 0;
	if (!text || n < 0) {
		*why = strerror(text ? errno : ENOMEM);
		free(text);
		text = NULL;
		goto out;
	}
	text[n] = '\0';
	*len = (size_t)n;
out:
	close(fd);
	return text;
}

static void read_file(struct layers_run *run, enum layer layer, const char *path)
{
	struct conftext c;
	struct conftext_entry entry = {.value = NULL};
	enum conftext_result result;
	const char *why;
	char broken[200];
	bool guard = false;
	size_t len;
	char *text = *path ? layers_slurp(AT_FDCWD, path, FILE_MAX, false, &len, &guard, &why) : NULL;

	if (!text) {
		if (*path && *why)
			layers_warning(run, path, why);
		return;
	}
	layers_begin(run, guard);
	conftext_init(&c, text, len);
	while ((result = conftext_file_next(&c, &entry, broken, sizeof(broken))) != CONFTEXT_END) {
		struct origin origin = {.layer = layer, .line = c.line};
		if (result == CONFTEXT_BROKEN)
			layers_error(run, &origin, entry.name, broken);
		else
			layers_set(run, &origin, entry.name, entry.name, entry.value);
	}
	free(text);
}

/* --- environment --------------------------------------------------------- */

/* A list, for the options that are one; else the value as it is. */
static void set_variable(struct layers_run *run, const struct origin *origin, const char *variable,
			 const struct policy_option *option, const char *value)
{
	struct conftext c;
	struct conftext_entry entry = {.value = NULL};
	char why[200];

	if (option->type != OPTION_RULE && option->type != OPTION_GLOB) {
		layers_set(run, origin, variable, option->name, value);
		return;
	}
	conftext_init(&c, value, strlen(value));
	for (;;) {
		enum conftext_result result = conftext_item_next(&c, &entry, why, sizeof(why));
		if (result == CONFTEXT_END)
			return;
		if (result == CONFTEXT_BROKEN)
			layers_error(run, origin, variable, why);
		else
			layers_set(run, origin, variable, option->name, entry.text);
	}
}

/* For tests; fs/supervisor.h. */
static const char *const not_options[] = {"CLAWFS_TEST", "CLAWFS_DEATHS", "CLAWFS_RESEND", "CLAWFS_SUPERVISOR",
					  "CLAWFS_SANDBOX"};

static void read_own(struct layers_run *run, const char *variable, const char *value)
{
	const struct origin origin = {.layer = LAYER_ENVIRONMENT};
	struct policy_nearest nearest;
	char name[NEAREST_NAME_MAX], known[POLICY_OPTIONS_MAX][NEAREST_NAME_MAX], why[400];
	const struct policy_option *options = policy_options();

	for (unsigned i = 0; i < sizeof(not_options) / sizeof(*not_options); i++)
		if (strcmp(variable, not_options[i]) == 0)
			return;
	snprintf(name, sizeof(name), "%s", variable);
	policy_nearest_init(&nearest, name + strlen(ENV_PREFIX));
	for (unsigned i = 0; options[i].name; i++) {
		own_variable(options[i].name, known[i], sizeof(known[i]));
		if (strcmp(known[i], variable) == 0) {
			set_variable(run, &origin, variable, &options[i], value);
			return;
		}
		policy_nearest_try(&nearest, known[i] + strlen(ENV_PREFIX));
	}
	if (nearest.best) {
		snprintf(why, sizeof(why), "unknown; did you mean " ENV_PREFIX "%s?", nearest.best);
		layers_error(run, &origin, variable, why);
	} else {
		/* Something else may be called so. */
		snprintf(why, sizeof(why), "environment variable %.100s", variable);
		layers_warning(run, why, "there is no such option");
	}
}

static void read_theirs(struct layers_run *run, const char *variable, const char *value)
{
	struct origin origin = {.layer = LAYER_ENVIRONMENT};
	char text[CONFTEXT_VALUE_MAX], why[400];
	struct policy_nearest nearest;

	policy_nearest_init(&nearest, variable);
	for (const struct policy_alias *a = policy_env_aliases(); a->name; a++) {
		policy_nearest_try(&nearest, a->name);
		if (strcmp(a->name, variable) != 0)
			continue;
		origin.alias = a;
		if (policy_alias_value(a->kind, value, text, sizeof(text), why, sizeof(why)) == 0) {
			layers_set(run, &origin, variable, a->option, text);
			return;
		}
		layers_error(run, &origin, variable, why);
		run->settings->broken[place_of(policy_option_find(a->option))] = true;
		return;
	}
	if (nearest.best && nearest.distance <= THEIR_EDITS) {
		snprintf(why, sizeof(why), "unknown; did you mean %s?", nearest.best);
		layers_error(run, &origin, variable, why);
	}
}

static void read_variables(struct layers_run *run, const char *prefix,
			   void (*take)(struct layers_run *, const char *, const char *))
{
	for (char *const *e = run->layers->environment; e && *e; e++) {
		const char *equals = strchr(*e, '=');
		char name[128];
		if (!equals || strncmp(*e, prefix, strlen(prefix)) != 0 || (size_t)(equals - *e) >= sizeof(name))
			continue;
		memcpy(name, *e, (size_t)(equals - *e));
		name[equals - *e] = '\0';
		take(run, name, equals + 1);
	}
}

static void read_environment(struct layers_run *run)
{
	layers_begin(run, false);
	read_variables(run, THEIR_PREFIX, read_theirs);
	read_variables(run, ENV_PREFIX, read_own);
}

/* --- the command line ---------------------------------------------------- */

static void read_list(struct layers_run *run, const char *list)
{
	const struct origin origin = {.layer = LAYER_COMMAND};
	char why[200], shown[CONFTEXT_NAME_MAX + 200];
	struct conftext_entry entry = {.value = NULL};
	struct conftext c;

	conftext_init(&c, list, strlen(list));
	for (;;) {
		enum conftext_result result = conftext_list_next(&c, &entry, why, sizeof(why));
		if (result == CONFTEXT_END)
			return;
		snprintf(shown, sizeof(shown), "%s%s%.180s", entry.name, entry.value ? "=" : "",
			 entry.value ? entry.value : "");
		if (result == CONFTEXT_BROKEN)
			layers_error(run, &origin, shown, why);
		else if (!entry.value && strcmp(entry.name, "noallow_other") == 0)
			layers_set(run, &origin, shown, "allow_other", "off");
		else if (!run->layers->is_foreign || !run->layers->is_foreign(entry.name, entry.value))
			layers_set(run, &origin, shown, entry.name, entry.value);
	}
}

static void read_lists(struct layers_run *run)
{
	layers_begin(run, false);
	for (unsigned i = 0; i < run->layers->list_count; i++)
		read_list(run, run->layers->lists[i]);
}

/* --- all ----------------------------------------------------------------- */

static void no_say(void *arg, enum layers_word word, const char *line)
{
	(void)arg;
	(void)word;
	(void)line;
}

static void read_most(struct layers_run *run)
{
	read_file(run, LAYER_SYSTEM, run->layers->system_path);
	read_file(run, LAYER_USER, run->layers->user_path);
	read_environment(run);
	read_lists(run);
}

static void begin(struct layers_run *run, int profile)
{
	memset(run->settings, 0, sizeof(*run->settings));
	policy_config_init(&run->settings->config);
	run->settings->config.allow_other = run->layers->is_root;
	run->settings->config.profile = profile;
}

/* Which places the options that a message names have their values from. */
static void add_origins(const struct layers *layers, const struct settings *settings, char *why, size_t size)
{
	char place[4400];
	size_t used = strlen(why);
	const char *between = " (";

	for (const struct policy_option *o = policy_options(); o->name; o++) {
		if (!strstr(why, o->name) || used >= size)
			continue;
		layers_origin_text(layers, settings, layers_origin(settings, o, 0), o, place, sizeof(place));
		used += (size_t)snprintf(why + used, size - used, "%s%s: %s", between, o->name, place);
		between = "; ";
	}
	if (used < size)
		snprintf(why + used, size - used, ")");
}

unsigned layers_read(const struct layers *layers, struct settings *settings, layers_say_fn *say, void *arg)
{
	struct layers_run run = {.layers = layers, .settings = settings, .say = no_say};

	/* Once for the profile, which says what the second layer is. */
	begin(&run, PROFILE_SECURECLAW);
	read_most(&run);
	int profile = settings->config.profile;
	run.errors = 0;
	run.say = say;
	run.arg = arg;
	begin(&run, profile);
	layers_json(&run);
	read_most(&run);
	return run.errors;
}

bool layers_check(const struct layers *layers, struct settings *settings, layers_say_fn *say, void *arg)
{
	char why[4800];

	if (policy_config_check(&settings->config, why, sizeof(why)) == 0)
		return true;
	add_origins(layers, settings, why, sizeof(why));
	layers_make_printable(why);
	say(arg, LAYERS_ERROR, why);
	return false;
}
