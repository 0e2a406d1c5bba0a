/* The modes of the program `crash`, and how they get at its arguments. Each returns the exit status. */
#ifndef CLAWFS_TESTS_CRASH_MODES_H
#define CLAWFS_TESTS_CRASH_MODES_H

#include "crew.h"

/* The value of key=value; `otherwise` NULL: it must be there. */
const char *argument(const char *key, const char *otherwise);
long long argument_number(const char *key, long long otherwise);
/* only=, seed= and pace=. */
struct crew_options crew_arguments(const char *mnt, const char *acks);

int mode_kill(void); /* kill.c */

#endif
