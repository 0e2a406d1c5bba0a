#!/bin/bash
# timeout: 120
# P6, P8, P12: the supervisor's own part: signals, its own death, workers that die too often, kernels
# that cannot send requests again.
. "$TESTS/lib.sh"
log() { cat "$LOGS/daemon.$MOUNTS.log"; }
windows=(log_flush_ms=600000 append_flush_ms=600000 state_flush_ms=600000)

# A program with an open file notices nothing; the stats go on counting.
mount_fs "${windows[@]}"
assert_eq "$(stats pid)" "$DAEMON" "the pid to signal"
echo one >"$MNT/a.log"
exec 5>>"$MNT/a.log" 6<"$MNT/a.log"
first=$(stats worker)
kill_worker
echo two >&5
assert_eq "$(cat <&6)" $'one\ntwo'
refute test "$(stats worker)" = "$first"
assert_eq "$(stats worker_number)" 2
assert [ "$(stats classes log app_writes)" -ge 2 ]
refute test -s "$LOWER/a.log"
exec 5>&- 6<&-
grep -q 'the worker (pid .*) died of signal 9' "$LOGS/daemon.$MOUNTS.log"

# SIGTERM comes through a worker's death, and ends well.
kill -STOP "$(stats worker)"
worker=$(pgrep -P "$DAEMON" -x clawfs-worker)
kill -TERM "$DAEMON"
sleep 0.2
kill -9 "$worker"
daemon_ended
assert_eq "$(cat "$LOWER/a.log")" $'one\ntwo'

# Killed while it flushes after the unmount: the next worker does it, without a mount.
for i in 1 2 3 4; do
	mount_fs "${windows[@]}"
	for n in $(seq 40); do echo "$i" >"$MNT/f$n.json"; done
	unmount_only
	sleep 0.00$((i * 2 - 1))
	kill_worker
	daemon_ended
	assert_eq "$(cat "$LOWER"/f*.json | sort | uniq -c | tr -s ' ')" " 40 $i"
done

# The supervisor alone: everything is flushed, and the worker serves on.
mount_fs "${windows[@]}"
echo three >>"$MNT/a.log"
worker=$(stats worker)
kill -9 "$DAEMON"
wait "$DAEMON" || true
wait_until grep -q three "$LOWER/a.log"
echo four >>"$MNT/a.log"
assert_eq "$(stats pid)" "$worker" "the pid to signal now"
assert_eq "$(tail -n 1 "$MNT/a.log")" four
kill -TERM "$worker"
wait_until gone "$worker"
refute mounted "$MNT"
assert_eq "$(tail -n 1 "$LOWER/a.log")" four

# Both: the next mount has all of it (32-kill9 has more).
mount_fs "${windows[@]}"
echo five >>"$MNT/a.log"
kill9
mount_fs "${windows[@]}"
assert_eq "$(tail -n 1 "$MNT/a.log")" five
umount_fs

# Five deaths in a minute are the end: everything is flushed, the mount is gone, the status says so.
mount_fs "${windows[@]}"
echo six >>"$MNT/a.log"
echo '{"at": "stake"}' >"$MNT/state.json"
for i in 1 2 3 4; do
	worker=$(stats worker)
	kill_worker
	wait_until gone "$worker"
	assert_eq "$(stats worker_number)" $((i + 1))
done
kill_worker
status=0
wait "$DAEMON" || status=$?
assert_eq "$status" 1 "status after giving up"
refute mounted "$MNT"
assert_eq "$(tail -n 1 "$LOWER/a.log")" six
assert_eq "$(cat "$LOWER/state.json")" '{"at": "stake"}'
log | grep -q 'giving up'
assert_eq "$(find "$UPPER" -mindepth 1 ! -type d 2>/dev/null)" ""

# A kernel that cannot resend: mounted anew, what was open is lost to its program, no byte is.
export CLAWFS_RESEND=off
mount_fs "${windows[@]}"
echo seven >>"$MNT/a.log"
exec 6<"$MNT/a.log"
old=$(stats worker)
kill_worker
other() { [ "$(stats worker)" != "$old" ]; }
wait_until other
assert_eq "$(tail -n 1 "$MNT/a.log")" seven
refute cat <&6
exec 6<&-
assert_eq "$(stats pid)" "$DAEMON"
umount_fs
assert_eq "$(tail -n 1 "$LOWER/a.log")" seven
unset CLAWFS_RESEND

# One process, as without a supervisor.
CLAWFS_SUPERVISOR=off mount_fs "${windows[@]}"
assert_eq "$(stats pid)" "$(stats worker)"
umount_fs
