#!/bin/bash
# timeout: 120
# Configuration in layers on real mounts: each layer, what is wrong in one of them, --show-config, `.clawfs/config`,
# and SIGHUP.
if [ "${1:-}" != inside ]; then exec unshare -m --propagation slave bash "$0" inside; fi
. "$TESTS/lib.sh"

# An /etc and a home of our own.
cp -a /etc "$CASE_DIR/etc"
mount --bind "$CASE_DIR/etc" /etc
rm -f /etc/clawfs.conf
export HOME=$CASE_DIR/home
mkdir -p "$HOME/.config" "$LOWER/logs"
user=$HOME/.config/clawfs.conf

# config NAME: the value in force, and its place.
config() { sed -n "s/^$1 = \(.*[^ ]\)  *# \(.*\)$/\1 \2/p" "$MNT/.clawfs/config"; }
said() { grep -qF "$1" "$LOGS/daemon.$MOUNTS.log"; }

# All layers, each wins over the one before.
cat >"$LOWER/secureclaw.json" <<'EOF'
{
  "memory": { "store": { "sqlite": { "cacheSize": -1024, "synchronous": "FULL" } } },
  "clawfs": {
    "log_lines": 11, "log_bytes": 11000, "state_flush_ms": 700, "append_flush_ms": 700,
    "rule": ["through:own/**"]
  }
}
EOF
printf 'log_lines = 22\nlog_bytes=22000\nstate_flush_ms=800 # ms\nrule = "log:notes.txt"\n' >/etc/clawfs.conf
printf 'log_bytes = 33000\nstate_flush_ms = 900\n' >"$user"
export CLAWFS_STATE_FLUSH_MS=950 SECURECLAW_SESSION_WRITE_DEBOUNCE_MS=1500
mount_fs session_max_ms=4000
assert_eq "$(config sqlite_cache)" "1M $LOWER/secureclaw.json:2"
assert_eq "$(config sqlite_sync)" "full $LOWER/secureclaw.json:2"
assert_eq "$(config append_flush_ms)" "700 $LOWER/secureclaw.json:4"
assert_eq "$(config log_lines)" "22 /etc/clawfs.conf:1"
assert_eq "$(config log_bytes)" "33000 $user:1"
assert_eq "$(config state_flush_ms)" "950 CLAWFS_STATE_FLUSH_MS"
assert_eq "$(config session_debounce_ms)" "1500 SECURECLAW_SESSION_WRITE_DEBOUNCE_MS"
assert_eq "$(config session_max_ms)" "4000 -o"
assert_eq "$(config file_max)" "32M default"
assert_eq "$(config rule)" "log:notes.txt /etc/clawfs.conf:4
through:own/** $LOWER/secureclaw.json:5"
assert_eq "$(config upper)" "$UPPER -o"
# They are in force, not only shown.
echo note >"$MNT/notes.txt"
mkdir "$MNT/own"
echo x >"$MNT/own/a.json"
assert_eq "$(stats classes log app_writes)" 1
assert test -s "$LOWER/own/a.json"
# What --show-config says of the same directory is the same, through the mount as well.
"$CLAWFS" --show-config "$LOWER" -o "upper=$UPPER,session_max_ms=4000" >"$CASE_DIR/shown"
diff "$CASE_DIR/shown" "$MNT/.clawfs/config"
"$CLAWFS" --show-config "$MNT" -o "upper=$UPPER,session_max_ms=4000" | sed "s|$MNT/|$LOWER/|" | diff - "$CASE_DIR/shown"
umount_fs

# --show-config writes a file that says the same.
cp "$CASE_DIR/shown" "$CASE_DIR/etc/clawfs.conf"
rm "$user"
env -u CLAWFS_STATE_FLUSH_MS -u SECURECLAW_SESSION_WRITE_DEBOUNCE_MS "$CLAWFS" --show-config "$CASE_DIR" |
	sed 's/ *# .*//' >"$CASE_DIR/again"
