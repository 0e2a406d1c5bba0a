#!/bin/bash
# timeout: 120
# P7, P9: a card that cannot take a database's log of commits. What depends on it is refused: the kernel calls the pages
# clean, and nobody may say that they are safe, not even when the card is well again, before they are written once more to
# a place that can be read back. Opened anew it is. Nothing is corrupt, nothing that was acknowledged lost.
# In a namespace of its own: another case's would keep a copy of the card mounted.
[ -n "${INNER:-}" ] || INNER=1 exec unshare -m --propagation slave bash "$0"
. "$TESTS/lib.sh"
. "$TESTS/dying.sh"

DB=memory/main.sqlite
dying_mount 64M
LOWER=$CARD/data
mkdir -p "$LOWER/memory"
sqlite3 "$LOWER/$DB" 'pragma journal_mode=wal; create table t(n integer, x text);' >/dev/null
sync -f "$CARD"

# A client that keeps the database open; what it says goes to a file.
client_start() {
	mkfifo "$CASE_DIR/sql"
	sqlite3 -batch "$MNT/$DB" <"$CASE_DIR/sql" >>"$CASE_DIR/said" 2>&1 &
	CLIENT=$!
	exec 7>"$CASE_DIR/sql"
}
# say SQL: runs it; what came of it is the last line of "said" then, "done" when there was no error.
said() { grep -q "^$1\$" "$CASE_DIR/said"; }
failed() { grep -q 'disk I/O error' "$CASE_DIR/said"; }
turn=0
say() {
	turn=$((turn + 1))
	: >"$CASE_DIR/said"
	printf '%s\nselect "turn %s";\n' "$*" "$turn" >&7
	wait_until said "turn $turn"
}
client_end() {
	exec 7>&-
	wait "$CLIENT" || true
	rm "$CASE_DIR/sql"
}
insert() { echo "insert into t values ($1, printf('poison %d %.*c', $1, 5000, 'x'));"; }
# The WAL was synced, and the card refused.
refused() { grep -q 'THE LOWER REFUSES: Input/output error' "$MNT/.clawfs/stats"; }

# All that was acknowledged is on the card now: a power cut does not cost it.
survives_cut() {
	cp --sparse=always "$BACKING" "$SHM_DIR/cut.img"
	mkdir -p "$CASE_DIR/cut"
	mount -o loop "$SHM_DIR/cut.img" "$CASE_DIR/cut"
	assert_eq "$(sqlite3 "$CASE_DIR/cut/data/$DB" "pragma integrity_check; select count(*) from t where n <= $acknowledged;" | tr '\n' ' ')" \
		"ok $acknowledged "
	umount "$CASE_DIR/cut"
}

for through in auto off; do
	mount_fs sqlite_sync_ms=200 retry_ms=100 retry_max_ms=300 sqlite_checkpoint_ms=0 "passthrough=$through"
	client_start
	say 'pragma wal_autocheckpoint=0;'
	say "$(insert 1)"
	refute failed
	sleep 1
	card_is match poison
	acknowledged=1
	for n in $(seq 2 20); do
		say "$(insert "$n")"
		failed || acknowledged=$((acknowledged + 1))
	done
	wait_until refused
	# The commits before the trouble was known, and none after.
	say "$(insert 21)"
	assert failed
	# Still served: what is committed is read.
	say 'select count(*) from t;'
	assert said "$acknowledged"
	# What would need the log on the card first.
	say 'pragma wal_checkpoint(truncate);'
	assert failed
	assert_eq "$(stats lower_error)" 5
	card_is well
	sleep 1
	# Where the kernel may still be writing it past us, it may stay refused; but what is said to be safe is.
	if (flush_fs) 2>/dev/null; then survives_cut; fi
	client_end
	# Opened anew.
	client_start
	# A commit that was refused may be there after all, once its log is read anew: the last one's frames.
	say "select count(*) from t where n <= $acknowledged;"
	cat "$CASE_DIR/said"
	assert said "$acknowledged"
	say "delete from t where n > $acknowledged;"
	refute failed
	refute refused
	flush_fs
	survives_cut
	say 'pragma wal_checkpoint(truncate);'
	refute failed
	say "$(insert 21)"
	refute failed
	client_end
	want="ok $((acknowledged + 1))|$((acknowledged * (acknowledged + 1) / 2 + 21)) "
	assert_eq "$(sqlite3 "$MNT/$DB" 'pragma integrity_check; select count(*), sum(n) from t;' | tr '\n' ' ')" "$want"
	umount_fs
	dying_umount
	card_reader
	assert_eq "$(sqlite3 "$LOWER/$DB" 'pragma integrity_check; select count(*), sum(n) from t; delete from t;' | tr '\n' ' ')" "$want"
	umount "$CARD"
	"$CASE_DIR/dying" "$BACKING" "$CASE_DIR/state" "$CASE_DIR/device" &
	DYING_PID=$!
	wait_until test -e "$CASE_DIR/device/card"
	mount -o loop "$CASE_DIR/device/card" "$CARD"
done
dying_umount
