/* Any bytes as a configuration file, as a list of -o, as a list of values, as one rule: nothing reads or writes
 * beyond, what is refused changes nothing, and what is taken can be written as text that gives the same. */
#include "policy/alias.h"
#include "policy/config.h"
#include "policy/conftext.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NEED(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

static struct policy_config config, before, again;

/* Text of every value, read back. */
static void show_and_read(const struct policy_option *option)
{
	char text[POLICY_TEXT_MAX], quoted[2 * POLICY_TEXT_MAX + 8], line[sizeof(quoted) + 64], why[400];
	static struct conftext_entry entry;
	unsigned count = policy_option_count(&config, option);
	struct conftext c;

	policy_config_init(&again);
	for (unsigned i = 0; i < count; i++) {
		NEED(policy_option_text(&config, option, i, text, sizeof(text)));
		if (!conftext_quote(text, quoted, sizeof(quoted)))
			return;
		size_t len = strlen(option->name);
		memcpy(line, option->name, len);
		memcpy(line + len, " = ", 3);
		strcpy(line + len + 3, quoted);
		conftext_init(&c, line, strlen(line));
		NEED(conftext_file_next(&c, &entry, why, sizeof(why)) == CONFTEXT_ENTRY);
		NEED(strcmp(entry.name, option->name) == 0 && strcmp(entry.value, text) == 0);
		NEED(policy_config_set(&again, entry.name, entry.value, why, sizeof(why)) == 0);
	}
	NEED(policy_option_same(&config, &again, option));
}

static void set(const struct conftext_entry *entry)
{
	char why[400] = "", text[CONFTEXT_VALUE_MAX];

	for (int kind = ALIAS_SAME; entry->value && kind <= ALIAS_LIMIT; kind++)
		if (policy_alias_value((enum policy_alias_kind)kind, entry->value, text, sizeof(text), why,
				       sizeof(why)) == 0)
			NEED(strlen(text) < sizeof(text));
	before = config;
	why[0] = '\0';
	if (policy_config_set(&config, entry->name, entry->value, why, sizeof(why)) == 0)
		show_and_read(policy_option_find(entry->name));
	else
		NEED(*why && memcmp(&config, &before, sizeof(config)) == 0);
}

typedef enum conftext_result next_fn(struct conftext *, struct conftext_entry *, char *, size_t);

static void read_all(const char *text, size_t len, next_fn *next)
{
	static struct conftext_entry entry;
	enum conftext_result result;
	struct conftext c;
	char why[400];

	policy_config_init(&config);
	conftext_init(&c, text, len);
	while ((result = next(&c, &entry, why, sizeof(why))) != CONFTEXT_END) {
		NEED(strlen(entry.name) < sizeof(entry.name));
		if (result == CONFTEXT_BROKEN)
			NEED(*why);
		else
			set(&entry);
	}
	NEED(c.at == c.end);
	if (policy_config_check(&config, why, sizeof(why)) == 0)
		NEED(config.file_max > 0 && config.file_max <= config.ram_max);
	policy_classify(&config.rules, "agents/main/sessions/sessions.json");
	policy_classify_dir_volatile(&config.rules, "a/b.lock");
}

static void read_rule(const char *text)
{
	char why[400] = "";

	policy_config_init(&config);
	if (policy_config_set(&config, "rule", text, why, sizeof(why)) == 0) {
		NEED(config.rules.count == 1);
		show_and_read(policy_option_find("rule"));
		policy_classify(&config.rules, text);
	} else {
		NEED(*why && config.rules.count == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[20000];

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	read_all(text, size, conftext_file_next);
	read_all(text, size, conftext_list_next);
	read_all(text, size, conftext_item_next);
	read_rule(text);
	return 0;
}
