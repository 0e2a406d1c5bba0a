#!/bin/bash
# P1: tail -F through the mount follows a log through flushes, a rotation by
# rename and a truncation.
. "$TESTS/lib.sh"

mkdir "$LOWER/logs"
log=$MNT/logs/gateway.log
mount_fs log_flush_ms=300
echo first >"$log"
tail -F -n +1 -s 0.1 "$log" >"$CASE_DIR/followed" 2>"$CASE_DIR/tail.err" &
tail=$!
node "$NODE/append.js" "$log" 200 --gap=5
{
	echo first
	node "$NODE/text.js" 200
} >"$CASE_DIR/expected"
wait_until cmp "$CASE_DIR/expected" "$CASE_DIR/followed"

mv "$log" "$log.1"
echo rotated >"$log"
echo rotated >>"$CASE_DIR/expected"
wait_until cmp "$CASE_DIR/expected" "$CASE_DIR/followed"

: >"$log"
wait_until grep -q truncated "$CASE_DIR/tail.err"
echo anew >>"$log"
echo anew >>"$CASE_DIR/expected"
wait_until cmp "$CASE_DIR/expected" "$CASE_DIR/followed"
kill "$tail"
wait "$tail" || true
umount_fs
assert_eq "$(cat "$LOWER/logs/gateway.log")" anew
