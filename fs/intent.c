#include "fs/intent.h"
#include "fs/crashpoint.h"
#include "fs/fs.h"
#include <stdio.h>
#include <string.h>

void intent_begin(struct clawfs *fs, const struct intent *intent)
{
	struct intent *to = &fs->shared->intent;
	const struct request *r = request_current();
	struct intent filled = *intent;

	filled.op = INTENT_NONE;
	filled.request = r ? (uint32_t)(r - fs->shared->requests.record) + 1 : 0;
	CRASH_POINT("intent: fill");
	*to = filled;
	CRASH_POINT("intent: announce");
	__atomic_store_n(&to->op, intent->op, __ATOMIC_RELEASE);
	CRASH_POINT("intent: begin");
}

void intent_make(struct clawfs *fs, uint32_t parent, const char *name, bool lower)
{
	struct intent intent = {.op = INTENT_MAKE, .parent = parent, .lower = lower};

	snprintf(intent.name, sizeof(intent.name), "%s", name);
	intent_begin(fs, &intent);
}

void intent_end(struct clawfs *fs, int rc, uint32_t node)
{
	CRASH_POINT("intent: request done");
	if (rc == 0 && fs->shared->intent.op != INTENT_NONE)
		request_done(0, node);
	CRASH_POINT("intent: clear");
	intent_clear(fs);
	CRASH_POINT("intent: cleared");
}

void intent_clear(struct clawfs *fs)
{
	__atomic_store_n(&fs->shared->intent.op, INTENT_NONE, __ATOMIC_RELEASE);
}
