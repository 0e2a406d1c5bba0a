/* Each system call on lower and upper fails, with each errno that it may have, once and for ever, and writes are done
 * by half, under the full load. After each: the daemon lives, nothing that was acknowledged is lost, everything can be
 * read, and when the fault has ended a flush succeeds. An operation that was told of an error may be done, half
 * done or not. What is replayed with only_fault="SIDE CALL ERROR MODE". */
#include "daemon.h"
#include "faultpage.h"
#include "modes.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const call_names[] = {
#define X(name) #name,
	FAULT_CALLS(X)
#undef X
};

static const struct {
	int error;
	const char *name;
} errors[] = {{EIO, "EIO"},	  {ENOSPC, "ENOSPC"}, {EROFS, "EROFS"},	 {EINTR, "EINTR"},
	      {EMFILE, "EMFILE"}, {EDQUOT, "EDQUOT"}, {ENOMEM, "ENOMEM"}};
enum { ERRORS = sizeof(errors) / sizeof(*errors), SHORT = ERRORS, COMBINATIONS_MAX = SIDES * CALLS * (ERRORS + 1) * 2 };

/* What the manual pages give them. */
static bool may_have(enum fault_call call, int error)
{
	bool changes = call != CALL_read && call != CALL_pread && call != CALL_lseek && call != CALL_fstat &&
		       call != CALL_fstatat && call != CALL_fstatvfs && call != CALL_readlink &&
		       call != CALL_getxattr && call != CALL_listxattr && call != CALL_getdents && call != CALL_dup;

	switch (error) {
	case EIO:
	case ENOMEM:
		return call != CALL_dup;
	case ENOSPC:
	case EDQUOT:
		return changes && call != CALL_unlink;
	case EROFS:
		return changes;
	case EINTR:
		return call == CALL_open || call == CALL_read || call == CALL_write || call == CALL_pread ||
		       call == CALL_pwrite || call == CALL_ftruncate || call == CALL_fallocate || call == CALL_fsync ||
		       call == CALL_fdatasync;
	case EMFILE:
		return call == CALL_open || call == CALL_dup;
	}
	return false;
}

struct fault {
	enum fault_side side;
	enum fault_call call;
	int error; /* index; SHORT */
	bool ever;
};

static const char *said(const struct fault *f)
{
	static char text[100];

	snprintf(text, sizeof(text), "%s %s %s %s", f->side == SIDE_LOWER ? "lower" : "upper", call_names[f->call],
		 f->error == SHORT ? "short" : errors[f->error].name, f->ever ? "ever" : "once");
	return text;
}

/* All that the load has passed, in a random order. */
static unsigned list_faults(const struct fault_page *page, uint64_t seed, struct fault *list)
{
	unsigned count = 0;

	for (int side = SIDE_LOWER; side < SIDES; side++) {
		for (int call = 0; call < CALL_point; call++) {
			if (!page->counts[side][call])
				continue;
			for (int e = 0; e < ERRORS; e++)
				for (int ever = 0;
				     ever < (errors[e].error == EINTR ? 1 : 2) && may_have(call, errors[e].error);
				     ever++)
					list[count++] = (struct fault){side, call, e, ever};
			if (call == CALL_pwrite || call == CALL_write || call == CALL_pread)
				list[count++] = (struct fault){side, call, SHORT, false};
		}
	}
	for (unsigned i = count; i > 1; i--) {
		unsigned k = (unsigned)(mix(seed, 22, i) % i);
		struct fault kept = list[i - 1];
		list[i - 1] = list[k];
		list[k] = kept;
	}
	return count;
}

static void strike(struct fault_page *page, const struct fault *f, uint64_t r)
{
	page->side = f->side;
	page->call = f->call;
	page->point = 0;
	page->error = f->error == SHORT ? 0 : errors[f->error].error;
	page->skip = f->ever ? 0 : (uint32_t)(r % 6);
	page->fired = 0;
	__atomic_store_n(&page->mode,
			 f->error == SHORT ? FAULT_SHORT
			 : f->ever	   ? FAULT_EVER
					   : FAULT_ONCE,
			 __ATOMIC_RELEASE);
}

