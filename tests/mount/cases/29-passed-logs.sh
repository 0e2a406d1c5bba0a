#!/bin/bash
# timeout: 150
# Logs whose writers the kernel passes through to the upper file: what the promises say holds for writes that the
# daemon does not see (P1, P2, P4, P5, P6, P8), whoever joins them and whatever becomes of the name.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/logs" "$LOWER/workspace"
log=$MNT/logs/gateway.log low=$LOWER/logs/gateway.log
line() { printf '{"level":"info","n":%d,"text":"%0*d"}\n' "$1" "${2:-100}" "$1"; }
# The first N lines, and nothing else.
assert_lines() { # FILE N
	assert_eq "$(wc -l <"$1")" "$2" "lines of $1"
	for ((i = 1; i <= $2; i++)); do line "$i"; done | cmp - "$1" || fail "$1 does not hold lines 1 to $2"
}
lower_has() { [ "$(wc -l <"$low")" -eq "$1" ]; }
# Writes that came to the daemon, not to the kernel.
writes() { stats requests WRITE 2>/dev/null || echo 0; }

mount_fs log_rotate_bytes=0
PASSED=$(stats passthrough.active)
n=0
say() {
	n=$((n + 1))
	line $n >&7
}

exec 7>>"$log"
before=$(writes)
for _ in 1 2 3; do say; done
if [ "$PASSED" = true ]; then assert_eq "$(writes)" "$before" "a write came to the daemon"; fi

# P1: read, stat and mmap see it at once, also past what has been flushed.
assert_lines "$log" 3
assert_eq "$(stat -c %s "$log")" "$(wc -c <"$log")" "size"
# P4: within the window, without anybody asking.
wait_until lower_has 3
say
assert_lines "$log" 4
node -e 'process.stdout.write(require("fs").readFileSync(process.argv[1]))' "$log" >"$CASE_DIR/read"
assert_lines "$CASE_DIR/read" 4
python3 -c 'import mmap, sys
with open(sys.argv[1], "rb") as f: sys.stdout.buffer.write(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:])' "$log" >"$CASE_DIR/mapped"
assert_lines "$CASE_DIR/mapped" 4
# P5: an fsync through another descriptor covers it.
say
sync "$log"
assert_lines "$low" 5
# P8.
say
flush_fs
assert_lines "$low" 6

# fallocate, too, on what cannot leave the upper.
for file in "$MNT/logs/zeroed.log" "$CASE_DIR/zeroed"; do
	exec 6>>"$file"
	echo abcdefgh >&6
	fallocate -z -n -o 1 -l 2 "$file"
	fallocate -z -o 7 -l 4090 "$file"
	fallocate -p -o 4 -l 1 "$file"
	exec 6>&-
done
assert_same_file "$MNT/logs/zeroed.log" "$CASE_DIR/zeroed"

# An urgent line, after a quiet time, does not wait for the window.
sleep 1
n=7
printf '{"level":"error","n":7}\n' >&7
wait_until lower_has 7
# Booked when it is durable, which is after it can be seen there.
urgent() { [ "$(stats classes.log.flushes.urgent)" -ge 1 ]; }
wait_until urgent
n=6
truncate -s "$(for ((i = 1; i <= 6; i++)); do line "$i"; done | wc -c)" "$log"
say
assert_lines "$log" 7

# Two append at once; a third writes into the middle, and back.
exec 8>>"$log"
n=8 && line 8 >&8
say
printf '{"level":"INFO"' | dd of="$log" conv=notrunc status=none
assert_eq "$(head -c 15 "$log")" '{"level":"INFO"'
printf '{"level":"info"' | dd of="$log" conv=notrunc status=none
say
exec 8>&-
assert_lines "$log" 10
flush_fs
assert_lines "$low" 10

# Renamed while it is open: to another log, to what is no log, over another one.
mv "$log" "$log.1"
say
assert_lines "$log.1" 11
assert [ ! -e "$log" ]
flush_fs
assert_lines "$low.1" 11
mv "$log.1" "$MNT/workspace/moved.txt"
say
assert_lines "$MNT/workspace/moved.txt" 12
flush_fs
assert_lines "$LOWER/workspace/moved.txt" 12
exec 8>>"$log"
line 1 >&8
mv "$MNT/workspace/moved.txt" "$log"
say
line 2 >&8
assert_lines "$log" 13
exec 8>&-
# P1, P4: who may write anywhere, and who reads, beside one that appends, also past what has been flushed.
exec 8>>"$MNT/logs/beside.jsonl" 6<>"$MNT/logs/beside.jsonl" 5<"$MNT/logs/beside.jsonl"
line 1 >&8
line 2 >&8
flush_fs
printf '{"level":"INFO"' >&6
line 3 >&8
flush_fs
{ line 1 | sed 's/info/INFO/'; line 2; line 3; } >"$CASE_DIR/beside"
assert_same_file "$LOWER/logs/beside.jsonl" "$CASE_DIR/beside"
assert_same_file "$MNT/logs/beside.jsonl" "$CASE_DIR/beside"
cmp - "$CASE_DIR/beside" <&5 || fail 'a reader that had it open sees something else'
exec 8>&- 6>&- 5<&-
# Unlinked while it is open.
exec 8>>"$MNT/logs/gone.log"
line 1 >&8
rm "$MNT/logs/gone.log"
line 2 >&8
assert_eq "$(wc -l <"/proc/$$/fd/8")" 2 'lines of a nameless log' 2>/dev/null || true
exec 8>&-
assert [ ! -e "$LOWER/logs/gone.log" ]
exec 7>&-
flush_fs
assert_lines "$low" 13

# A log that somebody merely has open wakes nobody, and its first line after that is not forgotten (P4).
exec 7>>"$log"
worker=$(stats pid)
switches() { cat "/proc/$worker"/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
sleeps() {
	local before
	before=$(switches)
	sleep 3
	[ $(($(switches) - before)) -le 4 ]
}
wait_until sleeps
say
wait_until lower_has 14

# P6: the worker dies, and the next one goes on with what is open.
say
worker=$(stats pid)
if [ "$worker" != "$DAEMON" ]; then
	kill -9 "$worker"
	say
	assert_lines "$log" $n
	say
	assert_lines "$log" $n
	wait_until lower_has $n
fi

# P6: the daemon dies, the program does not notice and goes on; the next mount has all of it, and what the
# program still writes.
say
kill9
if [ "$PASSED" = true ]; then say; else exec 7>&-; fi
umount -l "$MNT"
# Or the daemon would inherit the descriptor, and wait for itself.
mount_fs log_rotate_bytes=0 7>&-
if [ "$PASSED" = true ]; then
	assert_lines "$log" $n
	say
	assert_lines "$log" $n
	line $((n + 1)) >>"$log"
	n=$((n + 1))
	say
	assert_lines "$log" $n
	wait_until lower_has $n
fi
exec 7>&-
# Then it is a log like any other again.
left_upper() { [ -z "$(find "$UPPER/tree" -type f)" ]; }
flush_fs
wait_until left_upper
assert_lines "$low" $n
umount_fs

# P8, SIGTERM with the log open: all of it until then is there; what comes later waits for the next mount.
mount_fs log_rotate_bytes=0
exec 7>>"$log"
say
kill "$DAEMON"
wait "$DAEMON" || fail "the daemon ended with status $?"
assert_lines "$low" $n
if [ "$PASSED" = true ]; then
	say
	exec 7>&-
	mount_fs log_rotate_bytes=0
	assert_lines "$log" $n
	umount_fs
	assert_lines "$low" $n
fi
exec 7>&-
DAEMON=
