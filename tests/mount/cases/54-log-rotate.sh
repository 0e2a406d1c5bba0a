#!/bin/bash
# timeout: 120
# P1, P2: a log is rotated under writers that have it open, in every way, and each line is in exactly one part, in
# order, plain and compressed; `tail -F` follows; what is copied in stays in one piece.
. "$TESTS/lib.sh"

mkdir "$LOWER/logs"
packed() { [ -z "$(find "$LOWER/logs" -name "$1.*.log")" ] && [ "$(find "$LOWER/logs" -name "$1.*.log.gz" | wc -l)" -ge "$2" ]; }
writer() { node "$NODE/log-writer.js" "$@" & WRITERS+=($!); }

mount_fs log_rotate_bytes=64K log_flush_ms=50 log_lines=30
WRITERS=()
writer "$MNT/logs/gateway.log" 1500 --who=held --gap=30
writer "$MNT/logs/gateway.log" 1500 --who=again --mode=reopen --gap=30
writer "$MNT/logs/gateway.log" 1500 --who=third --gap=21 --burst=15
writer "$MNT/logs/shell.log" 1500 --who=shell --mode=plain --gap=10
for pid in "${WRITERS[@]}"; do wait "$pid"; done
echo 'the last line' >>"$MNT/logs/other.log"
wait_until packed gateway 6
wait_until packed shell 3
# Through both names, and on the lower.
node "$NODE/log-check.js" "$MNT/logs" gateway held=1500 again=1500 third=1500 --names=both
node "$NODE/log-check.js" "$MNT/logs" shell shell=1500 --names=both
flush_fs
node "$NODE/log-check.js" "$LOWER/logs" gateway held=1500 again=1500 third=1500
node "$NODE/log-check.js" "$LOWER/logs" shell shell=1500
assert [ "$(stat -c %s "$MNT/logs/gateway.log")" -lt $((128 << 10)) ]
assert [ "$(stats logs.rotations)" -ge 9 ]
assert [ "$(stats logs.gzip)" -ge 9 ]
assert_eq "$(stats logs.gzip_errors)" 0
umount_fs

# At a logger's pace, `tail -F` sees each line once.
mount_fs log_rotate_bytes=16K log_flush_ms=300
: >"$MNT/logs/paced.log"
tail -n +1 -s 0.2 -F "$MNT/logs/paced.log" >"$CASE_DIR/followed" 2>/dev/null &
TAIL=$!
node "$NODE/log-writer.js" "$MNT/logs/paced.log" 400 --who=paced --gap=30 --burst=1
followed() { [ "$(wc -l <"$CASE_DIR/followed")" -eq 400 ]; }
wait_until followed
kill "$TAIL"
wait "$TAIL" 2>/dev/null || true
assert [ "$(stats logs.rotations)" -ge 3 ]
wait_until packed paced 3
node "$NODE/log-check.js" "$MNT/logs" paced paced=400 --names=both
mkdir "$CASE_DIR/as-one"
mv "$CASE_DIR/followed" "$CASE_DIR/as-one/paced.log"
node "$NODE/log-check.js" "$CASE_DIR/as-one" paced paced=400
umount_fs
mount_fs log_rotate_bytes=64K log_flush_ms=50 log_lines=30

# Who goes back to the beginning, or looks for the end, means the new log.
printf 'x%.0s' $(seq 70000) | fold -w 99 >"$CASE_DIR/lines"
exec 3>>"$MNT/logs/gateway.log" 4<>"$MNT/logs/gateway.log"
before=$(stats logs.rotations)
cat "$CASE_DIR/lines" >&3
echo >&3
rotated() { [ "$(stats logs.rotations)" -gt "$1" ]; }
wait_until rotated "$before"
wait_until test "$(stat -c %s "$MNT/logs/gateway.log")" -lt 64000
size=$(stat -c %s "$MNT/logs/gateway.log")
echo 'at the end' >&3
assert_eq "$(tail -n 1 "$MNT/logs/gateway.log")" 'at the end'
assert_eq "$(stat -c %s "$MNT/logs/gateway.log")" $((size + 11))
exec 3>&- 4>&-

# A copy is not cut, not even behind its end; but when somebody logs to it.
node "$NODE/text.js" 1000 >"$CASE_DIR/copied"
cp "$CASE_DIR/copied" "$MNT/logs/copied.log"
flush_fs
sleep 0.3
assert_same_file "$CASE_DIR/copied" "$MNT/logs/copied.log"
before=$(stats logs.rotations)
echo 'one more' >>"$MNT/logs/copied.log"
wait_until rotated "$before"
wait_until packed copied 1
zcat "$MNT/logs/copied.1.log.gz" | head -n -1 | cmp - "$CASE_DIR/copied"
# An unfinished line keeps the log whole.
printf 'no end' >>"$MNT/logs/half.log"
head -c 70000 /dev/zero | tr '\0' y >>"$MNT/logs/half.log"
flush_fs
assert_eq "$(stat -c %s "$LOWER/logs/half.log")" 70006
echo >>"$MNT/logs/half.log"
wait_until packed half 1
# Parts count on where they were, across mounts; numbers that only look like parts are nobody's.
umount_fs
: >"$LOWER/logs/half.20260101.log"
: >"$LOWER/logs/half.7.log"
mount_fs log_rotate_bytes=64K log_flush_ms=50 log_parts=dot
cat "$CASE_DIR/lines" >>"$MNT/logs/half.log"
echo >>"$MNT/logs/half.log"
wait_until test -e "$LOWER/logs/half.8.log.gz"
# Many lines at once reach one part, or the next, but whole.
umount_fs
