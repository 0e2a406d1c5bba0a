#!/bin/bash
# timeout: 90
# P7: the application's full re-index (build aside, close, rename three suffixes each
# way, remove, open again), over and over, with readers and writers that open the
# database for each use. Neither the steward nor the barrier may lose a row or
# leave a file behind. The application is one process and does not use the
# database meanwhile; `lock` stands for that.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

mkdir "$LOWER/memory" "$CASE_DIR/acks"
# The steward is as eager as it can be.
mount_fs sqlite_checkpoint_ms=100 sqlite_wal_limit=65536 sqlite_sync_ms=200
db=$MNT/memory/main.sqlite
stop=$CASE_DIR/stop
lock=$CASE_DIR/lock
"$DBTOOL" write "$db" who=0 rows=300 ack="$CASE_DIR/acks/0"
start w1 "$DBTOOL" write "$db" who=1 reopen=1 lock="$lock" ack="$CASE_DIR/acks/1" stop="$stop"
start w2 "$DBTOOL" write "$db" who=2 reopen=1 lock="$lock" ack="$CASE_DIR/acks/2" stop="$stop" batch=10
start r1 "$DBTOOL" read "$db" reopen=1 lock="$lock" stop="$stop"
start r2 "$DBTOOL" read "$db" reopen=1 lock="$lock" stop="$stop"
start reindex "$DBTOOL" reindex "$db" lock="$lock" stop="$stop" pause_us=30000
# Beside it one that swaps as fast as it can, and never waits for a lock.
mkdir "$MNT/memory/fast"
"$DBTOOL" write "$MNT/memory/fast/main.sqlite" who=0 rows=20 ack="$CASE_DIR/fast-acks"
start fast "$DBTOOL" reindex "$MNT/memory/fast/main.sqlite" stop="$stop" pause_us=0
sleep $((8 * STRETCH))
: >"$stop"
finish w1 w2 r1 r2 reindex fast
"$DBTOOL" check "$db" acks="$CASE_DIR/acks"
"$DBTOOL" check "$MNT/memory/fast/main.sqlite"
wal_in_time "$db" "$MNT/memory/fast/main.sqlite"
wait_until no_strays "$MNT"
umount_fs
if ! no_strays "$LOWER"; then fail 'left on the lower'; fi
"$DBTOOL" check "$LOWER/memory/main.sqlite" acks="$CASE_DIR/acks"
assert_eq "$("$DBTOOL" check "$LOWER/memory/fast/main.sqlite")" '20 rows'
