/* Any bytes as a name in a log's life: nothing reads or writes beyond, and what
 * the functions say of each other's answers fits. */
#include "policy/logname.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NEED(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

static void names(enum policy_parts parts, const char *name)
{
	struct log_name log, other, again;
	uint32_t number = policy_log_part(parts, name, &log), highest = 0;

	if (policy_log_packed(name, &other))
		NEED(policy_log_is(name) && policy_log_unpacked(other.text, &again) && strcmp(again.text, name) == 0);
	if (policy_log_unpacked(name, &other))
		NEED(policy_log_packed(other.text, &again) && strcmp(again.text, name) == 0);
	if (number) {
		NEED(number <= LOG_PART_MAX && policy_log_is(log.text));
		/* The name is the one that clawfs would have given, or its compressed one. */
		NEED(policy_log_next(parts, log.text, number - 1, &other) || strlen(name) > LOG_NAME_MAX - 3);
		policy_log_seen(parts, log.text, name, &highest);
		NEED(highest == number);
	}
	if (policy_log_next(parts, name, (uint32_t)strlen(name), &other)) {
		NEED(policy_log_part(parts, other.text, &log) == strlen(name) + 1 && strcmp(log.text, name) == 0);
		NEED(policy_log_packed(other.text, &again));
	}
}

static void paths(const char *path)
{
	enum log_kind kind = policy_log_kind(NULL, path);
	bool may_delete = policy_log_may_delete(NULL, PARTS_DOT, path, true);

	NEED(!policy_log_may_pack(NULL, path) || kind == LOG_PLAIN);
	NEED(!may_delete || kind != LOG_OTHER);
	NEED(policy_log_may_delete(NULL, PARTS_DOT, path, false) == (kind == LOG_PACKED));
	NEED(kind != LOG_PLAIN || policy_classify(NULL, path) == CLASS_LOG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[10000];

	if (size >= sizeof(name))
		return 0;
	memcpy(name, data, size);
	name[size] = '\0';
	names(PARTS_DOT, name);
	names(PARTS_DASH, name);
	paths(name);
	return 0;
}
