#!/bin/bash
# timeout: 180
# P1, P5, P6, P7, P12: who serves the mount is killed again and again under work of
# every kind; the next worker takes over, and programs see every call succeed, once.
. "$TESTS/lib.sh"
export CLAWFS_DEATHS=1000000
kills=$((60 * STRETCH))

mkdir -p "$LOWER/db"
sqlite3 "$LOWER/db/m.sqlite" 'pragma journal_mode=wal; create table t(n integer primary key, text);' >"$CASE_DIR/mode"
# The log is read as one; its rotation under kills is case 56's and 59's.
mount_fs log_flush_ms=300 append_flush_ms=200 state_flush_ms=100 session_debounce_ms=50 session_max_ms=200 \
	sqlite_sync_ms=500 sqlite_checkpoint_ms=1000 log_rotate_bytes=0

# Rows, one a process; each must be committed, and be seen by a reader that maps the file.
: >"$CASE_DIR/rows.stop"
rows() {
	local n=0
	while [ -e "$CASE_DIR/rows.stop" ]; do
		n=$((n + 1))
		sqlite3 -cmd '.timeout 30000' "$MNT/db/m.sqlite" \
			"insert into t values ($n, hex(randomblob(500)));" || return 1
		got=$(sqlite3 -cmd '.timeout 30000' -cmd 'pragma mmap_size=1000000' "$MNT/db/m.sqlite" \
			'select count(*) from t;' | tail -n 1) || return 1
		[ "$got" = "$n" ] || { echo "row $n: $got rows" && return 1; }
	done
	echo "$n"
}
rows >"$CASE_DIR/rows" 2>&1 &
rows=$!
for kind in log save names nameless list; do watch_start "$kind" takeover.js "$kind" "$MNT/$kind"; done
for ((i = 0; i < kills; i++)); do
	sleep 0.$((RANDOM % 20 + 5))
	kill_worker
done
rm "$CASE_DIR/rows.stop"
for kind in log save names nameless list; do watch_stop "$kind"; done
status=0
wait "$rows" || status=$?
cat "$CASE_DIR/rows"
assert_eq "$status" 0 "a row was refused"
assert_eq "$(sqlite3 "$MNT/db/m.sqlite" 'pragma integrity_check; select count(*) from t;' | tr '\n' ' ')" \
	"ok $(cat "$CASE_DIR/rows") "
assert [ "$(stats worker_number)" -gt $((kills / 2)) ]
# What dead workers had open is closed. A reference that the kernel gave back to a worker in the instant of its death is
# missed until a later takeover, and of the dozens of deaths one or two may leave a descriptor of a removed name for good.
closed() { (fds_settle 40 2) >/dev/null; }
for ((i = 0; i < 3; i++)); do
	sleep 1
	kill_worker
	! closed || break
done
fds_settle 40 2
umount_fs
assert_eq "$(sqlite3 "$LOWER/db/m.sqlite" 'pragma integrity_check;')" ok
assert_eq "$(find "$LOWER" -name '*.tmp' -o -name .clawfs -o -name '*.lock')" ""
