#!/bin/bash
# timeout: 120
# The way out: a switch for each feature, the plain behaviour behind it, and plain files after unmount.
. "$TESTS/lib.sh"

sessions=agents/main/sessions
mkdir -p "$LOWER/logs" "$LOWER/$sessions" "$LOWER/memory"
# Windows so long that nothing reaches the lower by itself.
slow=(log_flush_ms=600000 log_lines=0 append_flush_ms=600000 session_debounce_ms=600000 session_max_ms=600000 state_flush_ms=600000)

# One write of each class, as the application makes it.
write_all() {
	echo "$1" >>"$MNT/logs/a.log"
	echo "{\"n\": \"$1\"}" >>"$MNT/$sessions/a.jsonl"
	echo "{\"n\": \"$1\"}" >"$MNT/$sessions/sessions.json.1.tmp"
	mv "$MNT/$sessions/sessions.json.1.tmp" "$MNT/$sessions/sessions.json"
	echo "{\"n\": \"$1\"}" >"$MNT/state.json"
}
declare -A FILE=([log]=logs/a.log [append]=$sessions/a.jsonl [snapshot]=$sessions/sessions.json [state]=state.json)
declare -A SWITCH=([log]=log_buffer [append]=append_buffer [snapshot]=session_buffer [state]=state_buffer)
has() { grep -qs "\b$2\b" "$LOWER/${FILE[$1]}"; }

# One is off: its file is on the lower at once, the others wait.
for off in log append snapshot state; do
	mount_fs "${slow[@]}" "${SWITCH[$off]}=off"
	write_all "one$off"
	for class in log append snapshot state; do
		if [ "$class" = "$off" ]; then
			has "$class" "one$off" || fail "${SWITCH[$off]}=off, and ${FILE[$class]} is not on the lower"
		else
			! has "$class" "one$off" || fail "with ${SWITCH[$off]}=off alone ${FILE[$class]} did not wait"
		fi
	done
	assert_eq "$(stats classes "$off" dirty_bytes)" 0
	umount_fs
	for class in log append snapshot state; do
		has "$class" "one$off" || fail "after unmount ${FILE[$class]} lacks its last write"
	done
done

# All are off: nothing waits at all, and what is done to a file is what its file system does.
plain=(log_buffer=off append_buffer=off session_buffer=off state_buffer=off log_gzip=off passthrough=off sqlite_wal=off)
mount_fs "${slow[@]}" "${plain[@]}"
write_all two
sqlite3 "$MNT/memory/a.sqlite" 'create table t(a); insert into t values (1), (2);'
diff <(tree_sums "$MNT") <(tree_sums "$LOWER") || fail "the lower (>) is not what the mount (<) shows"
assert_eq "$(stats totals dirty_bytes)" 0
assert_eq "$(sqlite3 "$MNT/memory/a.sqlite" 'pragma journal_mode')" delete "the journal mode, 2 s later at the latest"
echo three >>"$MNT/logs/a.log"
: >"$MNT/state.json"
assert_same_file "$LOWER/logs/a.log" "$MNT/logs/a.log"
assert_eq "$(stat -c %s "$LOWER/state.json")" 0 "the size on the lower of a file that was cut"
kill9
fusermount3 -u "$MNT"
assert_eq "$(tail -n 1 "$LOWER/logs/a.log")" three "the last line, after kill -9 of a daemon that buffers nothing"

# What a mount with buffers has left in RAM, the next one, without them, takes over (P6).
mount_fs "${slow[@]}"
write_all four
echo '{"n": "four, whole"}' >"$MNT/new.json"
kill9
fusermount3 -u "$MNT"
for class in log append snapshot state; do
	! has "$class" four || fail "${FILE[$class]} did not wait in RAM, so the test shows nothing"
done
mount_fs "${slow[@]}" "${plain[@]}"
for class in log append snapshot state; do
	grep -q four "$MNT/${FILE[$class]}" || fail "${FILE[$class]} lacks what was in RAM"
done
assert grep -q three "$MNT/logs/a.log"
write_all five
umount_fs
for class in log append snapshot state; do
	has "$class" five || fail "after unmount ${FILE[$class]} lacks its last write"
done
assert_eq "$(cat "$LOWER/new.json")" '{"n": "four, whole"}'
assert grep -q four "$LOWER/logs/a.log"
# And the other way round.
mount_fs "${slow[@]}"
write_all six
umount_fs

# What is left are plain files: databases folded in, nothing of ours beside them.
mount_fs
sqlite3 "$MNT/memory/a.sqlite" 'insert into t values (3);'
wait_until eval '[ "$(sqlite3 "$MNT/memory/a.sqlite" "pragma journal_mode")" = wal ]'
sqlite3 "$MNT/memory/a.sqlite" 'insert into t values (4);'
umount_fs
assert_eq "$(find "$LOWER" -name '*-wal' -o -name '*-shm' -o -name '*.lock' -o -name .clawfs)" "" "what is left beside the files"
assert_eq "$(sqlite3 "$LOWER/memory/a.sqlite" 'select count(*) from t; pragma integrity_check')" "4
ok"
