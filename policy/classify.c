/* The glob matcher, the rules and what they make of a path.
 *
 * The matcher runs the glob as an automaton: a state is the offset of a token
 * in the glob, and all states that the path so far allows are carried along at
 * once. A byte of the path visits a state at most once, which bounds the work
 * without any argument about backtracking. */
#include "policy/classify.h"
#include "policy/nearest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct policy_rule *defaults_of(const struct policy_rules *rules)
{
	return policy_default_rules(rules ? rules->profile : PROFILE_SECURECLAW);
}

/* --- sets: [a-z] -------------------------------------------------------- */

/* The offset behind the set that opens at `at`; 0 when it is not closed. A ']'
 * that comes first is a member. */
static size_t set_end(const char *glob, size_t at)
{
	size_t i = at + 1;
	size_t first;

	if (glob[i] == '!')
		i++;
	first = i;
	while (glob[i] && (glob[i] != ']' || i == first)) {
		if (glob[i] == '\\' && glob[i + 1])
			i++;
		i++;
	}
	return glob[i] ? i + 1 : 0;
}

static unsigned char set_member(const char *glob, size_t *i)
{
	if (glob[*i] == '\\')
		++*i;
	return (unsigned char)glob[(*i)++];
}

/* The next range of a set whose ']' is at `close`; false when there is none. */
static bool set_range(const char *glob, size_t *i, size_t close, unsigned char *low, unsigned char *high)
{
	if (*i >= close)
		return false;
	*low = *high = set_member(glob, i);
	if (glob[*i] == '-' && *i + 1 < close) {
		++*i;
		*high = set_member(glob, i);
	}
	return true;
}

static bool set_matches(const char *glob, size_t at, size_t end, unsigned char byte)
{
	bool inverted = glob[at + 1] == '!';
	size_t i = at + 1 + inverted;
	unsigned char low, high;
	bool found = false;

	if (byte == '/')
		return false;
	while (set_range(glob, &i, end - 1, &low, &high))
		found |= low <= byte && byte <= high;
	return found != inverted;
}

/* --- the automaton ------------------------------------------------------ */

struct states {
	unsigned count;
	uint8_t at[POLICY_GLOB_MAX + 1];
	bool in[POLICY_GLOB_MAX + 1];
};

/* The kinds of star; the length of each in the glob is what star() returns. */
enum star {
	STAR_NAME, /* *     stays within a component */
	STAR_ANY,  /* **    anything */
	STAR_DIRS, /* ** /  whole components, also none */
};

static size_t star(const char *glob, size_t at, enum star *kind)
{
	size_t len = 1;

	while (glob[at + len] == '*')
		len++;
	*kind = len == 1 ? STAR_NAME : STAR_ANY;
	if (len == 2 && glob[at + 2] == '/' && (at == 0 || glob[at - 1] == '/')) {
		*kind = STAR_DIRS;
		len++;
	}
	return len;
}

static void add(struct states *s, size_t at)
{
	if (s->in[at])
		return;
	s->in[at] = true;
	s->at[s->count++] = (uint8_t)at;
}

/* Every star may stand for nothing, so entering one enters what follows it. */
static void enter(struct states *s, const char *glob, size_t at)
{
	enum star kind;

	add(s, at);
	while (glob[at] == '*') {
		at += star(glob, at, &kind);
		add(s, at);
	}
}

static void clear(struct states *s)
{
	while (s->count > 0)
		s->in[s->at[--s->count]] = false;
}

/* Where `byte` leads from the state `at`. */
static void step(struct states *next, const char *glob, size_t at, unsigned char byte)
{
	enum star kind;
	size_t end;

	switch (glob[at]) {
	case '\0':
		break;
	case '*':
		end = at + star(glob, at, &kind);
		if (kind == STAR_NAME && byte == '/')
			break;
		add(next, at);
		if (kind != STAR_DIRS || byte == '/')
			enter(next, glob, end);
		break;
	case '?':
		if (byte != '/')
			enter(next, glob, at + 1);
		break;
	case '[':
		end = set_end(glob, at);
		if (end && set_matches(glob, at, end, byte))
			enter(next, glob, end);
		break;
	case '\\':
		if (glob[at + 1] && (unsigned char)glob[at + 1] == byte)
			enter(next, glob, at + 2);
		break;
	default:
		if ((unsigned char)glob[at] == byte)
			enter(next, glob, at + 1);
	}
}

static bool is_special(char c)
{
	return c == '*' || c == '?' || c == '[' || c == ']' || c == '\\';
}

/* Whether the longest run of literal bytes of a component of the glob is in the text at all: most globs fail here, for
 * a fraction of what the automaton takes. Where there is a set, or an escape, the automaton is asked. */
