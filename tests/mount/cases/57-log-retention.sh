#!/bin/bash
# timeout: 120
# What is deleted of a log's life (policy/retain.h), on a real mount: the parts above log_rotate_keep, lowest numbers
# first; the oldest archives above log_keep_bytes; never a live log, nor a name outside class `log`.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/logs" "$LOWER/media"
node "$NODE/text.js" 400 >"$CASE_DIR/text"
gzip -c "$CASE_DIR/text" >"$LOWER/media/old.log.gz"
cp "$LOWER/media/old.log.gz" "$LOWER/notes.gz"
touch -d '2021-01-01' "$LOWER/media/old.log.gz" "$LOWER/notes.gz"
untouched() {
	assert test -f "$LOWER/media/old.log.gz"
	assert test -f "$LOWER/notes.gz"
}

mount_fs log_rotate_bytes=64K log_rotate_keep=3 log_flush_ms=50 log_lines=30
node "$NODE/log-writer.js" "$MNT/logs/gateway.log" 3600 --who=kept --gap=10
parts() { (cd "$LOWER/logs" && ls -v gateway.*.log*); }
three_left() { [ "$(parts | grep -c .)" -eq 3 ] && ! parts | grep -qv 'gz$'; }
wait_until three_left
rotations=$(stats logs.rotations)
assert [ "$rotations" -ge 6 ]
# The three with the highest numbers, and the live one.
expected=$(for n in $((rotations - 2)) $((rotations - 1)) "$rotations"; do echo "gateway.$n.log.gz"; done)
assert_eq "$(parts)" "$expected"
assert_eq "$(stats logs.deleted)" $((rotations - 3))
assert test -f "$MNT/logs/gateway.log"
refute test -e "$MNT/logs/gateway.1.log"
refute test -e "$MNT/logs/gateway.1.log.gz"
untouched
umount_fs

# By bytes, over all logs: what is oldest goes first.
for n in 1 2 3 4 5 6; do
	gzip -c "$CASE_DIR/text" >"$LOWER/logs/day$n.log.gz"
	touch -d "2025-01-0$n" "$LOWER/logs/day$n.log.gz"
done
rm "$LOWER"/logs/gateway.*.log.gz
size=$(stat -c %s "$LOWER/logs/day1.log.gz")
mount_fs log_keep_bytes=$((size * 3 + size / 2))
days() { (cd "$LOWER/logs" && echo day*); }
bytes_kept() { [ "$(days)" = "day4.log.gz day5.log.gz day6.log.gz" ]; }
wait_until bytes_kept
assert test -f "$LOWER/logs/gateway.log"
untouched
assert_eq "$(zcat "$MNT/logs/day5.log.gz" | cksum)" "$(cksum <"$CASE_DIR/text")"
assert_same_file "$MNT/logs/day6.log" "$CASE_DIR/text"
umount_fs
bytes_kept
