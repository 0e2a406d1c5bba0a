/* How text becomes a configuration, and a configuration text. Numbers are
 * parsed by hand: strtol(3) skips blanks, takes signs, reports overflow through
 * errno and knows no sizes. */
#include "policy/config.h"
#include "policy/nearest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FIELD(field) #field, offsetof(struct policy_config, field)

static bool is_number(enum policy_option_type type)
{
	return type == OPTION_MS || type == OPTION_COUNT || type == OPTION_BYTES;
}

static void *field_at(struct policy_config *config, size_t offset)
{
	return (char *)config + offset;
}

void policy_config_init(struct policy_config *config)
{
	const struct policy_option *option;

	memset(config, 0, sizeof(*config));
	for (option = policy_options(); option->name; option++) {
		if (is_number(option->type))
			*(int64_t *)field_at(config, option->offset) = option->def;
		else if (option->type == OPTION_BOOL)
			*(bool *)field_at(config, option->offset) = option->def != 0;
		else if (option->type == OPTION_WORD)
			*(int *)field_at(config, option->offset) = (int)option->def;
	}
}

/* --- words of the messages ---------------------------------------------- */

struct number_text {
	char text[32];
};

/* Sizes as a person would give them: in the largest unit that divides them. */
static struct number_text show(enum policy_option_type type, int64_t value)
{
	static const char units[] = "\0KMG";
	struct number_text shown;
	unsigned unit = 0;

	while (type == OPTION_BYTES && value != 0 && value % 1024 == 0 && unit < 3) {
		value /= 1024;
		unit++;
	}
	snprintf(shown.text, sizeof(shown.text), "%lld%.1s", (long long)value, &units[unit]);
	return shown;
}

static const char *wanted(enum policy_option_type type)
{
	switch (type) {
	case OPTION_MS:
		return "a number of milliseconds";
	case OPTION_BYTES:
		return "a size; write a number, then K, M or G if need be";
	case OPTION_BOOL:
		return "a switch; write on or off";
	case OPTION_COUNT:
	case OPTION_PATH:
	case OPTION_RULE:
	case OPTION_GLOB:
	case OPTION_WORD:
		break;
	}
	return "a number";
}

/* --- values ------------------------------------------------------------- */

static unsigned shift_of(char unit)
{
	switch (unit) {
	case 'k':
	case 'K':
		return 10;
	case 'm':
	case 'M':
		return 20;
	case 'g':
	case 'G':
		return 30;
	default:
		return 0;
	}
}

/* 0, -EINVAL for what is no number, -ERANGE for one that is negative or does
 * not fit. */
static int parse_number(const char *text, bool size, int64_t *number)
{
	bool negative = *text == '-', too_big = false;
	const char *p = text + negative;
	unsigned shift = 0;
	int64_t value = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
			too_big = true;
	}
	if (size && *p)
		shift = shift_of(*p);
	if (shift)
		p++;
	if (*p)
		return -EINVAL;
	if (negative || too_big || __builtin_mul_overflow(value, (int64_t)1 << shift, &value))
		return -ERANGE;
	*number = value;
	return 0;
}

static int set_number(int64_t *field, const struct policy_option *option, const char *text, char *why, size_t why_size)
{
	int64_t value;
	int error = parse_number(text, option->type == OPTION_BYTES, &value);

	if (error == -EINVAL) {
		snprintf(why, why_size, "not %s", wanted(option->type));
		return error;
	}
	if (error || value < option->min || value > option->max) {
		snprintf(why, why_size, "must be from %s to %s", show(option->type, option->min).text,
			 show(option->type, option->max).text);
		return -ERANGE;
	}
	*field = value;
	return 0;
}

static int set_bool(bool *field, const char *text, char *why, size_t why_size)
{
	static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "0", "1"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) == 0) {
			*field = i % 2 == 1;
			return 0;
		}
	}
	snprintf(why, why_size, "not %s", wanted(OPTION_BOOL));
	return -EINVAL;
}

