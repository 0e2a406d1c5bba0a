#!/bin/bash
# timeout: 120
# P7, P8: every database is in WAL mode when the mount is served, whatever made
# it; a new one within 2 s; one that was set back, too. What is no sound database,
# and what is excluded, keeps every byte. At the end the lower is plain SQLite.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

mkdir -p "$LOWER"/{memory,odd,agents/main/agent/deep}
fill='create table t(a integer primary key, b); insert into t values (1, hex(randomblob(3000))), (2, "zwei"); create index i on t(b);'
made=()
make_db() {
	made+=("$1")
	query "$LOWER/$1" "$2; $fill"
}
for size in 512 1024 2048 4096 8192 16384 32768 65536; do
	make_db "memory/page$size.sqlite" "pragma page_size=$size"
done
make_db memory/auto-vacuum.sqlite 'pragma auto_vacuum=full'
make_db memory/incremental.db 'pragma auto_vacuum=incremental'
make_db memory/utf16le.sqlite3 'pragma encoding="UTF-16le"'
make_db memory/utf16be.sqlite 'pragma encoding="UTF-16be"'
make_db memory/persist.sqlite 'pragma journal_mode=persist'
make_db memory/wal.sqlite 'pragma journal_mode=wal'
make_db agents/main/agent/deep/state.json.db ''
make_db 'odd/no suffix' ''
make_db "odd/-x 'q\" \$(y)" ''
make_db 'odd/ünïcode.data' ''
make_db 'odd/100%20?mode=ro#x.db' ''
make_db odd/file:x ''
make_db odd/x-wal ''
make_db odd/x-journal ''
make_db odd/y.lock ''
chmod 600 "$LOWER/memory/page512.sqlite"
chown "$ALICE:$BOB" "$LOWER/memory/page1024.sqlite"
# A WAL that a killed process has left.
"$DBTOOL" write "$LOWER/memory/left.sqlite" "sql=pragma journal_mode=wal; pragma wal_autocheckpoint=0" stop="$CASE_DIR/never" &
writer=$!
wait_until test -s "$LOWER/memory/left.sqlite-wal"
sleep 0.2
kill -9 $writer
wait $writer || true
rows_left=$(sqlite3 "file:$LOWER/memory/left.sqlite?mode=ro" 'select count(*) from t')
# A hot journal, of a process that was killed in mid-transaction.
"$DBTOOL" hot "$LOWER/memory/hot.sqlite" || true
assert test -s "$LOWER/memory/hot.sqlite-journal"
# None of ours: damaged, encrypted, empty, excluded, a directory, a link.
cp "$LOWER/memory/page4096.sqlite" "$LOWER/memory/corrupt.sqlite"
printf '\xff\xff\xff\xff\xff\xff\xff\xff' | dd of="$LOWER/memory/corrupt.sqlite" bs=1 seek=100 conv=notrunc status=none
head -c 8192 /dev/urandom >"$LOWER/memory/encrypted.sqlite"
cp "$LOWER/memory/page4096.sqlite" "$LOWER/memory/cut.sqlite"
truncate -s 700 "$LOWER/memory/cut.sqlite"
: >"$LOWER/memory/empty.sqlite"
cp "$LOWER/memory/page4096.sqlite" "$LOWER/memory/kept.sqlite"
cp "$LOWER/memory/page4096.sqlite" "$LOWER/agents/main/agent/deep/kept.rollback"
mkdir "$LOWER/memory/directory.sqlite"
ln -s page4096.sqlite "$LOWER/memory/link.sqlite"
alone=(memory/{corrupt,encrypted,cut,empty,kept}.sqlite agents/main/agent/deep/kept.rollback)
for name in "${alone[@]}"; do sha256sum "$LOWER/$name"; done >"$CASE_DIR/alone"
for name in "${made[@]}"; do (cd "$LOWER" && query "$name" '.dump') >>"$CASE_DIR/dumps"; done
(cd "$LOWER" && stat -c '%n %a %U:%G' "${made[@]}") >"$CASE_DIR/owners"

mount_fs sqlite_exclude=memory/kept.sqlite 'sqlite_exclude=*.rollback'
for name in "${made[@]}" memory/left.sqlite memory/hot.sqlite; do
	is_wal "$MNT/$name" || fail "$name is not in WAL mode: $(header_mode "$MNT/$name")"
	assert_sound "$MNT/$name"
