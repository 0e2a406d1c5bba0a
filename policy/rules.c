/* The default rules. */
#include "policy/classify.h"

#define RULE(c, g)                                                                                                     \
	{                                                                                                              \
		.cls = (c), .glob = (g)                                                                                \
	}

/* First match wins, so the order is the meaning:
 *  - what SQLite keeps beside a database is told by its suffix wherever the
 *    database lies, so it comes before the directories;
 *  - a re-index builds X.sqlite.tmp-<uuid>, which is a database and no
 *    temporary file, so it comes before *.tmp-*;
 *  - directories that belong to other programs come before the extensions
 *    that only our application gives a meaning to: LevelDB's *.log in a browser
 *    profile is no log, and git renames its own *.lock into place. */
static const struct policy_rule default_rules[] = {
	RULE(CLASS_VOLATILE, "*-shm"),
	RULE(CLASS_VOLATILE, "etilqs_*"),

	RULE(CLASS_SQLITE, "*.db"),
	RULE(CLASS_SQLITE, "*.db-wal"),
	RULE(CLASS_SQLITE, "*.db-journal"),
	RULE(CLASS_SQLITE, "*.sqlite"),
	RULE(CLASS_SQLITE, "*.sqlite-wal"),
	RULE(CLASS_SQLITE, "*.sqlite-journal"),
	RULE(CLASS_SQLITE, "*.sqlite3"),
	RULE(CLASS_SQLITE, "*.sqlite3-wal"),
	RULE(CLASS_SQLITE, "*.sqlite3-journal"),
	RULE(CLASS_SQLITE, "*.sqlite.tmp-*"),
	RULE(CLASS_SQLITE, "*.sqlite.backup-*"),

	RULE(CLASS_THROUGH, "workspace/**"),
	RULE(CLASS_THROUGH, "workspace-*/**"),
	RULE(CLASS_THROUGH, "media/**"),
	RULE(CLASS_THROUGH, "browser/**"),
	RULE(CLASS_THROUGH, "memory/lancedb/**"),
	RULE(CLASS_THROUGH, "extensions/**"),
	RULE(CLASS_THROUGH, "hooks/**"),
	RULE(CLASS_THROUGH, "skills/**"),
	RULE(CLASS_THROUGH, "tools/**"),
	RULE(CLASS_THROUGH, "sandboxes/**"),
	RULE(CLASS_THROUGH, "canvas/**"),
	RULE(CLASS_THROUGH, "completions/**"),
	RULE(CLASS_THROUGH, "agents/*/qmd/**"),
	RULE(CLASS_THROUGH, "gateway/**"),
	RULE(CLASS_THROUGH, "**/.git/**"),
	RULE(CLASS_THROUGH, "**/node_modules/**"),

	RULE(CLASS_VOLATILE, "*.lock"),
	RULE(CLASS_VOLATILE, "*.tmp"),
	RULE(CLASS_VOLATILE, "*.tmp-*"),

	RULE(CLASS_LOG, "logs/**"),
	RULE(CLASS_LOG, "*.log"),

	RULE(CLASS_SNAPSHOT, "**/sessions.json"),
	RULE(CLASS_SNAPSHOT, "**/sessions.json.bak.*"),

	RULE(CLASS_APPEND, "*.jsonl"),

	RULE(CLASS_STATE, "*.json"),
	RULE(CLASS_STATE, ".env"),

	RULE(CLASS_THROUGH, ""), /* the end, and the class of what nothing matches */
};

/* Of names alone, as they mean the same everywhere. */
static const struct policy_rule generic_rules[] = {
	RULE(CLASS_VOLATILE, "*-shm"),
	RULE(CLASS_VOLATILE, "etilqs_*"),

	RULE(CLASS_SQLITE, "*.db"),
	RULE(CLASS_SQLITE, "*.db-wal"),
	RULE(CLASS_SQLITE, "*.db-journal"),
	RULE(CLASS_SQLITE, "*.sqlite"),
	RULE(CLASS_SQLITE, "*.sqlite-wal"),
	RULE(CLASS_SQLITE, "*.sqlite-journal"),
	RULE(CLASS_SQLITE, "*.sqlite3"),
	RULE(CLASS_SQLITE, "*.sqlite3-wal"),
	RULE(CLASS_SQLITE, "*.sqlite3-journal"),

	RULE(CLASS_THROUGH, "**/.git/**"),
	RULE(CLASS_THROUGH, "**/node_modules/**"),

	RULE(CLASS_LOG, "logs/**"),
	RULE(CLASS_LOG, "*.log"),
	RULE(CLASS_APPEND, "*.jsonl"),
	RULE(CLASS_STATE, "*.json"),

	RULE(CLASS_THROUGH, ""),
};

const struct policy_rule *policy_default_rules(enum policy_profile profile)
{
	return profile == PROFILE_GENERIC ? generic_rules : default_rules;
}