sed 's/ *# .*//' "$CASE_DIR/shown" | diff - "$CASE_DIR/again"
unset CLAWFS_STATE_FLUSH_MS SECURECLAW_SESSION_WRITE_DEBOUNCE_MS
rm /etc/clawfs.conf

# What is wrong in a layer: status 2, a line that names the place, no mount.
refused() {
	local status=0
	"$CLAWFS" "$LOWER" "$MNT" -o "upper=$UPPER" >"$CASE_DIR/out" 2>"$CASE_DIR/err" || status=$?
	cat "$CASE_DIR/err"
	assert_eq "$status" 2
	assert_eq "$(wc -l <"$CASE_DIR/err")" 1 "lines on stderr"
	assert grep -qF "$1" "$CASE_DIR/err"
	refute mounted "$MNT"
	refute test -e "$UPPER"
	status=0
	"$CLAWFS" --show-config "$LOWER" >"$CASE_DIR/out" 2>"$CASE_DIR/err" || status=$?
	assert_eq "$status" 2 "status of --show-config"
	assert grep -qF "$1" "$CASE_DIR/err"
}
printf 'log_lines = 5\nlog_flsh_ms = 5\n' >/etc/clawfs.conf
refused '/etc/clawfs.conf:2: log_flsh_ms: unknown; did you mean log_flush_ms?'
rm /etc/clawfs.conf
printf '\n\nsqlite_sync = ful' >"$user"
refused "$user:3: sqlite_sync: must be normal, full or off; did you mean full?"
rm "$user"
SECURECLAW_DB_SYNCHRONOUS=sometimes refused 'environment variable SECURECLAW_DB_SYNCHRONOUS: must be normal, full or off'
CLAWFS_RAMMAX=1M refused 'CLAWFS_RAMMAX: unknown; did you mean CLAWFS_RAM_MAX?'
printf '{"clawfs": {\n"log_line": 5}}' >"$LOWER/secureclaw.json"
refused "$LOWER/secureclaw.json:2: clawfs.log_line: unknown; did you mean log_lines?"
# Root's daemon writes no log where the owner of the directory says (P10).
printf '{"clawfs": {"logfile": "%s"}}' "$CASE_DIR/other.log" >"$LOWER/secureclaw.json"
chown $ALICE "$LOWER/secureclaw.json"
refused "clawfs.logfile: not taken from here"
refute test -e "$CASE_DIR/other.log"

# A layer that cannot be read is said, and the others hold.
mkdir /etc/clawfs.conf
printf 'this is no JSON' >"$LOWER/secureclaw.json"
printf 'log_lines = 3' >"$user"
mount_fs
assert_eq "$(config log_lines)" "3 $user:1"
assert said "warning: /etc/clawfs.conf: not a regular file; going on without it"
assert said "warning: $LOWER/secureclaw.json: not JSON"
umount_fs
rmdir /etc/clawfs.conf

# Profiles: which JSON file, which rules.
printf '{"clawfs": {"log_lines": 1}}' >"$LOWER/secureclaw.json"
printf '{"clawfs": {"log_lines": 2}}' >"$LOWER/openclaw.json"
rm "$user"
mount_fs profile=openclaw
assert_eq "$(config log_lines)" "2 $LOWER/openclaw.json:1"
echo x >"$MNT/a.lock"
refute test -e "$LOWER/a.lock"
umount_fs
mount_fs profile=generic
assert_eq "$(config log_lines)" "100 default"
echo x >"$MNT/Cargo.lock"
assert_eq "$(cat "$LOWER/Cargo.lock")" x "a lock file that is somebody's data"
umount_fs
assert_eq "$(cat "$LOWER/Cargo.lock")" x