done
for name in "${alone[@]}"; do sha256sum "$LOWER/$name"; done | diff "$CASE_DIR/alone" - || fail 'one was changed that is not ours'
for name in "${made[@]}"; do (cd "$MNT" && query "$name" '.dump') >>"$CASE_DIR/dumps-mounted"; done
diff -q "$CASE_DIR/dumps" "$CASE_DIR/dumps-mounted" || fail 'what is in the databases has changed'
(cd "$MNT" && stat -c '%n %a %U:%G' "${made[@]}") | diff "$CASE_DIR/owners" - || fail 'modes or owners have changed'
assert_eq "$(query "$MNT/memory/hot.sqlite" 'select count(*), min(length(text)) from t')" '200|2000' 'the hot journal'
assert_eq "$(query "$MNT/memory/left.sqlite" 'select count(*) from t')" "$rows_left" 'the WAL that was left'
assert test -L "$MNT/memory/link.sqlite"
# Said once of each that was left alone for a reason, and not of those that are wanted so.
for name in memory/{corrupt,encrypted}.sqlite; do assert_eq "$(said_of "$name")" 1 "lines in the log on $name"; done
for name in memory/{kept,empty,page4096}.sqlite; do assert_eq "$(said_of "$name")" 0 "lines in the log on $name"; done
assert_eq "$(db_stat memory/page4096.sqlite mode)" wal
assert_eq "$(db_stat memory/kept.sqlite mode)" rollback

# New ones: of a process that ends at once, and of one that stays.
query "$MNT/memory/new.sqlite" "$fill"
wal_in_time "$MNT/memory/new.sqlite"
start stays "$DBTOOL" write "$MNT/memory/stays.sqlite" pause_us=20000 stop="$CASE_DIR/stop"
wait_until test -s "$MNT/memory/stays.sqlite"
wal_in_time "$MNT/memory/stays.sqlite"
query "$MNT/odd/new without a name" "$fill"
wal_in_time "$MNT/odd/new without a name"
mv "$MNT/memory/new.sqlite" "$MNT/memory/moved.sqlite"
assert_eq "$(db_stat memory/moved.sqlite mode)" wal
assert_sound "$MNT/memory/moved.sqlite"
# Copied in whole, as a restore does it.
cp "$LOWER/memory/kept.sqlite" "$MNT/memory/copied.sqlite"
wal_in_time "$MNT/memory/copied.sqlite"

# Set back, again and again.
for _ in $(seq $((4 * STRETCH))); do
	assert_eq "$(query "$MNT/memory/page4096.sqlite" 'pragma journal_mode=delete')" delete
	wal_in_time "$MNT/memory/page4096.sqlite"
done
changed_by=$(db_stat memory/page4096.sqlite changed_by)
[ "$changed_by" -gt 0 ] || fail "changed_by is $changed_by"
[ "$(db_stat memory/page4096.sqlite changed_ms_ago)" -lt $((10000 * SLOW)) ] || fail 'changed_ms_ago'
: >"$CASE_DIR/stop"
finish stays
# Also by the next worker, which starts a steward of its own.
kill_worker
assert_eq "$(query "$MNT/memory/page4096.sqlite" 'pragma journal_mode=delete')" delete
wal_in_time "$MNT/memory/page4096.sqlite"

# The excluded one is an ordinary database.
query "$MNT/memory/kept.sqlite" 'insert into t values (3, 3)'
assert_eq "$(query "$MNT/memory/kept.sqlite" 'pragma journal_mode; select count(*) from t')" $'delete\n3'
sleep 1
assert_eq "$(header_mode "$MNT/memory/kept.sqlite")" '1 1'

umount_fs
if ! no_strays "$LOWER"; then fail "left on the lower"; fi
for name in odd/x-wal odd/x-journal "odd/-x 'q\" \$(y)"; do refute test -e "$LOWER/$name-wal" -o -e "$LOWER/$name-shm"; done
for name in "${made[@]}" memory/{left,hot,moved,stays,copied}.sqlite; do
	assert_sound "$LOWER/$name"
	is_wal "$LOWER/$name" || fail "$name is not in WAL mode on the lower"
done
# Nobody needs clawfs to go back.
assert_eq "$(query "$LOWER/memory/page512.sqlite" 'pragma journal_mode=delete')" delete

# sqlite_wal=off touches nothing.
mount_fs sqlite_wal=off
query "$MNT/memory/plain.sqlite" "$fill"
sleep $((2 * SLOW))
assert_eq "$(header_mode "$MNT/memory/page512.sqlite")" '1 1'
assert_eq "$(header_mode "$MNT/memory/plain.sqlite")" '1 1'
umount_fs
