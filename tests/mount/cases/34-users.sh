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

# Of every class: umask, set-id bits, directories, groups. The same is done in a plain directory; what comes of it must be
# the same, owner and mode of each.
mkdir -p "$CASE_DIR/plain/parity" "$LOWER/parity"
chmod 1777 "$CASE_DIR/plain/parity" "$LOWER/parity"
chmod 755 "$CASE_DIR/plain"
# A user whose group is another's too.
alice_in() { setpriv --reuid "$ALICE" --regid "$ALICE" --groups "$1" "${@:2}"; }
parity() {
	local dir=$1 name
	cd "$dir"
	for name in a.json a.log a.jsonl sessions.json a.lock a.txt a.sqlite; do
		alice sh -c "umask 027; echo x >u-$name; umask 077; echo x >p-$name"
		alice chmod 6755 "u-$name"
		# Not its owner's group, and nobody's: set-id bits go.
		alice chgrp "$BOB" "p-$name" || echo "chgrp p-$name refused"
		alice_in "$BOB" chgrp "$BOB" "p-$name" || echo "chgrp p-$name refused in the group"
		bob sh -c "echo x >>u-$name" || echo "write u-$name refused"
		bob cat "p-$name" || echo "read p-$name refused"
		alice chmod 640 "p-$name"
		bob cat "p-$name" || echo "group read p-$name refused"
		bob sh -c "echo x >>p-$name" || echo "group write p-$name refused"
		alice chmod 660 "p-$name"
		bob sh -c "echo x >>p-$name" || echo "group write 2 p-$name refused"
		alice chown "$BOB" "p-$name" || echo "chown p-$name refused"
		chown "$BOB:$ALICE" "u-$name"
		stat -c '%n %u:%g %a' "u-$name" "p-$name"
		# A write takes set-id bits away, and a change of owner.
		chown "$ALICE:$ALICE" "u-$name"
		alice chmod 6777 "u-$name"
		stat -c '%n %u:%g %a' "u-$name"
		bob sh -c "echo x >>u-$name"
		stat -c '%n %u:%g %a' "u-$name"
		alice chmod 6777 "u-$name"
		alice truncate -s 1 "u-$name"
		stat -c '%n %u:%g %a' "u-$name"
	done
	mkdir setgid
	chgrp "$BOB" setgid
	chmod 2777 setgid
	for name in a.json a.log sessions.json a.lock a.txt; do
		alice sh -c "umask 0; echo x >setgid/$name; mkdir setgid/d-$name; mkdir setgid/d-$name/e.lock; echo x >setgid/d-$name/e.lock/$name"
		# Of a group that is not hers, no set-group-ID program.
		alice perl -e 'umask 0; sysopen(F, $ARGV[0], 0101, 02777)' "setgid/s-$name"
		alice chmod 2777 "setgid/$name"
	done
	alice mkdir -m 700 own
	alice sh -c 'echo x >own/x.json'
	bob ls own || echo "ls own refused"
	bob sh -c 'echo x >own/y.json' || echo "create in own refused"
	bob mv own/x.json x.json || echo "mv out of own refused"
	bob rmdir setgid/d-a.json || echo "rmdir refused"
	bob mv a.json b.json || echo "sticky mv refused"
	bob rm -f a.log || echo "sticky rm refused"
	bob ln u-a.log hard.log || echo "ln refused"
	alice ln -s /etc/shadow link.json
	alice cat link.json || echo "read through a link refused"
	bob chmod 777 link.json || echo "chmod through a link refused"
	find . -printf '%p %y %m %U:%G\n' | LC_ALL=C sort
	cd /
}
parity "$CASE_DIR/plain/parity" >"$CASE_DIR/parity-plain" 2>/dev/null
parity "$MNT/parity" >"$CASE_DIR/parity-mount" 2>/dev/null
assert [ "$(wc -l <"$CASE_DIR/parity-plain")" -ge 100 ]
diff "$CASE_DIR/parity-plain" "$CASE_DIR/parity-mount" || fail "the mount (>) lets users do otherwise than a plain directory (<)"

# Stats say what is there: for the owner of the directory, and its group; nobody else.
for name in stats stats.json; do
	assert_eq "$(stat -c '%u %a' "$MNT/.clawfs/$name")" '0 440' "owner and mode of $name"
	cat "$MNT/.clawfs/$name" >/dev/null
	refute alice cat "$MNT/.clawfs/$name"
done
assert_eq "$(stat -c '%u %a' "$MNT/.clawfs/control")" '0 600'
refute alice sh -c "echo flush >$MNT/.clawfs/control"
refute alice cat "$MNT/.clawfs/control"
refute alice rm -f "$MNT/.clawfs/control"
refute alice chmod 666 "$MNT/.clawfs/control"
refute alice mv "$MNT/.clawfs" "$MNT/shared/x"
refute alice mkdir "$MNT/.clawfs/x"

# The upper tree: root's alone, from the top.
assert_eq "$(stat -c '%u %a' "$UPPER")" "0 700"
refute bob ls "$UPPER"
refute alice ls "$UPPER"
refute alice cat "$UPPER/tree/shared/a.json"
# Nor does a descriptor of it reach a client, or the world by way of /proc.
refute alice ls "/proc/$DAEMON/fd"
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
