#!/bin/bash
# timeout: 120
# P8: after umount, fusermount3 -u, SIGTERM and SIGINT everything is on the
# lower, plain; SIGPWR and the control file flush and the mount goes on; SIGHUP
# changes nothing. On a mount beside its lower and on one over it.
. "$TESTS/lib.sh"

windows=(log_flush_ms=600000 append_flush_ms=600000 state_flush_ms=600000 session_debounce_ms=600000
	session_max_ms=600000)

# Something unflushed of every class, on the mount and in the plain directory.
dirty() {
	local n=$1 dir
	for dir in "$MNT" "$CASE_DIR/plain"; do
		mkdir -p "$dir/logs" "$dir/agents/$n/sessions" "$dir/workspace"
		printf 'line %s\nhalf' "$n" >>"$dir/logs/gateway.log"
		printf 'line %s\n' "$n" >>"$dir/run.jsonl"
		printf '{"n": %s}' "$n" >"$dir/agents/$n/sessions/sessions.json"
		printf '{"n": %s}' "$n" >"$dir/state.json.tmp"
		mv "$dir/state.json.tmp" "$dir/state.json"
		printf 'N=%s' "$n" >"$dir/.env"
		chmod 600 "$dir/.env"
		printf 'text %s\n' "$n" >>"$dir/workspace/notes.md"
		: >"$dir/empty-$n.json"
	done
}
# While it is mounted, the lower has a place of clawfs's own besides.
lower_is_plain() { diff -rq -x .clawfs "$CASE_DIR/plain" "$LOWER" >/dev/null; }

end_umount() { umount "$MNT"; }
end_fusermount() { fusermount3 -u "$MNT"; }
end_term() { kill -TERM "$DAEMON"; }
end_int() { kill -INT "$DAEMON"; }

n=0
for place in "$CASE_DIR/mnt" "$CASE_DIR/lower"; do
	MNT=$place
	for end in umount fusermount term int; do
		n=$((n + 1))
		mkdir -p "$CASE_DIR/plain"
		mount_fs "${windows[@]}"
		dirty $n
		assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
		if [ "$MNT" != "$LOWER" ]; then refute lower_is_plain; fi
		tree_list "$MNT" >"$CASE_DIR/mounted"
		"end_$end"
		daemon_ended
		assert_same_tree "$CASE_DIR/plain" "$LOWER" no-times
		# Times and modes as the mount showed them last.
		tree_list "$LOWER" | diff "$CASE_DIR/mounted" -
	done
done

MNT=$CASE_DIR/mnt
mount_fs "${windows[@]}"
dirty 100
kill -HUP "$DAEMON"
sleep 0.5
refute lower_is_plain
kill -PWR "$DAEMON"
wait_until lower_is_plain
dirty 101
refute lower_is_plain
flush_fs
assert lower_is_plain
dirty 102
assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
refute sh -c "echo nonsense >$MNT/.clawfs/control"
umount_fs
assert_same_tree "$CASE_DIR/plain" "$LOWER" no-times
