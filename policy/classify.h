/* From a path to a class. Rules are tried in order, the first match wins;
 * the user's own (`class:glob`) stand in front of the defaults.
 *
 * Globs, matched against the path relative to the mount, without a leading
 * slash, byte by byte (no locale):
 *   ?      one byte but '/'
 *   *      any run of bytes but '/', also none
 *   **     any run of bytes, '/' included; as a whole component with another
 *          after it ("a/ ** /b" without the blanks) also no component at all;
 *          "a/ **" is what lies below a, not a itself
 *   [a-z]  one byte of the set, [!a-z] one not of it; never '/'; a ']' that
 *          comes first is a member
 *   \x     the byte x itself
 * A glob without '/' is matched against the last component alone, so
 * "*.log" holds at any depth; one with a '/' against the whole path. */
#ifndef CLAWFS_POLICY_CLASSIFY_H
#define CLAWFS_POLICY_CLASSIFY_H

#include "policy/types.h"

#define POLICY_GLOB_MAX	 255 /* bytes in a glob, without the NUL */
#define POLICY_RULES_MAX 64  /* rules of the user's own */

struct policy_rule {
	enum policy_class cls;
	char glob[POLICY_GLOB_MAX + 1];
};

/* The application, whose directory it is: which rules are the default. */
enum policy_profile {
	PROFILE_SECURECLAW,
	PROFILE_OPENCLAW, /* the same rules: it is the same program */
	PROFILE_GENERIC,  /* any directory: only what holds everywhere. A "*.lock" may be somebody's data there */
	PROFILE_COUNT
};

struct policy_rules {
	unsigned count;
	struct policy_rule rule[POLICY_RULES_MAX];
	enum policy_profile profile;
	unsigned off; /* bits 1 << class: what would be of this class is of class through */
};

/* A list of globs, as some options take one. */
#define POLICY_GLOBS_MAX 32
struct policy_globs {
	unsigned count;
	char glob[POLICY_GLOBS_MAX][POLICY_GLOB_MAX + 1];
};

/* As policy_rules_add, for a glob alone. */
int policy_globs_add(struct policy_globs *globs, const char *glob, char *why, size_t why_size);
/* Whether one of them matches `path` or a directory above it. */
bool policy_globs_match(const struct policy_globs *globs, const char *path);

/* Whether `path` matches `glob` as above. Time is bounded by
 * O(len(glob) * len(path)), whatever the glob (a hostile rule costs nothing).
 * An empty glob, one longer than POLICY_GLOB_MAX and one that
 * policy_rules_add() would call broken (unclosed [, '\' at the end) match
 * nothing. */
bool policy_glob_match(const char *glob, const char *path);

/* Parses one `class:glob` and appends it. 0; -EINVAL with a sentence fragment
 * in `why` ("unknown class \"lgo\"; one of log, append, ...", "empty glob",
 * "unclosed [" ...); -ENOSPC when the table is full; -ENAMETOOLONG. */
int policy_rules_add(struct policy_rules *rules, const char *text, char *why, size_t why_size);

/* The class of `path`, which names something that is not a directory.
 * `rules` may be NULL: no rules of one's own, nothing off. Never fails: what nothing matches is CLASS_THROUGH. */
enum policy_class policy_classify(const struct policy_rules *rules, const char *path);

/* Whether a rule of the user's own decides about `path`, and then which class
 * it says. */
bool policy_classify_own(const struct policy_rules *rules, const char *path, enum policy_class *cls);

/* Whether a name that is volatile is a lock's by the default rules: some bytes, written once. */
bool policy_is_lock(const char *name);

/* Whether a directory that is made at `path` lives in RAM only (a lock
 * directory, as the npm package proper-lockfile makes them): a user's rule
 * decides if one matches; else *.lock outside the default through directories.
 * What is put into such a directory is classified by its own path, so it may
 * need the directory on the lower after all. */
bool policy_classify_dir_volatile(const struct policy_rules *rules, const char *path);

/* The default rules in their order, for --help and the README; terminated by
 * an empty glob. */
const struct policy_rule *policy_default_rules(enum policy_profile profile);

#endif
