#!/bin/bash
# P1, P8: Node's copyFile between all classes.
. "$TESTS/lib.sh"

mount_fs log_flush_ms=200 append_flush_ms=200 state_flush_ms=200 session_debounce_ms=200 session_max_ms=400
node "$NODE/copyfile.js" "$MNT"
mkdir "$CASE_DIR/plain"
node "$NODE/copyfile.js" "$CASE_DIR/plain"
assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
umount_fs
rm "$CASE_DIR/plain/copy.tmp" # volatile
assert_same_tree "$CASE_DIR/plain" "$LOWER" no-times
