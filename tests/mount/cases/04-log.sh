#!/bin/bash
# P1, P2: log lines stay in RAM until the interval, the line count or an urgent
# line; the lower is a prefix of what was written at every look.
. "$TESTS/lib.sh"

mkdir "$LOWER/logs"
lower_lines() { [ "$(wc -l <"$LOWER/logs/gateway.log")" -eq "$1" ]; }

# With an interval of ten minutes: 99 lines wait, the hundredth sends all.
mount_fs log_flush_ms=600000
node "$NODE/append.js" "$MNT/logs/gateway.log" 99
assert_eq "$(wc -l <"$MNT/logs/gateway.log")" 99
refute test -s "$LOWER/logs/gateway.log"
node "$NODE/append.js" "$MNT/logs/gateway.log" 1 --from=99
wait_until lower_lines 100
# Three more wait, from sh as from node; an error sends them.
for n in 1 2 3; do echo "{\"level\":\"info\",\"n\":$n}" >>"$MNT/logs/gateway.log"; done
assert_eq "$(wc -l <"$MNT/logs/gateway.log")" 103
assert lower_lines 100
echo '{"level":"error","msg":"now"}' >>"$MNT/logs/gateway.log"
wait_until lower_lines 104
assert_same_file "$MNT/logs/gateway.log" "$LOWER/logs/gateway.log"
# The word alone is no level.
echo '{"level":"info","msg":"an error of no weight"}' >>"$MNT/logs/gateway.log"
sleep 1.5
assert lower_lines 104
# Half a line is durable when that is asked for.
printf 'half a line' >>"$MNT/logs/gateway.log"
flush_fs
assert_same_file "$MNT/logs/gateway.log" "$LOWER/logs/gateway.log"
assert [ "$(stats classes.log.flushes.lines)" -ge 1 ]
assert [ "$(stats classes.log.flushes.urgent)" -ge 1 ]
assert_eq "$(stats classes.log.dirty_bytes)" 0
umount_fs

# An interval of a second, lines one by one and in batches.
rm "$LOWER/logs/gateway.log"
mount_fs log_flush_ms=1000
watch_start poll poll-prefix.js "$LOWER/logs/gateway.log" --pause=10
node "$NODE/append.js" "$MNT/logs/gateway.log" 300 --gap=8
wait_until lower_lines 300
node "$NODE/append.js" "$MNT/logs/gateway.log" 1000 --from=300 --batch=100 --gap=20
node "$NODE/append.js" "$MNT/logs/gateway.log" 30 --from=1300
wait_until lower_lines 1330
watch_stop poll
node "$NODE/text.js" 1330 | cmp - "$MNT/logs/gateway.log"
assert [ "$(stats classes.log.flushes.interval)" -ge 1 ]
assert [ "$(stats classes.log.lower_writes)" -lt 40 ]
# One write a call; the kernel may cut a batch in pieces.
assert [ "$(stats classes.log.app_writes)" -ge 340 ]
assert [ "$(stats classes.log.app_writes)" -lt 1330 ]
assert_eq "$(stats classes.log.app_bytes)" "$(stat -c %s "$MNT/logs/gateway.log")"
umount_fs
node "$NODE/text.js" 1330 | cmp - "$LOWER/logs/gateway.log"
