#!/bin/bash
# timeout: 90
# P6, P7, P10: databases when the mount goes away under a program, and what a hostile
# directory may not make of the steward.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

mkdir "$LOWER/memory" "$CASE_DIR/acks"
db=$MNT/memory/main.sqlite
acknowledged() { wc -l <"$CASE_DIR/acks/$1"; }
more_than() { [ "$(acknowledged "$1")" -gt "$2" ]; }
opens() { sqlite3 -bail "$db" 'select 1 from sqlite_schema' >"$CASE_DIR/rows" 2>&1; }

# A program whose log of commits the kernel writes past the daemon goes on when the daemon is gone. What it writes is not
# lost to the next mount's recovery: that database waits for the program's end.
for how in kill9 term; do
	mount_fs
	passed=$(stats passthrough.active)
	"$DBTOOL" write "$db" who=0 rows=1 ack="$CASE_DIR/acks/$how-0"
	wait_until is_wal "$LOWER/memory/main.sqlite"
	start "$how" "$DBTOOL" write "$db" who=1 ack="$CASE_DIR/acks/$how" stop="$CASE_DIR/stop" pause_us=20000 \
		'sql=pragma synchronous=normal; pragma wal_autocheckpoint=0'
	wait_until test -s "$CASE_DIR/acks/$how"
	if [ $how = kill9 ]; then
		kill9
		fusermount3 -uz "$MNT"
	else
		kill -TERM "$DAEMON"
		daemon_ended
	fi
	if [ "$passed" = true ]; then
		before=$(acknowledged $how)
		wait_until more_than $how $((before + 5))
	fi
	mount_fs
	if [ "$passed" = true ]; then
		refute opens
		assert grep -q 'still writes to it' "$LOGS/daemon.$MOUNTS.log"
		before=$(acknowledged $how)
		wait_until more_than $how $((before + 5))
	fi
	kill -9 "${PROGRAMS[$how]}"
	wait "${PROGRAMS[$how]}" || true
	unset "PROGRAMS[$how]"
	wait_until opens
	assert_sound "$db"
	most=$(query "$db" 'select max(n) from t where who = 1')
	assert [ "$most" -ge "$(tail -n 1 "$CASE_DIR/acks/$how" | cut -d' ' -f2)" ]
	query "$db" 'drop table t'
	umount_fs
	if ! no_strays "$LOWER"; then fail 'left on the lower'; fi
	assert_sound "$LOWER/memory/main.sqlite"
done

# Unmounted lazily, over itself: the steward must not work on what lies beneath.
own=$CASE_DIR/own
mkdir -p "$own/memory"
(
	LOWER=$own MNT=$own UPPER=$SHM_DIR/own-upper MOUNTS=10
	db=$own/memory/main.sqlite
	mount_fs sqlite_checkpoint_ms=300
	"$DBTOOL" write "$db" who=0 rows=1 ack="$CASE_DIR/acks/lazy-0"
	wait_until is_wal "$db"
	start lazy "$DBTOOL" write "$db" who=1 ack="$CASE_DIR/acks/lazy" stop="$CASE_DIR/stop-lazy" pause_us=20000
	wait_until test -s "$CASE_DIR/acks/lazy"
	fusermount3 -uz "$own"
	before=$(acknowledged lazy)
	wait_until more_than lazy $((before + 60))
	: >"$CASE_DIR/stop-lazy"
	finish lazy
	daemon_ended
	assert_sound "$db"
	assert_eq "$(query "$db" 'select max(n) from t where who = 1')" "$(tail -n 1 "$CASE_DIR/acks/lazy" | cut -d' ' -f2)"
)

mount_fs allow_other
# A journal that names somebody's file as its super-journal: SQLite would unlink that.
mkdir "$MNT/hostile" "$CASE_DIR/secret"
chown $ALICE "$MNT/hostile"
chmod 700 "$CASE_DIR/secret"
: >"$CASE_DIR/secret/victim"
sqlite3 "$CASE_DIR/rollback" 'create table t(a)'
chmod 644 "$CASE_DIR/rollback"
node -e '
const [journal, victim] = process.argv.slice(1);
const magic = Buffer.from("d9d505f920a163d7", "hex");
const be = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n >>> 0); return b; };
const head = Buffer.concat([magic, be(0), be(0), be(1), be(512), be(4096)]);
const name = Buffer.from(victim);
let sum = 0;
for (const c of name) sum += c > 127 ? c - 256 : c;
require("fs").writeFileSync(journal, Buffer.concat([head, Buffer.alloc(512 - head.length), be(0x40000000 / 4096 + 1), name,
  be(name.length), be(sum), magic]));
' "$CASE_DIR/journal" "$CASE_DIR/secret/victim"
chmod 644 "$CASE_DIR/journal"
as_user $ALICE cp "$CASE_DIR/journal" "$MNT/hostile/x.db-journal"
as_user $ALICE cp "$CASE_DIR/rollback" "$MNT/hostile/x.db"
# And a FIFO where SQLite would open a journal, and wait.
as_user $ALICE cp "$CASE_DIR/rollback" "$MNT/hostile/fifo.db"
as_user $ALICE mkfifo "$MNT/hostile/fifo.db-journal"
sqlite3 "$MNT/last.db" 'create table t(a)'
wait_until is_wal "$MNT/last.db"
sleep 1.5
assert test -e "$CASE_DIR/secret/victim"
assert_eq "$(header_mode "$MNT/hostile/x.db")" '1 1'

# Whatever its name says, a database is not held in RAM; nor is it a database to us under two names.
sqlite3 "$MNT/state.json" 'create table t(a); insert into t values (1)'
assert_eq "$(query "$LOWER/state.json" 'select count(*) from t')" 1
sqlite3 "$MNT/two.db" 'create table t(a)'
wait_until is_wal "$MNT/two.db"
ln "$MNT/two.db" "$MNT/hostile/also-two.db"
query "$MNT/two.db" 'insert into t values (1)'
# A name that is no UTF-8 is shown, and the stats stay JSON.
odd=$(printf '\377\376.db')
sqlite3 "$MNT/$odd" 'create table t(a)'
assert_eq "$(stats version)" "$("$CLAWFS" -V | sed -n 's/^clawfs //p')"
umount_fs

# The same directory when it is mounted again.
mount_fs allow_other
assert test -e "$CASE_DIR/secret/victim"
assert_eq "$(query "$MNT/two.db" 'select count(*) from t')" 1
umount_fs