/* A flush succeeds, once the card is well. */
static int flush_in_time(const struct daemon *d)
{
	int rc = -EIO;

	for (usec_t end = usec_now() + (usec_t)20000000 * d->slow; usec_now() < end; usleep(20000)) {
		rc = daemon_flush(d);
		if (rc == 0)
			return 0;
	}
	fprintf(stderr, "WRONG daemon: the fault has ended, but a flush says: %s\n", strerror(-rc));
	return -1;
}

static int one_fault(struct daemon *d, struct crew *c, struct fault_page *page, const struct fault *f, uint64_t r,
		     unsigned *struck)
{
	int status;

	crew_go(c);
	crew_expect_failure(c);
	strike(page, f, r);
	if (f->ever) {
		usleep(150000);
		daemon_flush(d);
	}
	for (int wait = 0; !f->ever && wait < 250 && !__atomic_load_n(&page->fired, __ATOMIC_ACQUIRE); wait++)
		usleep(1000);
	if (!f->ever)
		usleep(20000);
	__atomic_store_n(&page->mode, FAULT_OFF, __ATOMIC_RELEASE);
	*struck += page->fired > 0;
	crew_halt(c);
	if (daemon_ended(d, &status)) {
		fprintf(stderr, "WRONG daemon: ended, status %x\n", status);
		return -1;
	}
	if (crew_check(c, d->mnt, JUDGE_FAULT, 0, 0, true) || flush_in_time(d) < 0)
		return -1;
	/* Whoever was told of an error does it again, and then all is well. */
	crew_go(c);
	usleep(30000);
	crew_halt(c);
	return crew_errors(c) || crew_check(c, d->mnt, JUDGE_MOUNT, 0, 0, false) ? -1 : 0;
}

int mode_faults(void)
{
	static struct fault list[COMBINATIONS_MAX];
	const char *dir = argument("dir", NULL), *only = argument("only_fault", "");
	long long rounds = argument_number("rounds", 10), round;
	char acks[600];
	struct daemon d;
	unsigned struck = 0;
	int rc = 0;

	snprintf(acks, sizeof(acks), "%s/acks", dir);
	daemon_init(&d, argument("clawfs", NULL), dir, argument("shm", NULL));
	struct fault_page *page = daemon_with_faults(&d, dir);
	struct crew_options o = crew_arguments(d.mnt, acks);
	o.fresh = o.forgets_times = true;
	struct crew *c = crew_create(&o);
	usec_t begin = usec_now();
	if (!c || !page ||
	    daemon_start(
		    &d,
		    "log_flush_ms=60,append_flush_ms=40,state_flush_ms=20,session_debounce_ms=20,session_max_ms=60,"
		    "epoch_reach_ms=20,sqlite_sync_ms=200,sqlite_checkpoint_ms=500,retry_ms=100,retry_max_ms=400") !=
		    0 ||
	    crew_prepare(d.mnt) < 0)
		return 1;
	crew_go(c);
	usleep(2500000);
	crew_halt(c);
	unsigned count = list_faults(page, o.seed, list);
	for (round = 0; round < rounds && round < count && rc == 0; round++) {
		const struct fault *f = &list[round];
		if (*only && strcmp(only, said(f)) != 0)
			continue;
		if (argument_number("verbose", 0))
			fprintf(stderr, "fault %s\n", said(f));
		rc = one_fault(&d, c, page, f, mix(o.seed, 23, (uint64_t)round), &struck);
		if (rc < 0)
			fprintf(stderr, "WRONG with the fault \"%s\"\n", said(f));
	}
	if (rc == 0)
		rc = end_and_judge(&d, c);
	if (rc < 0) {
		crew_halt(c);
		daemon_kill(&d);
		daemon_take_away(&d);
	}
	printf("coverage seed %llu faults %lld of %u, struck %u\n", (unsigned long long)o.seed, round, count, struck);
	printf("kill rounds %lld operations %llu errors %u supervised %d longest-ms %.0f seconds %.1f wrong %d\n",
	       round, (unsigned long long)crew_done(c), crew_errors(c), daemon_is_supervised(&d),
	       (double)crew_longest(c) / 1e3, (double)(usec_now() - begin) / 1e6, rc < 0);
	crew_destroy(c);
	return rc < 0;
}
