#!/bin/bash
# timeout: 150
# P6, P12: kill -9 of the daemon loses nothing that a call has acknowledged. At
# rest with everything unflushed, and at random instants under writers with
# flushes running.
. "$TESTS/lib.sh"

# At rest.
windows=(log_flush_ms=600000 append_flush_ms=600000 state_flush_ms=600000 session_debounce_ms=600000
	session_max_ms=600000)
sample_tree "$LOWER"
mount_fs "${windows[@]}"
node "$NODE/append.js" "$MNT/logs/gateway.log" 50 --from=150
node "$NODE/append.js" "$MNT/new.jsonl" 50
node "$NODE/save-sessions.js" "$MNT/agents/main/sessions/sessions.json" 2 3
printf '{"in": "place"}' >"$MNT/secureclaw.json"
mkdir -p "$MNT/fresh/deep"
printf '{"a": 1}' >"$MNT/fresh/deep/x.json"
printf 'half a line' >>"$MNT/logs/gateway.log"
mv "$MNT/.env" "$MNT/env.json"
rm "$MNT/agents/main/agent/models.json"
printf 'pid' >"$MNT/some.lock"
chmod 640 "$MNT/credentials/oauth.json"
touch -d '2001-02-03 04:05:06.789012345' "$MNT/new.jsonl"
cp -a "$MNT" "$CASE_DIR/mounted"
kill9
umount "$MNT"
mount_fs "${windows[@]}"
assert_same_tree "$CASE_DIR/mounted" "$MNT"
node "$NODE/append.js" "$MNT/new.jsonl" 10 --from=50
node "$NODE/text.js" 60 | cmp - "$MNT/new.jsonl"
# And once more before anything was flushed.
kill9
umount "$MNT"
mount_fs "${windows[@]}"
node "$NODE/text.js" 60 | cmp - "$MNT/new.jsonl"
rm "$CASE_DIR/mounted/new.jsonl" "$MNT/new.jsonl" "$CASE_DIR/mounted/some.lock"
umount_fs
assert_same_tree "$CASE_DIR/mounted" "$LOWER"

# Under writers.
LOWER=$CASE_DIR/busy
mkdir -p "$LOWER/logs" "$LOWER/agents/main/sessions" "$CASE_DIR/acks"
node "$NODE/new-store.js" "$LOWER/agents/main/sessions/sessions.json" 1 60000
node "$NODE/new-store.js" "$LOWER/auth-profiles.json" 1 3000
RANDOM=$(date +%N | sed 's/^0*//')
echo "seed $RANDOM"
for round in $(seq 8); do
	mount_fs log_flush_ms=100 append_flush_ms=100 state_flush_ms=100 session_debounce_ms=50 session_max_ms=100
	if [ "$round" -gt 1 ]; then
		node "$NODE/powercut-check.js" "$MNT" "$CASE_DIR/acks" 1e15 0 --mount
		# The killed writer's lock, which a live application finds to be stale.
		rm -f "$MNT/agents/main/sessions/sessions.json.lock"
	fi
	writers=()
	for kind in log append sessions state; do
		node "$NODE/powercut-writer.js" "$MNT" "$CASE_DIR/acks/$kind" "$kind" --stop="$CASE_DIR/stop" 2>/dev/null &
		writers+=($!)
	done
	sleep "$((RANDOM % 2)).$((RANDOM % 900 + 100))"
	kill9
	for writer in "${writers[@]}"; do wait "$writer" || true; done
	umount "$MNT"
done
mount_fs
node "$NODE/powercut-check.js" "$MNT" "$CASE_DIR/acks" 1e15 0 --mount
umount_fs
node "$NODE/powercut-check.js" "$LOWER" "$CASE_DIR/acks" 1e15 0
