#!/bin/bash
# P10: root's mount serves two users. Files belong to who made them, modes hold,
# nobody gets at another's bytes through the mount, the upper tree or control.
. "$TESTS/lib.sh"

mkdir "$LOWER/shared" "$LOWER/alice" "$LOWER/logs"
chmod 1777 "$LOWER/shared"
chmod 777 "$LOWER/logs"
chown "$ALICE:$ALICE" "$LOWER/alice"
chmod 700 "$LOWER/alice"
chmod 755 "$LOWER"
mount_fs state_flush_ms=600000 log_flush_ms=600000 append_flush_ms=600000 session_debounce_ms=600000 session_max_ms=600000

alice() { as_user "$ALICE" "$@"; }
bob() { as_user "$BOB" "$@"; }

files=(shared/a.json shared/a.log shared/a.jsonl shared/sessions.json shared/a.lock shared/a.tmp shared/a.txt
	shared/a.sqlite logs/b.log)
for file in "${files[@]}"; do
	alice sh -c "umask 077; echo secret >'$MNT/$file'"
	assert_eq "$(stat -c '%u:%g %a' "$MNT/$file")" "$ALICE:$ALICE 600" "owner and mode of $file"
	assert_eq "$(alice cat "$MNT/$file")" secret
	refute bob cat "$MNT/$file"
	refute bob sh -c "echo more >>'$MNT/$file'"
	refute bob chmod 644 "$MNT/$file"
	refute bob chown "$BOB" "$MNT/$file"
	refute bob truncate -s 0 "$MNT/$file"
	refute bob touch -d 2001-01-01 "$MNT/$file"
	# Sticky: only the owner may take it away or put something in its place.
	if [ "${file%%/*}" = shared ]; then
		refute bob rm -f "$MNT/$file"
		bob sh -c "echo mine >'$MNT/shared/bobs.tmp'"
		refute bob mv -f "$MNT/shared/bobs.tmp" "$MNT/$file"
		bob rm "$MNT/shared/bobs.tmp"
	fi
done
# Opened up, another reads but does not write.
alice chmod 644 "$MNT/shared/a.json"
assert_eq "$(bob cat "$MNT/shared/a.json")" secret
refute bob sh -c "echo more >>$MNT/shared/a.json"
# A directory of alice's.
alice sh -c "echo private >$MNT/alice/x.json; mkdir $MNT/alice/d.lock"
refute bob ls "$MNT/alice"
refute bob cat "$MNT/alice/x.json"
refute bob sh -c "echo x >$MNT/alice/y.json"
# Set-group-ID directories hand down their group.
mkdir "$MNT/shared/team"
chgrp "$BOB" "$MNT/shared/team"
chmod 2777 "$MNT/shared/team"
for name in t.json t.log t.txt t.lock; do
	alice sh -c "echo x >$MNT/shared/team/$name"
	assert_eq "$(stat -c '%u:%g' "$MNT/shared/team/$name")" "$ALICE:$BOB" "owner of team/$name"
done

# The upper tree: root's alone, from the top.
assert_eq "$(stat -c '%u %a' "$UPPER")" "0 700"
refute bob ls "$UPPER"
refute alice ls "$UPPER"
refute alice cat "$UPPER/shared/a.json"
# Control: the mount's owner alone. Bob cannot flush, nor anybody by accident.
refute bob sh -c "echo flush >$MNT/.clawfs/control"
refute test -e "$LOWER/shared/a.json"
refute bob sh -c "echo x >$MNT/.clawfs/stats"
flush_fs

for file in "${files[@]}"; do
	case $file in *.lock | *.tmp) continue ;; esac
	assert_eq "$(stat -c '%u:%g' "$LOWER/$file")" "$ALICE:$ALICE" "owner of $file on the lower"
	assert_eq "$(cat "$LOWER/$file")" secret
	refute bob sh -c "echo more >>'$LOWER/$file'"
done
assert_eq "$(stat -c '%u:%g %a' "$LOWER/shared/a.log")" "$ALICE:$ALICE 600"
# A chmod by its owner follows to the lower, and holds at once.
alice chmod 600 "$MNT/shared/a.json"
refute bob cat "$MNT/shared/a.json"
umount_fs
assert_eq "$(stat -c '%u:%g %a' "$LOWER/shared/a.json")" "$ALICE:$ALICE 600"
assert_eq "$(stat -c '%u:%g %a' "$LOWER/alice")" "$ALICE:$ALICE 700"

# A new file's mode is its creator's to say, whatever umask the daemon was started with.
umask 077
mount_fs
umask 0
for place in "$MNT" "$CASE_DIR/native"; do
	mkdir -p "$place/modes"
	(
		cd "$place/modes"
		touch t.txt t.json t.log t.jsonl t.lock
		mkdir t.dir l.lock.d
		mkfifo t.fifo
		sqlite3 t.db 'create table t(a)'
	)
done
modes() { (cd "$1/modes" && stat -c '%n %a' -- *); }
assert_eq "$(modes "$MNT")" "$(modes "$CASE_DIR/native")" "modes of new files"
umount_fs
rm "$CASE_DIR/native/modes/t.lock"
assert_eq "$(modes "$LOWER")" "$(modes "$CASE_DIR/native")" "modes of new files on the lower"
