/* What a service manager is told: sd_notify(3), over the socket named in $NOTIFY_SOCKET. A unit wants Type=notify and
 * NotifyAccess=all. All of it does nothing when there is no such socket; all functions take NULL.
 *
 * With $WATCHDOG_USEC, WATCHDOG=1 is sent four times in that time, as long as `alive` says so; a daemon that hangs is
 * then killed and started anew, and nothing is lost (P6). While the end is flushed the manager's time-out for it is
 * extended, but for no longer than ten minutes: a card that never answers must not keep a machine from being switched
 * off. */
#ifndef CLAWFS_NOTIFY_H
#define CLAWFS_NOTIFY_H

#include <stdbool.h>

struct notify;

/* `alive` is called by a thread of its own and must return in a bounded time. NULL without a manager, or memory. */
struct notify *notify_create(bool (*alive)(void *arg), void *arg);
void notify_destroy(struct notify *n);

/* The mount serves; `status` is shown by systemctl. Signals are blocked in the calling thread. */
void notify_ready(struct notify *n, const char *status);
/* The end has begun, and may take as long as a flush does. */
void notify_stopping(struct notify *n, const char *status);

#endif
