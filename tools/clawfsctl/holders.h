/* Who keeps a mount busy. */
#ifndef CLAWFSCTL_HOLDERS_H
#define CLAWFSCTL_HOLDERS_H

#include <stddef.h>

/* Names up to three processes that have something at or below `dir` open, as their directory or mapped: "node (pid 12),
 * bash (pid 34)". This one is not named. "" when none can be seen (other users' are root's to see). */
void holders_list(const char *dir, char *out, size_t size);

#endif