# SIGHUP. What waits by the old rules is written by the new ones.
rm "$LOWER"/*.json "$LOWER/notes.txt"
printf 'log_flush_ms = 600000\nlog_lines = 50\n' >/etc/clawfs.conf
mount_fs
hangup() {
	local before
	before=$(grep -c SIGHUP "$LOGS/daemon.$MOUNTS.log") || true
	kill -HUP "$DAEMON"
	wait_until eval "[ \$(grep -c SIGHUP '$LOGS/daemon.$MOUNTS.log') -gt $before ]"
	# Signals of one thread: when a second one has been heard, the first is done.
	cat "$MNT/.clawfs/config" >/dev/null
}
echo line >"$MNT/logs/a.log"
hangup
assert said 'SIGHUP: the configuration was read again; nothing is changed'
sleep 0.5
refute test -s "$LOWER/logs/a.log"
printf 'log_flush_ms = 100\nlog_lines = 60\n' >/etc/clawfs.conf
hangup
wait_until test -s "$LOWER/logs/a.log"
wait_until said 'SIGHUP: log_lines is now 60, was 50 (/etc/clawfs.conf:2)'
wait_until eval '[ "$(config log_flush_ms)" = "100 /etc/clawfs.conf:1" ]'
# Wrong values keep what was; the rest of the file counts; what is fixed at mount is said.
printf 'log_flush_ms = soon\nlog_lines = 70\nsqlite_wal = off\nlog_lnes = 5\n' >/etc/clawfs.conf
hangup
wait_until eval '[ "$(config log_lines)" = "70 /etc/clawfs.conf:2" ]'
assert_eq "$(config log_flush_ms)" "100 /etc/clawfs.conf:1"
assert_eq "$(config sqlite_wal)" "on default"
assert said 'SIGHUP: /etc/clawfs.conf:1: log_flush_ms: not a number of milliseconds; kept as it was'
assert said 'SIGHUP: /etc/clawfs.conf:4: log_lnes: unknown; did you mean log_lines?; kept as it was'
assert said 'SIGHUP: sqlite_wal has changed (/etc/clawfs.conf:3), which takes effect at the next mount'
# What does not fit together changes nothing at all.
printf 'log_lines = 80\nsession_max_ms = 10\n' >/etc/clawfs.conf
hangup
wait_until said 'SIGHUP: nothing is changed'
assert said 'session_debounce_ms (2000) must not be more than session_max_ms (10)'
assert_eq "$(config log_lines)" "70 /etc/clawfs.conf:2"
# The application's file counts as the application sees it, though its last version is in RAM.
rm /etc/clawfs.conf
printf '{"clawfs": {"log_lines": 90, "ram_max": "32M"}}' >"$MNT/secureclaw.json"
hangup
wait_until eval '[ "$(config log_lines)" = "90 $LOWER/secureclaw.json:1" ]'
assert_eq "$(config ram_max)" "32M $LOWER/secureclaw.json:1"
assert_eq "$(config file_max)" "16M default"
assert_eq "$(stats ram_max)" 33554432

# SIGHUP after SIGHUP while everything that a change touches is in use; nothing is lost, and the last one holds.
writer() {
	local i
	for i in $(seq 300); do
		echo "line $i" >>"$MNT/logs/busy.log"
		echo "{\"n\": $i}" >"$MNT/busy.json"
		[ $((i % 50)) -ne 0 ] || sqlite3 "$MNT/busy.sqlite" "create table if not exists t(a); insert into t values ($i);"
	done
}
writer &
busy=$!
for i in $(seq 40); do
	printf 'log_flush_ms = %d\nlog_lines = %d\nram_max = %dM\nsqlite_sync_ms = %d\ncache_ms = %d\nlog_urgent = %s\n' $((i * 10)) "$i" $((i + 8)) \
		$((i + 100)) $((i * 1000)) "$([ $((i % 2)) -eq 0 ] && echo on || echo off)" >"$user"
	kill -HUP "$DAEMON"
	sleep 0.05
done
wait "$busy"
kill -HUP "$DAEMON"
wait_until eval '[ "$(config log_lines)" = "40 $user:2" ]'
assert_eq "$(config ram_max)" "48M $user:3"
assert_eq "$(config log_urgent)" "on $user:6"
umount_fs
assert_eq "$(wc -l <"$LOWER/logs/busy.log")" 300
assert_eq "$(cat "$LOWER/busy.json")" '{"n": 300}'
assert_eq "$(sqlite3 "$LOWER/busy.sqlite" 'select count(*) from t')" 6
umount /etc
