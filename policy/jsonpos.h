/* In which line of a JSON or JSON5 text a member stands, so that a message can say it: SQLite's functions tell
 * values, not places. The text is known to parse; for one that does not, the answer means nothing. */
#ifndef CLAWFS_POLICY_JSONPOS_H
#define CLAWFS_POLICY_JSONPOS_H

#include <stddef.h>

#define JSONPOS_DEPTH_MAX 8

/* The line, from 1, of the key that `path` leads to: keys of nested objects, `depth` of them (at most
 * JSONPOS_DEPTH_MAX). Of several equal keys the first. 0 when it is not found, which it also is not when a key is
 * written with escapes. */
unsigned policy_json_line(const char *text, size_t len, const char *const *path, unsigned depth);

#endif