static bool has_literal(const char *glob, size_t at, const char *text, const char *end)
{
	size_t best = 0, best_len = 0;

	for (size_t i = at, start = at;; i++) {
		if (glob[i] == '[' || glob[i] == '\\')
			return true;
		if (glob[i] && glob[i] != '/' && !is_special(glob[i]))
			continue;
		if (i - start > best_len) {
			best = start;
			best_len = i - start;
		}
		if (!glob[i])
			break;
		start = i + 1;
	}
	return best_len == 0 || memmem(text, (size_t)(end - text), glob + best, best_len);
}

static bool run(const char *glob, size_t glob_len, size_t at, const char *text, const char *end)
{
	struct states sets[2];
	struct states *now = &sets[0], *next = &sets[1], *swap;
	unsigned i;

	if (glob_len > POLICY_GLOB_MAX)
		return false;
	memset(sets, 0, sizeof(sets));
	enter(now, glob, at);
	for (; text < end && now->count > 0; text++) {
		for (i = 0; i < now->count; i++)
			step(next, glob, now->at[i], (unsigned char)*text);
		clear(now);
		swap = now;
		now = next;
		next = swap;
	}
	return now->in[glob_len];
}

/* A path with its length and its last component found once for all rules. */
struct path {
	const char *start;
	const char *base;
	const char *end;
};

static struct path path_of(const char *text)
{
	const char *slash = strrchr(text, '/');

	return (struct path){.start = text, .base = slash ? slash + 1 : text, .end = text + strlen(text)};
}

/* Nearly every rule fails on its literal head or on its last byte, before the
 * automaton is needed. */
static bool match(const char *glob, const struct path *path)
{
	size_t glob_len = strlen(glob);
	const char *text = memchr(glob, '/', glob_len) ? path->start : path->base;
	size_t at = 0;
	char last;

	if (glob_len == 0)
		return false;
	last = glob[glob_len - 1];
	/* A final '/' may belong to a ** that stands for nothing. */
	if (!is_special(last) && last != '/' && (text == path->end || path->end[-1] != last))
		return false;
	while (glob[at] && !is_special(glob[at])) {
		if (text == path->end || *text != glob[at])
			return false;
		text++;
		at++;
	}
	return has_literal(glob, at, text, path->end) && run(glob, glob_len, at, text, path->end);
}

bool policy_glob_match(const char *glob, const char *path)
{
	struct path p = path_of(path);

	return match(glob, &p);
}

/* --- rules -------------------------------------------------------------- */

/* What is wrong with the set that opens at `at`, or NULL. */
static const char *set_fault(const char *glob, size_t at, size_t end)
{
	size_t i = at + 1 + (glob[at + 1] == '!');
	unsigned char low, high;

	while (set_range(glob, &i, end - 1, &low, &high)) {
		if (low > high)
			return "a range in [] runs backwards";
		if (low == '/' || high == '/')
			return "'/' in []; a set never matches it";
	}
	return NULL;
}

/* What keeps the glob from ever matching a path, or NULL: a rule that its
 * author believes in and that does nothing is worse than an error. */
static const char *glob_fault(const char *glob)
{
	size_t component = 0; /* where the current one starts */
	const char *fault;
	size_t i = 0, end, len;

	if (!*glob)
		return "empty glob";
	if (*glob == '/')
		return "the glob starts with '/'; paths are relative to the mount";
	for (;;) {
		if (glob[i] == '/' || glob[i] == '\0') {
			len = i - component;
			if (len == 0)
				return glob[i] ? "the glob has an empty component ('//')"
					       : "the glob ends in '/'; add ** for what is below";
			if ((len == 1 && glob[component] == '.') ||
			    (len == 2 && glob[component] == '.' && glob[component + 1] == '.'))
				return "the glob has a '.' or '..' component; paths have none";
			if (!glob[i])
				return NULL;
			component = i + 1;
		} else if (glob[i] == '\\') {
			if (!glob[++i])
				return "'\\' at the end of the glob";
			if (glob[i] == '/')
				return "'\\/' in the glob; '/' needs no '\\'";
		} else if (glob[i] == '[') {
			end = set_end(glob, i);
			if (!end)
				return "unclosed [";
			fault = set_fault(glob, i, end);
			if (fault)
				return fault;
			i = end - 1;
		}
		i++;
	}
}

