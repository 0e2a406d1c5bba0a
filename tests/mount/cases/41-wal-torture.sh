#!/bin/bash
# timeout: 90
# P1, P7: readers, writers and checkpointers on one database, each a process, some
# of which are killed in mid-transaction; every acknowledged row is there, in
# order, and the database is sound. STRETCH=15: a minute.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

mkdir "$LOWER/memory" "$CASE_DIR/acks"
mount_fs sqlite_checkpoint_ms=500 sqlite_wal_limit=262144 sqlite_sync_ms=500
db=$MNT/memory/main.sqlite
stop=$CASE_DIR/stop
"$DBTOOL" write "$db" who=4 rows=1 ack="$CASE_DIR/acks/4"
wal_in_time "$db"
start w0 "$DBTOOL" write "$db" who=0 ack="$CASE_DIR/acks/0" stop="$stop"
start w1 "$DBTOOL" write "$db" who=1 ack="$CASE_DIR/acks/1" stop="$stop" reopen=1 batch=5
start w2 "$DBTOOL" write "$db" who=2 ack="$CASE_DIR/acks/2" stop="$stop" size=20000 pause_us=10000 \
	"sql=pragma wal_autocheckpoint=20"
start r0 "$DBTOOL" read "$db" stop="$stop"
start r1 "$DBTOOL" read "$db" stop="$stop" reopen=1
start r2 "$DBTOOL" read "$db" stop="$stop" "sql=pragma mmap_size=268435456"
start checkpointer "$DBTOOL" checkpoint "$db" stop="$stop"
# The victim: one after the other, some in the midst of a large transaction.
kills=0
end=$((SECONDS + 4 * STRETCH))
while [ "$SECONDS" -lt "$end" ]; do
	"$DBTOOL" write "$db" who=3 ack="$CASE_DIR/acks/3" batch=50 size=2000 "sql=pragma cache_size=10" >>"$CASE_DIR/victim" 2>&1 &
	victim=$!
	sleep "0.$((RANDOM % 4 + 1))"
	kill -9 $victim
	status=0
	wait $victim || status=$?
	[ $status -eq 137 ] || fail "the victim ended by itself: $(cat "$CASE_DIR/victim")"
	kills=$((kills + 1))
done
: >"$stop"
finish w0 w1 w2 r0 r1 r2 checkpointer
echo "$kills kills"
"$DBTOOL" check "$db" acks="$CASE_DIR/acks"
is_wal "$db" || fail 'it is not in WAL mode any more'
echo "checkpoints $(db_stat memory/main.sqlite checkpoints), elided $(db_stat memory/main.sqlite fsyncs_elided)"
# Each writer got somewhere.
for who in 0 1 2 3; do assert test -s "$CASE_DIR/acks/$who"; done
umount_fs
if ! no_strays "$LOWER"; then fail 'left on the lower'; fi
"$DBTOOL" check "$LOWER/memory/main.sqlite" acks="$CASE_DIR/acks"
