#include "policy/nearest.h"
#include <string.h>

#define EDITS_MAX 3

/* Levenshtein's distance. `a` is of any length, `b` shorter than NEAREST_NAME_MAX. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NEAREST_NAME_MAX], diagonal, above, best, i, j;
	size_t len = strlen(b);

	for (j = 0; j <= len; j++)
		row[j] = j;
	for (i = 0; a[i]; i++) {
		diagonal = row[0];
		row[0] = i + 1;
		for (j = 0; j < len; j++) {
			above = row[j + 1];
			best = diagonal + (a[i] != b[j]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			diagonal = above;
			row[j + 1] = best;
		}
	}
	return row[len];
}

void policy_nearest_init(struct policy_nearest *nearest, const char *name)
{
	size_t half = strlen(name) / 2;

	*nearest = (struct policy_nearest){.name = name, .limit = half < EDITS_MAX ? half : EDITS_MAX};
}

void policy_nearest_try(struct policy_nearest *nearest, const char *candidate)
{
	size_t d;

	if (strlen(candidate) >= NEAREST_NAME_MAX)
		return;
	d = distance(nearest->name, candidate);
	if (d <= nearest->limit && (!nearest->best || d < nearest->distance)) {
		nearest->best = candidate;
		nearest->distance = d;
	}
}
