#!/bin/bash
# timeout: 150
# P1: the npm package chokidar sees each change of secureclaw.json that is made
# through the mount: atomic replace, in-place rewrite, removal, return.
. "$TESTS/lib.sh"

printf '{"version":0}' >"$LOWER/secureclaw.json"
mount_fs
node "$NODE/watch-config.js" "$MNT/secureclaw.json"
umount_fs
assert_eq "$(cat "$LOWER/secureclaw.json")" '{"how":"returned"}'
