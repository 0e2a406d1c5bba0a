#!/bin/bash
# timeout: 60
# P4, P5: what becomes of a commit's sync with sqlite_sync=normal, full and off, in an
# excluded database, and at `flush`.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

mkdir "$LOWER/memory"
sqlite3 "$LOWER/memory/main.sqlite" 'create table t(a)' 'pragma journal_mode=wal' >"$CASE_DIR/mode"
db=$MNT/memory/main.sqlite
count() { db_stat memory/main.sqlite "fsyncs_$1"; }
# Holds the database open, or each close would fold the log in.
open_rows() {
	mkfifo "$CASE_DIR/rows"
	sqlite3 -bail "$db" <"$CASE_DIR/rows" >"$CASE_DIR/said" 2>&1 &
	SHELL_PID=$!
	exec 7>"$CASE_DIR/rows"
	insert_rows 1
}
insert_rows() {
	local before n
	before=$(count asked)
	for n in $(seq "$1"); do echo "insert into t values ($n);" >&7; done
	wait_until asked_more $((before + $1 - 1))
}
asked_more() { [ "$(count asked)" -gt "$1" ]; }
done_more() { [ "$(count done)" -gt "$1" ]; }
close_rows() {
	exec 7>&-
	wait $SHELL_PID || fail "$(cat "$CASE_DIR/said")"
	rm "$CASE_DIR/rows"
}

mount_fs sqlite_sync_ms=1000
open_rows
before=$(count done)
insert_rows 20
elided=$(count elided)
assert [ "$elided" -ge 15 ]
# By itself, in time.
wait_until done_more "$before"
close_rows
umount_fs

mount_fs sqlite_sync=full
open_rows
insert_rows 20
assert_eq "$(count elided)" 0
assert [ "$(count done)" -ge 20 ]
close_rows
umount_fs

mount_fs sqlite_sync=off sqlite_sync_ms=100
open_rows
before=$(count done)
insert_rows 20
sleep 1
assert_eq "$(count done)" "$before" "nothing is due"
flush_fs
assert done_more "$before"
close_rows
umount_fs

mount_fs sqlite_exclude=memory
open_rows
insert_rows 20
assert_eq "$(count elided)" 0
close_rows
umount_fs
assert_eq "$(query "$LOWER/memory/main.sqlite" 'select count(*) from t')" 84
