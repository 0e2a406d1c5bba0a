#ifndef BENCH_APPIO_H
#define BENCH_APPIO_H

#include <stdbool.h>
#include <stddef.h>

/* The application's sequences of system calls, call by call as traces of it show them
 * (shared/APPLICATION-IO.md of the project). Both return 0 or a negative errno. `sync`: with the fdatasync that
 * the application does not do. */

/* A log or transcript line, or many: open for appending, one write, close. */
int appio_append(const char *path, const void *bytes, size_t len, bool sync);

/* A save of the session store DIR/sessions.json below ROOT: lock file, the old store read in 8 KiB reads,
 * temporary, rename, chmod, lock file away. Waits while another process has the lock.
 * `dir` is ROOT with a relative path behind it. */
int appio_save(const char *root, const char *dir, const char *text, size_t len, bool sync);

#endif
