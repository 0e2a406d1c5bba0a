#!/bin/bash
# timeout: 300
# 100,000 files in one directory: made, listed, half of them removed while
# the directory is being read, and gone.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/workspace"
mount_fs
fds=$(fd_count "$DAEMON")
node "$NODE/many-files.js" "$MNT/workspace/many" 100000
# shellcheck disable=SC2012 # ls itself is what is tried here
assert_eq "$(ls -f "$MNT/workspace/many" | sort -u | wc -l)" 50002 "entries that ls prints"
assert_eq "$(find "$LOWER/workspace/many" -type f | wc -l)" 50000 "files on the lower"
assert_eq "$(cat "$MNT/workspace/many/f99999")" 99999
rm -r "$MNT/workspace/many"
refute test -e "$LOWER/workspace/many"
fds_settle "$fds"
umount_fs
