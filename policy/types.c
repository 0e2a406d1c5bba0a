/* Names of classes and causes: part of the options, the rules and the stats. */
#include "policy/types.h"

#include <string.h>

static const char *const class_names[CLASS_COUNT] = {
	[CLASS_LOG] = "log",	     [CLASS_APPEND] = "append",	    [CLASS_SNAPSHOT] = "snapshot",
	[CLASS_STATE] = "state",     [CLASS_VOLATILE] = "volatile", [CLASS_SQLITE] = "sqlite",
	[CLASS_THROUGH] = "through",
};

static const char *const cause_names[CAUSE_COUNT] = {
	[CAUSE_NONE] = "none",	   [CAUSE_INTERVAL] = "interval", [CAUSE_LINES] = "lines", [CAUSE_BYTES] = "bytes",
	[CAUSE_URGENT] = "urgent", [CAUSE_PRESSURE] = "pressure", [CAUSE_SYNC] = "sync",   [CAUSE_CLASS] = "class",
	[CAUSE_REACH] = "reach",   [CAUSE_END] = "end",
};

const char *policy_class_name(enum policy_class cls)
{
	return (unsigned)cls < CLASS_COUNT ? class_names[cls] : "unknown";
}

enum policy_class policy_class_parse(const char *name, size_t len)
{
	unsigned i;

	for (i = 0; i < CLASS_COUNT; i++) {
		if (strlen(class_names[i]) == len && memcmp(class_names[i], name, len) == 0)
			break;
	}
	return (enum policy_class)i;
}

const char *policy_cause_name(enum policy_cause cause)
{
	return (unsigned)cause < CAUSE_COUNT ? cause_names[cause] : "unknown";
}
