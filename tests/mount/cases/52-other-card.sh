#!/bin/bash
# timeout: 60
# P6, P10: another card in the same slot has the same numbers of device and inode, and nothing to do with what the upper
# holds of the first one. Its mount does not get that, and the first one's does when it is back.
. "$TESTS/lib.sh"

truncate -s 16M "$SHM_DIR/slot.img"
mkdir "$CASE_DIR/card"
slot=$(losetup -f --show "$SHM_DIR/slot.img")
LOWER=$CASE_DIR/card/data

mkfs.ext4 -q -F "$slot"
mount "$slot" "$CASE_DIR/card"
mkdir "$LOWER"
numbers=$(stat -c %d:%i "$LOWER")
mount_fs state_flush_ms=600000
echo '{"token": "of the first card"}' >"$MNT/state.json"
kill9
umount -l "$MNT"
wait_until umount "$CASE_DIR/card"
dd if="$slot" of="$SHM_DIR/first.img" bs=1M status=none

mkfs.ext4 -q -F "$slot"
mount "$slot" "$CASE_DIR/card"
mkdir "$LOWER"
assert_eq "$(stat -c %d:%i "$LOWER")" "$numbers"
status=0
"$CLAWFS" "$LOWER" "$MNT" -f -o "upper=$UPPER" >"$CASE_DIR/said" 2>&1 || status=$?
[ "$status" -ne 0 ] || fail "the second card was mounted with the first one's upper"
grep -q "holds data of another directory" "$CASE_DIR/said" || fail "what it said: $(cat "$CASE_DIR/said")"
assert_eq "$(find "$LOWER" -type f)" ""
(
	UPPER=$SHM_DIR/second
	mount_fs
	refute test -e "$MNT/state.json"
	umount_fs
)
umount "$CASE_DIR/card"

dd if="$SHM_DIR/first.img" of="$slot" bs=1M conv=fsync status=none
mount "$slot" "$CASE_DIR/card"
mount_fs
assert_eq "$(cat "$MNT/state.json")" '{"token": "of the first card"}'
umount_fs
assert_eq "$(cat "$LOWER/state.json")" '{"token": "of the first card"}'
umount "$CASE_DIR/card"
losetup -d "$slot"
