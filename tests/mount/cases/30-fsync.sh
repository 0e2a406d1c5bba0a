#!/bin/bash
# P5: fsync, fdatasync, O_SYNC and O_DSYNC mean it, for every class: the bytes
# are on the lower when the call returns, whatever the windows.
. "$TESTS/lib.sh"

long="log_flush_ms=600000 append_flush_ms=600000 state_flush_ms=600000 session_debounce_ms=600000 session_max_ms=600000"
# shellcheck disable=SC2086 # a list of words
mount_fs $long
node "$NODE/fsync.js" "$MNT" "$LOWER"
echo line >"$MNT/by-dd.log"
dd if=/dev/zero bs=100 count=3 oflag=append,sync conv=notrunc of="$MNT/by-dd.log" status=none
assert_same_file "$MNT/by-dd.log" "$LOWER/by-dd.log"
echo '{"a": 1}' >"$MNT/by-sync.json"
sync "$MNT/by-sync.json"
assert_same_file "$MNT/by-sync.json" "$LOWER/by-sync.json"
assert [ "$(stats classes.log.flushes.sync)" -ge 1 ]
assert [ "$(stats classes.state.flushes.sync)" -ge 1 ]
umount_fs