static int unknown_class(const char *name, size_t len, char *why, size_t why_size)
{
	struct policy_nearest nearest;
	char shown[24];
	size_t i;

	for (i = 0; i < len && i < sizeof(shown) - 1; i++)
		shown[i] = (char)(name[i] >= ' ' && name[i] <= '~' ? name[i] : '?');
	shown[i] = '\0';
	policy_nearest_init(&nearest, shown);
	for (int c = 0; c < CLASS_COUNT; c++)
		policy_nearest_try(&nearest, policy_class_name((enum policy_class)c));
	snprintf(why, why_size,
		 "unknown class \"%s\"%s%s%s one of log, append, snapshot, state, volatile, sqlite, through", shown,
		 nearest.best ? "; did you mean " : "", nearest.best ? nearest.best : "", nearest.best ? "?" : ";");
	return -EINVAL;
}

static int check_glob(const char *glob, char *why, size_t why_size)
{
	const char *fault;

	if (strlen(glob) > POLICY_GLOB_MAX) {
		snprintf(why, why_size, "the glob is longer than %d bytes", POLICY_GLOB_MAX);
		return -ENAMETOOLONG;
	}
	fault = glob_fault(glob);
	if (!fault)
		return 0;
	snprintf(why, why_size, "%s", fault);
	return -EINVAL;
}

int policy_rules_add(struct policy_rules *rules, const char *text, char *why, size_t why_size)
{
	const char *colon = strchr(text, ':');
	enum policy_class cls;
	int error;

	if (!colon) {
		snprintf(why, why_size, "no class in it; write class:glob, as in log:notes/*.txt");
		return -EINVAL;
	}
	cls = policy_class_parse(text, (size_t)(colon - text));
	if (cls == CLASS_COUNT)
		return unknown_class(text, (size_t)(colon - text), why, why_size);
	error = check_glob(colon + 1, why, why_size);
	if (error)
		return error;
	if (rules->count >= POLICY_RULES_MAX) {
		snprintf(why, why_size, "more than %d rules; merge some", POLICY_RULES_MAX);
		return -ENOSPC;
	}
	rules->rule[rules->count].cls = cls;
	strcpy(rules->rule[rules->count].glob, colon + 1);
	rules->count++;
	return 0;
}

int policy_globs_add(struct policy_globs *globs, const char *glob, char *why, size_t why_size)
{
	int error = check_glob(glob, why, why_size);

	if (error)
		return error;
	if (globs->count >= POLICY_GLOBS_MAX) {
		snprintf(why, why_size, "more than %d of them; merge some", POLICY_GLOBS_MAX);
		return -ENOSPC;
	}
	strcpy(globs->glob[globs->count++], glob);
	return 0;
}

bool policy_globs_match(const struct policy_globs *globs, const char *path)
{
	char above[4096];
	size_t len = strlen(path);

	if (len >= sizeof(above))
		return false;
	memcpy(above, path, len + 1);
	while (*above) {
		for (unsigned i = 0; i < globs->count; i++)
			if (policy_glob_match(globs->glob[i], above))
				return true;
		char *slash = strrchr(above, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	return false;
}

/* The first of the user's own rules that matches, or NULL. */
static const struct policy_rule *own_rule(const struct policy_rules *rules, const struct path *path)
{
	unsigned i;

	for (i = 0; rules && i < rules->count; i++) {
		if (match(rules->rule[i].glob, path))
			return &rules->rule[i];
	}
	return NULL;
}

enum policy_class policy_classify(const struct policy_rules *rules, const char *path)
{
	struct path p = path_of(path);
	const struct policy_rule *rule = own_rule(rules, &p);

	if (!rule) {
		for (rule = defaults_of(rules); *rule->glob; rule++) {
			if (match(rule->glob, &p))
				break;
		}
	}
	return rules && rules->off & (1U << rule->cls) ? CLASS_THROUGH : rule->cls;
}

bool policy_classify_own(const struct policy_rules *rules, const char *path, enum policy_class *cls)
{
	struct path p = path_of(path);
	const struct policy_rule *rule = own_rule(rules, &p);

	if (rule)
		*cls = rule->cls;
	return rule != NULL;
}

bool policy_classify_dir_volatile(const struct policy_rules *rules, const char *path)
{
	struct path p = path_of(path);
	const struct policy_rule *rule = own_rule(rules, &p);

	if (rule)
		return rule->cls == CLASS_VOLATILE;
	/* Of the defaults only those that are about directories count: "x.tmp" or
	 * "x-shm" as a directory is data like any other. */
	if ((rules && rules->profile == PROFILE_GENERIC) || !match("*.lock", &p))
		return false;
	for (rule = defaults_of(rules); *rule->glob; rule++) {
		if (rule->cls == CLASS_THROUGH && match(rule->glob, &p))
			return false;
	}
	return true;
}

bool policy_is_lock(const char *name)
{
	static const char suffix[] = ".lock";
	size_t len = strlen(name);

	return len >= sizeof(suffix) && strcmp(name + len - (sizeof(suffix) - 1), suffix) == 0;
}
