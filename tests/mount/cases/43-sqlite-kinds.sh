#!/bin/bash
# timeout: 100
# P1, P7: what programs do with SQLite besides inserting rows, on databases that
# are being put into WAL mode under their feet: no error that the application
# would not have had by itself, nothing lost.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

count() { query "$1" "select count(*) from ${2:-t}"; }

mkdir "$LOWER/memory"
mount_fs 'sqlite_exclude=memory/kept*' sqlite_checkpoint_ms=300
dir=$MNT/memory
# --- no lock that the application would have to wait for -----------------------
# One process, busy timeout 0, begins in DELETE mode, and the steward comes in between.
# As the application does it, five transactions and a pause: never.
rows=$((100 * STRETCH))
start paced "$DBTOOL" write "$dir/paced.sqlite" rows=$rows burst=5 pause_us=250000 busy=0
# Without a pause worth the name the one switch may be met, once a database.
for n in 1 2 3; do start "alone$n" "$DBTOOL" write "$dir/alone$n.sqlite" rows=$((200 * STRETCH)) pause_us=10000 busy=0; done
finish alone1 alone2 alone3
met=$(($(busy_of alone1) + $(busy_of alone2) + $(busy_of alone3)))
for n in 1 2 3; do
	wal_in_time "$dir/alone$n.sqlite"
	assert_eq "$("$DBTOOL" check "$dir/alone$n.sqlite")" "$((200 * STRETCH)) rows"
done
[ "$met" -le 3 ] || fail "SQLITE_BUSY came $met times to who is alone"

# --- attached databases, one commit for both -------------------------------------
for kind in kept both; do
	for n in $(seq 20); do
		echo "begin; insert into main.t values (1, $n - 1, ''); insert into other.t values (1, $n - 1, ''); commit;"
	done >"$CASE_DIR/attached.sql"
	(
		cd "$dir" || exit
		echo "attach '$kind-2.sqlite' as other; create table if not exists main.t(who, n, text); create table other.t(who, n, text);" |
			cat - "$CASE_DIR/attached.sql" | sqlite3 -bail -cmd '.timeout 20000' "$kind-1.sqlite"
	)
	assert_eq "$(count "$dir/$kind-1.sqlite") $(count "$dir/$kind-2.sqlite")" '20 20' "rows in $kind"
done
wal_in_time "$dir"/both-[12].sqlite
assert_eq "$(header_mode "$dir/kept-1.sqlite") $(header_mode "$dir/kept-2.sqlite")" '1 1 1 1'
query "$dir/both-1.sqlite" "attach '$dir/both-2.sqlite' as other; begin; delete from main.t; delete from other.t; rollback"
assert_eq "$(count "$dir/both-1.sqlite") $(count "$dir/both-2.sqlite")" '20 20' 'rows after a rollback in WAL mode'

# --- locking_mode=EXCLUSIVE --------------------------------------------------------
start exclusive "$DBTOOL" write "$dir/exclusive.sqlite" rows=150 pause_us=10000 busy=0 'sql=pragma locking_mode=exclusive'
start exclusive-wal "$DBTOOL" write "$dir/exclusive-wal.sqlite" rows=150 pause_us=10000 busy=0 \
	'sql=pragma locking_mode=exclusive; pragma journal_mode=wal'
# --- memory-mapped, beside one that is not --------------------------------------------
mapped='sql=pragma mmap_size=268435456'
"$DBTOOL" write "$dir/mapped.sqlite" who=0 rows=1
start mapped "$DBTOOL" write "$dir/mapped.sqlite" who=0 rows=149 pause_us=5000 "$mapped"
start unmapped "$DBTOOL" write "$dir/mapped.sqlite" who=1 rows=150 pause_us=5000
start mapped-reader "$DBTOOL" read "$dir/mapped.sqlite" "$mapped" stop="$CASE_DIR/stop"
# --- a full-text index ---------------------------------------------------------------
query "$dir/fts.sqlite" 'create virtual table f using fts5(body); create table c(n)'
for n in $(seq 60); do
	echo "insert into f values ('word$n alpha ' || hex(randomblob(200))); insert into c values ($n);"
done | sqlite3 -bail -cmd '.timeout 20000' "$dir/fts.sqlite"
query "$dir/fts.sqlite" "insert into f(f) values ('optimize'); insert into f(f) values ('integrity-check')"
assert_eq "$(query "$dir/fts.sqlite" "select count(*) from f where f match 'alpha'; select count(*) from f where f match 'word7'")" $'60\n1'
wal_in_time "$dir/fts.sqlite"
# --- VACUUM, VACUUM INTO, .backup, beside a writer ------------------------------------
start beside "$DBTOOL" write "$dir/vacuum.sqlite" stop="$CASE_DIR/stop-beside" pause_us=2000
wait_until test -s "$dir/vacuum.sqlite"
for n in 1 2 3; do
	query "$dir/vacuum.sqlite" 'vacuum'
	query "$dir/vacuum.sqlite" "vacuum into '$dir/into$n.sqlite'"
	query "$dir/vacuum.sqlite" ".backup '$dir/backup$n.sqlite'"
	"$DBTOOL" check "$dir/into$n.sqlite"
	"$DBTOOL" check "$dir/backup$n.sqlite"
done
: >"$CASE_DIR/stop-beside"
finish beside
wal_in_time "$dir"/{vacuum,into1,into2,into3,backup1,backup2,backup3}.sqlite
"$DBTOOL" check "$dir/vacuum.sqlite"

finish paced
assert_eq "$(busy_of paced)" 0 'times that SQLITE_BUSY came to the application'
wal_in_time "$dir/paced.sqlite"
finish exclusive exclusive-wal mapped unmapped
: >"$CASE_DIR/stop"
finish mapped-reader
assert_eq "$(busy_of exclusive) $(busy_of exclusive-wal)" '0 0' 'times that SQLITE_BUSY came to who locks it for itself'
wal_in_time "$dir"/{exclusive,exclusive-wal,mapped}.sqlite
assert_eq "$("$DBTOOL" check "$dir/mapped.sqlite")" '300 rows'
# --- a reader that may not write ---------------------------------------------------------
assert_eq "$(sqlite3 -readonly "$dir/mapped.sqlite" 'select count(*) from t')" 300

umount_fs
if ! no_strays "$LOWER"; then fail 'left on the lower'; fi
for db in "$LOWER"/memory/*.sqlite; do assert_sound "$db"; done
assert_eq "$("$DBTOOL" check "$LOWER/memory/mapped.sqlite")" '300 rows'
