#!/bin/bash
# P3: auth-profiles.json is rewritten in place (O_TRUNC, write) all the time; a
# tight reader of the lower never meets an empty or half a file, not even while
# a writer rests between the truncation and its writes.
. "$TESTS/lib.sh"

node "$NODE/new-store.js" "$LOWER/auth-profiles.json" 1 4000
mount_fs state_flush_ms=200
watch_start poll poll-store.js "$LOWER/auth-profiles.json"
node "$NODE/rewrite-state.js" "$MNT/auth-profiles.json" 300 --gap=10
node "$NODE/rewrite-state.js" "$MNT/auth-profiles.json" 2 --hold=1200
wait_until cmp "$MNT/auth-profiles.json" "$LOWER/auth-profiles.json"
watch_stop poll
umount_fs

# As fast as it goes, with flushes as often as they come.
mount_fs state_flush_ms=10 epoch_reach_ms=10
watch_start poll poll-store.js "$LOWER/auth-profiles.json"
node "$NODE/rewrite-state.js" "$MNT/auth-profiles.json" 2000 --gap=1
watch_stop poll
stat -c '%y %a %s' "$MNT/auth-profiles.json" >"$CASE_DIR/mounted"
umount_fs
stat -c '%y %a %s' "$LOWER/auth-profiles.json" | diff "$CASE_DIR/mounted" -
