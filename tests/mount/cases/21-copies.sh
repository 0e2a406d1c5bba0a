#!/bin/bash
# timeout: 90
# P1, P8: tar, rsync, cp -a and find on the mount. Modes, owners and ns mtimes
# survive the flush; a second rsync has nothing to transfer.
. "$TESTS/lib.sh"

sample_tree "$CASE_DIR/source"
find "$CASE_DIR/source" -name '*.lock' -o -name '*.tmp' | grep . && fail "the sample holds volatile names"
mount_fs

mkdir "$MNT/untarred"
tar -C "$CASE_DIR/source" --format=posix -cf "$CASE_DIR/in.tar" .
tar -C "$MNT/untarred" --numeric-owner --warning=no-timestamp -xpf "$CASE_DIR/in.tar"
assert_same_tree "$CASE_DIR/source" "$MNT/untarred"
tar -C "$MNT/untarred" --format=posix -cf "$CASE_DIR/out.tar" .
mkdir "$CASE_DIR/again"
tar -C "$CASE_DIR/again" --numeric-owner --warning=no-timestamp -xpf "$CASE_DIR/out.tar"
assert_same_tree "$CASE_DIR/source" "$CASE_DIR/again"

rsync -aH "$CASE_DIR/source/" "$MNT/synced/"
assert_same_tree "$CASE_DIR/source" "$MNT/synced"
rsync -aHi "$CASE_DIR/source/" "$MNT/synced/" | grep '^[<>ch][fLDS]' && fail "a second rsync transfers something"

cp -a "$MNT/synced" "$MNT/copied"
assert_same_tree "$CASE_DIR/source" "$MNT/copied"
assert_eq "$(find "$MNT/copied" -name '*.md' -newermt 2020-01-01 | wc -l)" 30
assert_eq "$(find "$MNT" -type d -name deep | wc -l)" 3
rm -r "$MNT/copied/workspace" "$MNT/copied/agents"
refute test -e "$MNT/copied/agents"

flush_fs
rsync -aHi --checksum "$CASE_DIR/source/" "$MNT/synced/" | grep '^[<>ch][fLDS]' && fail "rsync transfers something after a flush"
umount_fs
assert_same_tree "$CASE_DIR/source" "$LOWER/untarred"
assert_same_tree "$CASE_DIR/source" "$LOWER/synced"
rm -r "$CASE_DIR/source/workspace" "$CASE_DIR/source/agents"
assert_same_tree "$CASE_DIR/source" "$LOWER/copied"
