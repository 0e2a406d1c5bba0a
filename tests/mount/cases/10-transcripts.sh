#!/bin/bash
# P1, P2, P8: transcripts as the application leads them; the one that is only
# appended to is a prefix on the lower at every look.
. "$TESTS/lib.sh"

dir=agents/main/sessions
mkdir -p "$LOWER/$dir" "$CASE_DIR/plain"
mount_fs append_flush_ms=300
node "$NODE/transcripts.js" "$MNT/$dir" 300
watch_start poll poll-prefix.js "$LOWER/$dir/pure.jsonl" --pause=10
node "$NODE/append.js" "$MNT/$dir/pure.jsonl" 400 --gap=4
wait_until cmp "$MNT/$dir/pure.jsonl" "$LOWER/$dir/pure.jsonl"
watch_stop poll
assert [ "$(stats classes.append.lower_writes)" -lt "$(stats classes.append.app_writes)" ]
node "$NODE/transcripts.js" "$CASE_DIR/plain" 300
node "$NODE/append.js" "$CASE_DIR/plain/pure.jsonl" 400
# The repair's backup carries a pid in its name.
for place in "$MNT/$dir" "$CASE_DIR/plain"; do mv "$place"/repaired.jsonl.bak-* "$place/repaired.bak"; done
assert_same_tree "$CASE_DIR/plain" "$MNT/$dir" no-times
umount_fs
assert_same_tree "$CASE_DIR/plain" "$LOWER/$dir" no-times
