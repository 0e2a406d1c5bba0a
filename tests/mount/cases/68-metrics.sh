#!/bin/bash
# timeout: 180
# `.clawfs/metrics` as promtool and a checker of our own read it, `.clawfs/history` when a minute is full, the device's
# own counters beside ours, a daemon that sleeps meanwhile; and all of that where there is no device, or no wish.
. "$TESTS/lib.sh"

promtool=$(command -v promtool || echo "$TESTS/../../build/tools/promtool")
[ -x "$promtool" ] || fail "promtool is missing; make deps brings it"

metrics() { cat "$MNT/.clawfs/metrics" >"$CASE_DIR/metrics"; }
# The value of one sample, NAME{LABEL="VALUE"}.
metric() {
	local value
	value=$(awk -v key="$1" '$1 == key { print $2 }' "$CASE_DIR/metrics")
	[ -n "$value" ] || fail "no sample $1"
	echo "$value"
}
# The names of the issue: OpenMetrics for the parser (with the time that it wants of old samples), and for the lint the
# older format, which differs in the names of counters.
promtool_agrees() {
	metrics
	node "$NODE/openmetrics.js" "$CASE_DIR/metrics"
	awk -v now="$(date +%s)" '/^#/ { print; next } { print $0, now }' "$CASE_DIR/metrics" >"$CASE_DIR/timed"
	"$promtool" tsdb create-blocks-from openmetrics "$CASE_DIR/timed" "$CASE_DIR/blocks"
	rm -r "$CASE_DIR/blocks"
	awk '/^# TYPE .* counter$/ { c[$3] = 1 } /^# UNIT/ { next } /^# (TYPE|HELP)/ && c[$3] { $3 = $3 "_total" } { print }' \
		"$CASE_DIR/metrics" | "$promtool" check metrics
}
column() { awk -v name="$1" -v row="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } NR == row + 1 { print $c }' "$CASE_DIR/history"; }

ext4_mount "$CASE_DIR/card.img" 64M "$CASE_DIR/card"
LOWER=$CASE_DIR/card
mkdir -p "$LOWER/logs" "$LOWER/memory" "$LOWER/agents/main/sessions"
echo 'of the lower' >"$LOWER/old.txt"
sync -f "$LOWER"
echo 1 >"/proc/sys/vm/drop_caches"
device=$(findmnt -n -o SOURCE "$LOWER")
device_stat() { awk -v n="$1" '{ print $n }' "/sys/block/${device#/dev/}/stat"; }
writes_before=$(device_stat 5)
mount_fs log_flush_ms=300 session_debounce_ms=300 session_max_ms=600 passthrough=off
writes_mounted=$(device_stat 5)
opened=$SECONDS

promtool_agrees
assert_eq "$(metric clawfs_window_seconds)" 0
assert_eq "$(wc -l <"$MNT/.clawfs/history")" 1 "lines of the history in its first minute"

# A little of everything.
for i in $(seq 20); do echo "line $i" >>"$MNT/logs/a.log"; done
for i in $(seq 10); do
	echo "{\"n\": $i}" >"$MNT/agents/main/sessions/s.tmp"
	mv "$MNT/agents/main/sessions/s.tmp" "$MNT/agents/main/sessions/sessions.json"
done
echo 'of the mount' >"$MNT/through.txt"
sqlite3 "$MNT/memory/a.sqlite" 'create table t(a);'
wait_until eval '[ "$(sqlite3 "$MNT/memory/a.sqlite" "pragma journal_mode")" = wal ]'
for i in $(seq 5); do sqlite3 "$MNT/memory/a.sqlite" "pragma wal_autocheckpoint=0; insert into t values ($i);"; done
sqlite3 "$MNT/memory/a.sqlite" 'insert into t values (6); pragma wal_checkpoint;' >/dev/null
cat "$MNT/old.txt" >/dev/null
flush_fs

metrics
assert_eq "$(metric 'clawfs_app_writes_total{class="log"}')" 20
assert_eq "$(metric 'clawfs_app_written_bytes_total{class="log"}')" "$(stat -c %s "$LOWER/logs/a.log")"
assert_eq "$(metric 'clawfs_lower_written_bytes_total{class="log"}')" "$(stat -c %s "$LOWER/logs/a.log")"
assert_eq "$(metric 'clawfs_app_writes_total{class="snapshot"}')" 10
replaces=$(metric 'clawfs_lower_writes_total{class="snapshot"}')
assert_eq "$((replaces + $(metric 'clawfs_saves_coalesced_total{class="snapshot"}')))" 10 "replaces and coalesced saves"
# What goes straight through is written there as well.
assert_eq "$(metric 'clawfs_app_written_bytes_total{class="through"}')" 13
assert_eq "$(metric 'clawfs_lower_written_bytes_total{class="through"}')" 13
assert test "$(metric 'clawfs_wal_checkpoints_total')" -ge 1
asked=$(metric clawfs_database_syncs_asked_total)
elided=$(metric clawfs_database_syncs_elided_total)
assert test "$asked" -ge 6 -a "$elided" -ge 5 -a "$elided" -le "$asked"
assert test "$(metric clawfs_database_syncs_done_total)" -ge 1
assert_eq "$(metric 'clawfs_databases{mode="wal"}')" 1
assert test "$(metric 'clawfs_reads_total{from="lower"}')" -ge 1
assert test "$(metric 'clawfs_request_duration_seconds_count{op="WRITE"}')" -ge 30
assert_eq "$(metric 'clawfs_requests_total{op="WRITE"}')" "$(metric 'clawfs_request_duration_seconds_count{op="WRITE"}')"
assert test "$(metric 'clawfs_flush_duration_seconds_count{class="log"}')" -ge 1
assert_eq "$(metric 'clawfs_request_errors_total{error="EIO"}')" 0

# The device by its own count: what it says itself, from the mount on.
device_known() {
	local since after
	since=$(stats device writes)
	after=$(device_stat 5)
	[ "$since" -le $((after - writes_before)) ] && [ "$since" -ge 5 ]
}
assert_eq "$(stats device known)" true
assert_eq "$(stats device name)" "${device#/dev/}"
assert device_known
sync -f "$LOWER"
metrics
assert test "$(metric "clawfs_device_writes_total{device=\"${device#/dev/}\"}")" -gt "$writes_mounted"
assert grep -q "^device ${device#/dev/} by its own count" "$MNT/.clawfs/stats"

# Nobody does anything: nor does the daemon. Its threads sleep through the rest of the minute.
sleeps() { cat "/proc/$DAEMON"/task/*/status | awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'; }
sleep 7 # the databases' last syncs
before=$(sleeps)
sleep 5
after=$(sleeps)
# A sanitizer's runtime has a thread that wakes.
[ "$SLOW" -gt 1 ] || assert test $((after - before)) -le 2

# The first full minute, in one line.
while [ $((SECONDS - opened)) -lt 61 ]; do sleep 1; done
cat "$MNT/.clawfs/history" >"$CASE_DIR/history"
metrics
assert_eq "$(wc -l <"$CASE_DIR/history")" 2 "lines of the history after one minute"
assert_eq "$(awk '{ print NF }' "$CASE_DIR/history" | sort -u | wc -l)" 1 "different numbers of columns"
assert grep -qE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z ' "$CASE_DIR/history"
assert_eq "$(column saves 1)" 10
assert_eq "$(column replaces 1)" "$replaces"
assert_eq "$(column log_bytes 1)" "$(stat -c %s "$LOWER/logs/a.log")"
assert_eq "$(column db_asked 1)" "$asked"
assert test "$(column checkpoints 1)" -ge 1
assert test "$(column dev_writes 1)" -ge 5 -a "$(column dev_flushes 1)" -ge 1
assert test "$(column dev_bytes 1)" -ge "$(stat -c %s "$LOWER/logs/a.log")"
assert_eq "$(column errors 1)" 0
# Rates are of that minute.
assert_eq "$(metric clawfs_window_seconds)" 60
assert_eq "$(metric clawfs_session_saves_per_minute)" 10
assert_eq "$(metric clawfs_log_growth_bytes_per_minute)" "$(column log_bytes 1)"
assert_eq "$(metric 'clawfs_writes_per_minute{side="device"}')" "$(column dev_writes 1)"
assert_eq "$(metric 'clawfs_writes_per_minute{side="application"}')" "$(column app_writes 1)"
assert test "$(metric clawfs_wal_checkpoints_per_minute)" -ge 1
for ratio in 'write_amplification_ratio{side="lower"}' 'write_amplification_ratio{side="device"}' cache_hit_ratio; do metric "clawfs_$ratio"; done
promtool_agrees
umount_fs

# No wish: no files, and nothing is measured.
mount_fs metrics=off
refute test -e "$MNT/.clawfs/metrics"
refute test -e "$MNT/.clawfs/history"
assert_eq "$(find "$MNT/.clawfs" -type f -printf '%f\n' | sort | tr '\n' ' ')" "config control dirty stats stats.json "
umount_fs
umount "$CASE_DIR/card"

# No device: nothing is made up.
LOWER=$SHM_DIR/lower
mkdir "$LOWER"
mount_fs
promtool_agrees
assert_eq "$(metric clawfs_device_known)" 0
refute grep -q '^clawfs_device_writes' "$CASE_DIR/metrics"
assert_eq "$(stats device known)" false
assert grep -q '^device: unknown' "$MNT/.clawfs/stats"
umount_fs
