/* An operation that never returns cannot be interrupted (its process waits for
 * the daemon, deaf to signals), so a thread watches and says which it is. */
#include "model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define PATIENCE 45 /* seconds; a flush under a sanitizer takes a few */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct oplist *current; /* guarded by lock */
static uint64_t current_seed;	     /* likewise */
static atomic_size_t steps;	     /* begun, in all lists */
static atomic_size_t at;	     /* in the current list */

static void *watch(void *arg)
{
	size_t seen = 0;

	for (unsigned idle = 0; idle < PATIENCE; idle++) {
		sleep(1);
		if (atomic_load(&steps) != seen)
			idle = 0;
		seen = atomic_load(&steps);
	}
	pthread_mutex_lock(&lock);
	size_t step = atomic_load(&at), from = step > LIST_MAX ? step - LIST_MAX : 0;
	printf("model: HANGS, seed %llu, at the last of these (%zu were before them):\n",
	       (unsigned long long)current_seed, from);
	for (size_t i = from; current && i <= step && i < current->n; i++) {
		op_print(stdout, &current->v[i]);
		putchar('\n');
	}
	if (!current || step >= current->n)
		printf("(the comparison at the end)\n");
	fflush(stdout);
	_exit(1);
}

void watchdog_start(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, watch, NULL) != 0)
		die("no thread for the watchdog");
	pthread_detach(thread);
}

void watchdog_list(const struct oplist *list, uint64_t seed)
{
	pthread_mutex_lock(&lock);
	current = list;
	current_seed = seed;
	pthread_mutex_unlock(&lock);
}

void watchdog_step(size_t step)
{
	atomic_store(&at, step);
	atomic_fetch_add(&steps, 1);
}
