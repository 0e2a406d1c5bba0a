#!/bin/bash
# P7: a commit over two databases that a crash broke off. The journals name the
# super-journal by its whole path, and SQLite takes a journal whose super-journal is
# not there for one that was committed: it throws it away and leaves the database
# torn. So a journal that was written below the mount must not be judged where
# that path leads nowhere, as on the lower before the mount is served.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

break_off() {
	local dir=$1 when
	for when in torn before after; do
		"$DBTOOL" super "$dir/$when-1.sqlite" other="$dir/$when-2.sqlite" when=$when || true
		assert test -s "$dir/$when-1.sqlite-journal"
		assert test -s "$dir/$when-2.sqlite-journal"
	done
}
assert_outcome() {
	local dir=$1 when n expected
	for when in torn before after; do
		expected=old
		[ $when != after ] || expected=new
		for n in 1 2; do
			assert_sound "$dir/$when-$n.sqlite"
			assert_eq "$(query "$dir/$when-$n.sqlite" 'select substr(v, 1, 3), count(*) from s group by 1')" "$expected|50" \
				"$when, database $n"
		done
	done
	wal_in_time "$dir"/*-[12].sqlite
}

# Mounted over itself: the path is the same before and after.
own=$CASE_DIR/own
mkdir -p "$own/memory"
break_off "$own/memory"
(
	LOWER=$own MNT=$own UPPER=$SHM_DIR/own-upper MOUNTS=10
	mount_fs
	assert_outcome "$MNT/memory"
	umount_fs
	assert_outcome "$LOWER/memory"
)

# The mount elsewhere: the path is that of the mount.
mkdir "$LOWER/memory"
mount_fs sqlite_wal=off
break_off "$MNT/memory"
umount_fs
mount_fs
assert_outcome "$MNT/memory"
umount_fs
assert_outcome "$LOWER/memory"
# Nothing that SQLite would ever look at again, and nothing else either.
for dir in "$own" "$LOWER"; do
	if ! no_strays "$dir" || find "$dir" -name '*-mj*' | grep .; then fail 'left on the lower'; fi
done
