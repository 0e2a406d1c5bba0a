/* Options under the names and in the units of others: the application's own settings for its database connection and
 * its buffers, in `secureclaw.json` (memory.store.sqlite) and in SECURECLAW_* variables. They mean the option named
 * here, in the sense it has for a file system:
 *   wal mode      sqlite_wal        a switch, or a journal mode's name
 *   synchronous   sqlite_sync       a name or SQLite's number; EXTRA is full
 *   cache size    sqlite_cache      of the steward's connections; JSON as PRAGMA cache_size: pages, or -KiB
 *   size limit    sqlite_wal_limit  bytes; -1 is none
 *   cache TTL     cache_ms          how long the kernel keeps clean names and attributes in RAM */
#ifndef CLAWFS_POLICY_ALIAS_H
#define CLAWFS_POLICY_ALIAS_H

#include <stdbool.h>
#include <stddef.h>

enum policy_alias_kind { ALIAS_SAME, ALIAS_KIB, ALIAS_PAGES, ALIAS_WAL, ALIAS_SYNC, ALIAS_LIMIT };

struct policy_alias {
	const char *name;
	const char *option;
	enum policy_alias_kind kind;
};

/* By environment variable, by key of memory.store.sqlite; terminated by a NULL name. */
const struct policy_alias *policy_env_aliases(void);
const struct policy_alias *policy_json_aliases(void);

/* `text` in the option's own words, into `out` of `size`. 0; -EINVAL with reason and remedy in `why` for what can be
 * told to be wrong here; other texts go on as they are, for policy_config_set to judge. */
int policy_alias_value(enum policy_alias_kind kind, const char *text, char *out, size_t size, char *why,
		       size_t why_size);

#endif
