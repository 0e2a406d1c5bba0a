#!/bin/bash
# P1, P8: what was there before the mount is seen through it, exact; what a
# mount leaves behind is the plain directory.
. "$TESTS/lib.sh"

sample_tree "$LOWER"
cp -a "$LOWER" "$CASE_DIR/before"
mount_fs
fds=$(fd_count "$DAEMON")
assert_same_tree "$CASE_DIR/before" "$MNT"
assert_eq "$("$MNT/workspace/tool")" ran
# The control directory: there when asked for by name, listed nowhere.
assert_eq "$(find "$MNT" "$LOWER" -name .clawfs)" ""
assert grep -q uptime "$MNT/.clawfs/stats"
for name in control stats stats.json; do assert test -f "$MNT/.clawfs/$name"; done
assert_eq "$(find "$MNT/.clawfs/" -mindepth 1 ! -type f)" ""
refute sh -c "echo x >$MNT/.clawfs/stats"
refute touch "$MNT/.clawfs/new"
refute mkdir "$LOWER/.clawfs/new"
# Looking changed nothing.
fds_settle "$fds"
umount_fs
assert_same_tree "$CASE_DIR/before" "$LOWER"
refute test -e "$LOWER/.clawfs"

# Over itself.
MNT=$LOWER
mount_fs
assert_same_tree "$CASE_DIR/before" "$MNT"
printf 'more\n' >>"$MNT/logs/gateway.log"
printf 'more\n' >>"$CASE_DIR/before/logs/gateway.log"
umount_fs
assert_same_tree "$CASE_DIR/before" "$LOWER" no-times
