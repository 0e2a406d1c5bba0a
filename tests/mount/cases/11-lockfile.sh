#!/bin/bash
# timeout: 90
# P1, P3: the npm package proper-lockfile (lock directory, exact mtimes) with
# five processes that rewrite one file in place under it; its lock never touches
# the card, and the card never sees half a file.
. "$TESTS/lib.sh"

mount_fs
watch_start names watch-names.js "$LOWER" --deny='\.lock$'
node "$NODE/lockfile.js" "$MNT/auth-profiles.json" 5 20
flush_fs
assert_same_file "$MNT/auth-profiles.json" "$LOWER/auth-profiles.json"
watch_stop names
umount_fs
assert_eq "$(ls -A "$LOWER")" auth-profiles.json
assert_eq "$(node "$NODE/get.js" count <"$LOWER/auth-profiles.json")" 100