/* "must be normal, full or off" */
static int set_word(int *field, const struct policy_option *option, const char *text, char *why, size_t why_size)
{
	const char *const *words = option->words;
	struct policy_nearest nearest;
	size_t used;
	int i;

	for (i = 0; words[i]; i++) {
		if (strcmp(text, words[i]) == 0) {
			*field = i;
			return 0;
		}
	}
	used = (size_t)snprintf(why, why_size, "must be %s", words[0]);
	for (i = 1; words[i] && used < why_size; i++)
		used += (size_t)snprintf(why + used, why_size - used, "%s%s", words[i + 1] ? ", " : " or ", words[i]);
	policy_nearest_init(&nearest, text);
	for (i = 0; words[i]; i++)
		policy_nearest_try(&nearest, words[i]);
	if (nearest.best && used < why_size)
		snprintf(why + used, why_size - used, "; did you mean %s?", nearest.best);
	return -EINVAL;
}

static int set_path(char *field, size_t size, const char *text, char *why, size_t why_size)
{
	size_t len = strlen(text);

	if (len == 0 || len >= size) {
		snprintf(why, why_size, "%s",
			 len ? "longer than a path may be" : "an empty path; leave the option out");
		return -EINVAL;
	}
	memcpy(field, text, len + 1);
	return 0;
}

const struct policy_option *policy_option_find(const char *name)
{
	const struct policy_option *option;

	for (option = policy_options(); option->name; option++) {
		if (strcmp(option->name, name) == 0)
			return option;
	}
	return NULL;
}

int policy_config_set(struct policy_config *config, const char *name, const char *value, char *why, size_t why_size)
{
	const struct policy_option *option = policy_option_find(name);
	const char *near;

	if (!option) {
		near = policy_option_suggest(name);
		if (near)
			snprintf(why, why_size, "unknown; did you mean %s?", near);
		else
			snprintf(why, why_size, "unknown; --help lists the options");
		return -ENOENT;
	}
	if (!value) {
		if (option->type != OPTION_BOOL) {
			snprintf(why, why_size, "needs a value; write %s=...", name);
			return -EINVAL;
		}
		value = "on";
	}
	switch (option->type) {
	case OPTION_BOOL:
		return set_bool(field_at(config, option->offset), value, why, why_size);
	case OPTION_PATH:
		return set_path(field_at(config, option->offset), sizeof(config->upper), value, why, why_size);
	case OPTION_GLOB:
		return policy_globs_add(field_at(config, option->offset), value, why, why_size);
	case OPTION_WORD:
		return set_word(field_at(config, option->offset), option, value, why, why_size);
	case OPTION_RULE:
		return policy_rules_add(field_at(config, option->offset), value, why, why_size);
	case OPTION_MS:
	case OPTION_COUNT:
	case OPTION_BYTES:
		break;
	}
	return set_number(field_at(config, option->offset), option, value, why, why_size);
}

/* --- what holds between options ----------------------------------------- */

struct ordered {
	const char *low;
	size_t low_offset;
	const char *high;
	size_t high_offset;
	enum policy_option_type type;
};

static const struct ordered orders[] = {
	{FIELD(session_debounce_ms), FIELD(session_max_ms), OPTION_MS},
	{FIELD(retry_ms), FIELD(retry_max_ms), OPTION_MS},
	{FIELD(file_max), FIELD(ram_max), OPTION_BYTES},
};

int policy_config_check(struct policy_config *config, char *why, size_t why_size)
{
	const struct ordered *o;
	int64_t low, high;
	size_t i;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		o = &orders[i];
		low = *(int64_t *)field_at(config, o->low_offset);
		high = *(int64_t *)field_at(config, o->high_offset);
		if (low > high) {
			snprintf(why, why_size, "%s (%s) must not be more than %s (%s); set both", o->low,
				 show(o->type, low).text, o->high, show(o->type, high).text);
			return -EINVAL;
		}
	}
	/* A smaller bound would make a part of nearly every flush. */
	if (config->log_rotate_bytes != 0 && config->log_rotate_bytes < LOG_ROTATE_MIN) {
		snprintf(why, why_size, "log_rotate_bytes (%s) must be 0 or at least %s",
			 show(OPTION_BYTES, config->log_rotate_bytes).text, show(OPTION_BYTES, LOG_ROTATE_MIN).text);
		return -EINVAL;
	}
	if (config->file_max == 0)
		config->file_max = config->ram_max / 2;
	config->rules.profile = (enum policy_profile)config->profile;
	config->rules.off =
		(config->log_buffer ? 0 : 1U << CLASS_LOG) | (config->append_buffer ? 0 : 1U << CLASS_APPEND) |
		(config->session_buffer ? 0 : 1U << CLASS_SNAPSHOT) | (config->state_buffer ? 0 : 1U << CLASS_STATE);
	return 0;
}

