/* "Did you mean": the nearest of the names there are. */
#ifndef CLAWFS_POLICY_NEAREST_H
#define CLAWFS_POLICY_NEAREST_H

#include <stddef.h>

/* Bytes of the longest name that is tried, with its NUL; longer ones are never near. */
#define NEAREST_NAME_MAX 48

struct policy_nearest {
	const char *name; /* as it was written; of any length */
	const char *best; /* of those tried, the nearest within `limit`; NULL */
	size_t distance;
	size_t limit;
};

/* Near is what is at most 3 edits away, and at most half the length of `name` (or "ro" would suggest "rule"). */
void policy_nearest_init(struct policy_nearest *nearest, const char *name);
/* The first of several that are equally near stays. Case is an edit. */
void policy_nearest_try(struct policy_nearest *nearest, const char *candidate);

#endif
