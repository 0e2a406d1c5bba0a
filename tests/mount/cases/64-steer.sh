#!/bin/bash
# timeout: 60
# fs/serve.h, fs/steer.h: who serves goes to the core of the program that asks, and on to the next one's.
. "$TESTS/lib.sh"

cc -std=gnu11 -D_GNU_SOURCE -O2 -o "$CASE_DIR/ask" "$TESTS/ask.c"
mount_fs
echo text >"$MNT/file.json"
worker=$(stats worker)

# Where that thread of the worker is which runs most: the one that serves.
serves_on() {
	local task
	for task in "/proc/$worker/task/"*; do echo "$(cut -d' ' -f1 "$task/schedstat") $task"; done | sort -k2 >"$CASE_DIR/before"
	sleep 0.2
	for task in "/proc/$worker/task/"*; do echo "$(cut -d' ' -f1 "$task/schedstat") $task"; done | sort -k2 >"$CASE_DIR/after"
	task=$(join -1 2 -2 2 "$CASE_DIR/before" "$CASE_DIR/after" | awk '{ print $3 - $2, $1 }' | sort -n | tail -n 1 | cut -d' ' -f2)
	[ "$(sed 's/.*) //' "$task/stat" | cut -d' ' -f37)" = "$1" ]
}

cores=$(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | while IFS=- read -r from to; do seq "$from" "${to:-$from}"; done)
if [ "$(wc -w <<<"$cores")" -eq 1 ]; then
	# There is nowhere to go: one core serves and asks.
	umount_fs
	exit 0
fi
for core in $cores $cores $cores; do
	"$CASE_DIR/ask" "$MNT/file.json" "$core" &
	asker=$!
	wait_until serves_on "$core"
	kill "$asker"
	wait "$asker" || true
done
# So many programs are known at most.
assert test "$(find "/proc/$DAEMON/fd" -lname '/proc/*/stat' | wc -l)" -le 8
# fs/priority.h: the threads that flush and watch do not preempt those that serve (field 41: 3 is SCHED_BATCH).
policies() { for task in "/proc/$worker/task/"*; do sed 's/.*) //' "$task/stat" | cut -d' ' -f39; done | sort | uniq -c | xargs; }
assert grep -Eq '^[2-9] 0 [0-9]+ 3$' <(policies)
cat "/proc/$worker/task/"*/status | grep -Eq '^Cpus_allowed_list:[[:space:]]*[0-9]+$' || fail "no thread is held on one core"
umount_fs
