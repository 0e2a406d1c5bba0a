#!/bin/bash
# timeout: 120
# P11: with 1 MiB of RAM and writers that are faster than that, memory stays
# under ram_max at every look, writers wait, and nothing is lost.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/logs" "$LOWER/agents/main/sessions"
node "$NODE/new-store.js" "$LOWER/agents/main/sessions/sessions.json" 2 60000
mount_fs ram_max=1M log_flush_ms=600000 log_lines=0 log_bytes=0 append_flush_ms=600000 state_flush_ms=600000 \
	session_debounce_ms=600000 session_max_ms=600000
assert_eq "$(stats ram_max)" $((1 << 20))
watch_start poll poll-ram.js "$MNT/.clawfs/stats.json" "$UPPER" --pause=20
writers=()
for n in 1 2 3; do
	node "$NODE/append.js" "$MNT/logs/fast-$n.log" 10000 --seed=$n --batch=25 &
	writers+=($!)
	node "$NODE/append.js" "$MNT/fast-$n.jsonl" 3000 --seed=$n --batch=3 &
	writers+=($!)
done
node "$NODE/save-sessions.js" "$MNT/agents/main/sessions/sessions.json" 2 50 &
writers+=($!)
for writer in "${writers[@]}"; do wait "$writer"; done
watch_stop poll
assert [ "$(stats classes.log.flushes.pressure)" -ge 1 ]
check() {
	local n
	for n in 1 2 3; do
		node "$NODE/text.js" 10000 --seed=$n | cmp - "$1/logs/fast-$n.log"
		node "$NODE/text.js" 3000 --seed=$n | cmp - "$1/fast-$n.jsonl"
	done
	assert_eq "$(node "$NODE/get.js" last <"$1/agents/main/sessions/sessions.json")" 100
}
check "$MNT"
# Volatile files count too: one that would not fit must not push the rest out.
head -c 3M /dev/zero >"$MNT/large.tmp"
assert [ "$(stats ram_used)" -le $((1 << 20)) ]
assert_eq "$(stat -c %s "$MNT/large.tmp")" $((3 << 20))
rm "$MNT/large.tmp"
umount_fs
check "$LOWER"
