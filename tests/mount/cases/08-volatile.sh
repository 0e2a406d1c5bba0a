#!/bin/bash
# Class volatile: locks and temporary files live in RAM, are seen by everybody
# at once, and never touch the card, through flushes and the end. What is
# deleted before its flush never reaches the card either.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/memory"
mount_fs log_flush_ms=600000 append_flush_ms=600000 state_flush_ms=600000 session_debounce_ms=600000 session_max_ms=600000
watch_start names watch-names.js "$LOWER" "$LOWER/memory" --deny='\.lock$|\.tmp$|\.tmp-|-shm$|etilqs|doomed'
for name in a.lock a.json.1.u.tmp a.tmp-1 memory/x.sqlite-shm memory/etilqs_1 ; do
	echo "pid $$" >"$MNT/$name"
	assert_eq "$(sh -c "cat '$MNT/$name'")" "pid $$"
done
# A lock directory, its mtime in the future and exact.
mkdir "$MNT/b.json.lock"
touch -d '2038-01-02 03:04:05.678' "$MNT/b.json.lock"
assert_eq "$(stat -c %y "$MNT/b.json.lock" | cut -c1-29)" "2038-01-02 03:04:05.678000000"
refute mkdir "$MNT/b.json.lock"
flush_fs
assert_eq "$(stat -c %y "$MNT/b.json.lock" | cut -c1-29)" "2038-01-02 03:04:05.678000000"
rmdir "$MNT/b.json.lock"
mkdir "$MNT/c.lock"
refute sh -c "set -C; : >$MNT/a.lock"

# Made and deleted between two flushes.
for name in doomed.log doomed.jsonl doomed.json memory/doomed-sessions.json; do
	echo x >"$MNT/$name"
	echo y >>"$MNT/$name"
	rm "$MNT/$name"
	refute test -e "$MNT/$name"
done
echo x >"$MNT/kept.json"
flush_fs
assert_eq "$(cat "$LOWER/kept.json")" x
assert_eq "$(cat "$MNT/a.lock")" "pid $$"
umount_fs
watch_stop names
assert_eq "$(find "$LOWER" -mindepth 1 -printf '%P\n' | sort | tr '\n' ' ')" "kept.json memory "
