#!/bin/bash
# timeout: 120
# P1, P7: the sqlite3 shell on the mount, rollback journal and WAL, two writers
# at once; no row is lost and the database is sound, on the mount and after it.
. "$TESTS/lib.sh"

mkdir "$LOWER/memory"
mount_fs
insert() {
	for _ in $(seq 25); do
		echo "insert into t(who, text) values ('$2', hex(randomblob(500)));"
	done | sqlite3 -bail -cmd '.timeout 60000' "$1" || fail "writer $2 failed"
}
for mode in delete wal truncate; do
	db=$MNT/memory/$mode.sqlite
	sqlite3 "$db" "pragma journal_mode=$mode; create table t(id integer primary key, who, text); create index i on t(text);"
	insert "$db" a &
	one=$!
	insert "$db" b &
	two=$!
	wait $one
	wait $two
	assert_eq "$(sqlite3 "$db" 'select count(*), count(distinct text) from t')" "50|50" "rows in $mode"
	sqlite3 "$db" 'delete from t where id % 2; vacuum;'
	assert_eq "$(sqlite3 "$db" 'pragma integrity_check')" ok "integrity in $mode"
done
# As the application swaps in a new index: three suffixes, ENOENT ignored.
for suffix in '' -wal -shm; do
	mv "$MNT/memory/wal.sqlite$suffix" "$MNT/memory/wal.sqlite.backup-1$suffix" 2>/dev/null || true
	mv "$MNT/memory/delete.sqlite$suffix" "$MNT/memory/wal.sqlite$suffix" 2>/dev/null || true
done
assert_eq "$(sqlite3 "$MNT/memory/wal.sqlite" 'select count(*) from t where who is not null; pragma integrity_check')" $'25\nok'
umount_fs
for db in "$LOWER"/memory/{wal.sqlite,wal.sqlite.backup-1,truncate.sqlite}; do
	assert_eq "$(sqlite3 "$db" 'pragma integrity_check; select count(*) from t')" $'ok\n25' "$db on the lower"
done
