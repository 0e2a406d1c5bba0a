#!/bin/bash
# timeout: 120
# P9: on a read-only and on a full card, what is in RAM stays readable, fsync
# and `flush` report the card's own error, the stats count it, and everything
# arrives once the card is well again.
. "$TESTS/lib.sh"

ext4_mount "$SHM_DIR/card.img" 64M "$CASE_DIR/card"
LOWER=$CASE_DIR/card/data
mkdir -p "$LOWER/logs"
printf '{"old": true}' >"$LOWER/state.json"

write_all() {
	node "$NODE/append.js" "$MNT/logs/gateway.log" 20 --from="$1"
	printf '{"new": %s, "pad": "%*s"}' "$1" 300000 '' >"$MNT/state.json"
	printf '{"n": %s}' "$1" >"$MNT/fresh-$1.json"
}
check_all() {
	assert_eq "$(node "$NODE/get.js" new <"$1/state.json")" "$2"
	assert_eq "$(cat "$1/fresh-$2.json")" "{\"n\": $2}"
	node "$NODE/text.js" $(($2 + 20)) | cmp - "$1/logs/gateway.log"
}
# Wants durability of FILE; must be told PATTERN.
told() {
	local pattern=$1 message
	shift
	message=$("$@" 2>&1) && fail "succeeded on a bad card: $*"
	assert grep -q "$pattern" <<<"$message"
}
refused_sync() { told "$2" sync "$1"; }
refused_flush() { told "$1" bash -c "echo flush >$MNT/.clawfs/control"; }
arrived() { check_all "$LOWER" "$1" && [ "$(stats totals.dirty_bytes)" -eq 0 ]; }

mount_fs retry_ms=200 retry_max_ms=1000
# Read-only. A program that failed has nothing open, so the card can be remounted.
mount -o remount,ro "$CASE_DIR/card"
write_all 0
check_all "$MNT" 0
refused_sync "$MNT/logs/gateway.log" 'Read-only file system'
refused_flush 'Read-only file system'
sleep 1
check_all "$MNT" 0
assert [ "$(stats totals.errors)" -ge 1 ]
refute test -s "$LOWER/logs/gateway.log"
assert_eq "$(cat "$LOWER/state.json")" '{"old": true}' "what the card had"
mount -o remount,rw "$CASE_DIR/card"
wait_until arrived 0

# Full to the last block, root's reserve included.
dd if=/dev/zero of="$CASE_DIR/card/filler" bs=64K status=none 2>/dev/null || true
dd if=/dev/zero of="$CASE_DIR/card/filler2" bs=1K status=none 2>/dev/null || true
write_all 20
check_all "$MNT" 20
refused_sync "$MNT/state.json" 'No space left on device'
refused_flush 'No space left on device'
check_all "$MNT" 20
check_all "$LOWER" 0 2>/dev/null || assert_eq "$(node "$NODE/get.js" new <"$LOWER/state.json")" 0 "a torn state file"
rm "$CASE_DIR/card/filler" "$CASE_DIR/card/filler2"
wait_until arrived 20
flush_fs
check_all "$LOWER" 20

# Full in the middle of an append: the card has the beginning of what waits, cut anywhere, RAM has all of it, and what comes
# once there is room follows exactly. In the meantime the mount is killed, too.
node "$NODE/text.js" 40 >"$CASE_DIR/long.log"
cp "$CASE_DIR/long.log" "$MNT/logs/long.log"
sync "$MNT/logs/long.log"
dd if=/dev/zero of="$CASE_DIR/card/filler" bs=64K status=none 2>/dev/null || true
dd if=/dev/zero of="$CASE_DIR/card/filler2" bs=1K status=none 2>/dev/null || true
truncate -s -20K "$CASE_DIR/card/filler"
sync -f "$CASE_DIR/card"
before=$(stat -c %s "$LOWER/logs/long.log")
node "$NODE/text.js" 1040 | tail -n +41 | tee -a "$CASE_DIR/long.log" >>"$MNT/logs/long.log"
refused_sync "$MNT/logs/long.log" 'No space left on device'
is_prefix() { head -c "$(stat -c %s "$1")" "$2" | cmp - "$1"; }
for round in 1 2; do
	after=$(stat -c %s "$LOWER/logs/long.log")
	assert [ "$after" -gt "$before" ]
	assert [ "$after" -lt "$(stat -c %s "$CASE_DIR/long.log")" ]
	is_prefix "$LOWER/logs/long.log" "$CASE_DIR/long.log"
	assert_same_file "$CASE_DIR/long.log" "$MNT/logs/long.log"
	[ "$round" -eq 1 ] || break
	kill9
	umount "$MNT"
	mount_fs retry_ms=200 retry_max_ms=1000
	refused_sync "$MNT/logs/long.log" 'No space left on device'
done
echo 'one more' | tee -a "$CASE_DIR/long.log" >>"$MNT/logs/long.log"
rm "$CASE_DIR/card/filler" "$CASE_DIR/card/filler2"
all_arrived() { cmp "$CASE_DIR/long.log" "$LOWER/logs/long.log" && [ "$(stats totals.dirty_bytes)" -eq 0 ]; }
wait_until all_arrived
umount_fs
check_all "$LOWER" 20
assert_same_file "$CASE_DIR/long.log" "$LOWER/logs/long.log"
umount "$CASE_DIR/card"