/* --- one option ---------------------------------------------------------- */

static const void *value_at(const struct policy_config *config, const struct policy_option *option)
{
	return (const char *)config + option->offset;
}

unsigned policy_option_count(const struct policy_config *config, const struct policy_option *option)
{
	const void *value = value_at(config, option);

	switch (option->type) {
	case OPTION_RULE:
		return ((const struct policy_rules *)value)->count;
	case OPTION_GLOB:
		return ((const struct policy_globs *)value)->count;
	case OPTION_PATH:
		return *(const char *)value != '\0';
	case OPTION_MS:
	case OPTION_COUNT:
	case OPTION_BYTES:
	case OPTION_BOOL:
	case OPTION_WORD:
		break;
	}
	return 1;
}

bool policy_option_text(const struct policy_config *config, const struct policy_option *option, unsigned index,
			char *out, size_t size)
{
	const void *value = value_at(config, option);
	const struct policy_rule *rule;
	int len = 0;

	switch (option->type) {
	case OPTION_MS:
	case OPTION_COUNT:
	case OPTION_BYTES:
		len = snprintf(out, size, "%s", show(option->type, *(const int64_t *)value).text);
		break;
	case OPTION_BOOL:
		len = snprintf(out, size, "%s", *(const bool *)value ? "on" : "off");
		break;
	case OPTION_WORD:
		len = snprintf(out, size, "%s", option->words[*(const int *)value]);
		break;
	case OPTION_PATH:
		len = snprintf(out, size, "%s", (const char *)value);
		break;
	case OPTION_GLOB:
		len = snprintf(out, size, "%s", ((const struct policy_globs *)value)->glob[index]);
		break;
	case OPTION_RULE:
		rule = &((const struct policy_rules *)value)->rule[index];
		len = snprintf(out, size, "%s:%s", policy_class_name(rule->cls), rule->glob);
		break;
	}
	return (size_t)len < size;
}

static size_t size_of(enum policy_option_type type)
{
	switch (type) {
	case OPTION_BOOL:
		return sizeof(bool);
	case OPTION_PATH:
		return sizeof(((struct policy_config *)NULL)->upper);
	case OPTION_RULE:
		return sizeof(struct policy_rules);
	case OPTION_GLOB:
		return sizeof(struct policy_globs);
	case OPTION_WORD:
		return sizeof(int);
	case OPTION_MS:
	case OPTION_COUNT:
	case OPTION_BYTES:
		break;
	}
	return sizeof(int64_t);
}

bool policy_option_same(const struct policy_config *a, const struct policy_config *b,
			const struct policy_option *option)
{
	char mine[POLICY_TEXT_MAX], theirs[POLICY_TEXT_MAX];
	unsigned count = policy_option_count(a, option);

	if (count != policy_option_count(b, option))
		return false;
	for (unsigned i = 0; i < count; i++) {
		policy_option_text(a, option, i, mine, sizeof(mine));
		policy_option_text(b, option, i, theirs, sizeof(theirs));
		if (strcmp(mine, theirs) != 0)
			return false;
	}
	return true;
}

void policy_option_copy(struct policy_config *to, const struct policy_config *from, const struct policy_option *option)
{
	memcpy(field_at(to, option->offset), value_at(from, option), size_of(option->type));
}

void policy_option_rotate(struct policy_config *config, const struct policy_option *option, unsigned index)
{
	void *value = field_at(config, option->offset);
	struct policy_rules *rules = value;
	struct policy_globs *globs = value;

	if (option->type == OPTION_RULE) {
		struct policy_rule last = rules->rule[rules->count - 1];
		for (unsigned i = rules->count - 1; i > index; i--)
			rules->rule[i] = rules->rule[i - 1];
		rules->rule[index] = last;
	} else if (option->type == OPTION_GLOB) {
		char last[POLICY_GLOB_MAX + 1];
		memcpy(last, globs->glob[globs->count - 1], sizeof(last));
		for (unsigned i = globs->count - 1; i > index; i--)
			memcpy(globs->glob[i], globs->glob[i - 1], sizeof(last));
		memcpy(globs->glob[index], last, sizeof(last));
	}
}
