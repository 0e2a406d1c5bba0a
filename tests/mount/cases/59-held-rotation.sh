#!/bin/bash
# timeout: 170
# P1, P2, P6: a log is rotated under a writer that the kernel serves itself. At each system call of the rotation the
# worker is killed, or all of clawfs is, while the writer goes on and somebody has the log open for reading, or not. Each
# line is there once, in order, over the parts.
. "$TESTS/lib.sh"

SHIM=$(dirname "$CLAWFS")/crash/preload.so
[ -e "$SHIM" ] || fail "$SHIM is missing; build it first (make build-tests)"
PAGE=$CASE_DIR/page
options=(log_rotate_bytes=16K log_flush_ms=600000 log_lines=0 log_bytes=0 log_urgent=off log_gzip=off)

held() { "$CASE_DIR/held" "$@"; }
"${CC:-cc}" -std=gnu11 -O1 -I"$TESTS/../.." -o "$CASE_DIR/held" "$TESTS/held.c"

lines() { for ((i = $1; i <= $2; i++)); do printf '%d %0*d\n' "$i" 95 "$i"; done; }
assert_lines() { # DIR LOG N
	find "$1" -name "$2.*.log" | sort -V | { xargs -r cat; cat "$1/$2.log"; } >"$CASE_DIR/found"
	lines 1 "$3" | cmp - "$CASE_DIR/found" || fail "$2: not lines 1 to $3: $(wc -l <"$CASE_DIR/found") of them"
}

mkdir -p "$LOWER/logs"
lines 1 200 >"$CASE_DIR/text"
# There before they are mounted, so that nothing but `hold` is a reason to rotate.
for log in plain much {worker1,all0,all1}-{0..49}; do cp "$CASE_DIR/text" "$LOWER/logs/$log.log"; done
truncate -s 64K "$PAGE"
mount_fs "${options[@]}"
PASSED=$(stats passthrough.active)
umount_fs
if [ "$PASSED" != true ]; then
	echo 'not passed here: case 54 has the rotation'
	exit 0
fi

begin() {
	exec 7>>"$MNT/logs/$1.log"
	lines 201 220 >&7
}

# Undisturbed: the rest is the new log, what comes next follows, and a mapping is cut as with copytruncate.
mount_fs "${options[@]}"
begin plain
before=$(stats requests WRITE 2>/dev/null || echo 0)
exec 8<"$MNT/logs/plain.log"
assert_eq "$(held hold "$MNT/logs/plain.log")" ''
assert_eq "$(stats logs.rotations)" 1
assert_eq "$(cat "$MNT/logs/plain.log")" "$(lines 201 220)"
assert_eq "$(cat "$MNT/logs/plain.1.log")" "$(cat "$CASE_DIR/text")"
lines 221 230 >&7
assert_eq "$(stats requests WRITE 2>/dev/null || echo 0)" "$before" "writes came to the daemon"
assert_lines "$MNT/logs" plain 230
held map <"$MNT/logs/plain.log" >"$CASE_DIR/mapped"
lines 201 230 | cmp - "$CASE_DIR/mapped"
# Who asks when nothing is due gets nothing, and stores nothing.
assert_eq "$(held hold "$MNT/logs/plain.log")" 'Device or resource busy'
assert_eq "$(python3 -c 'import os, sys; print(os.listxattr(sys.argv[1]))' "$MNT/logs/plain.log")" '[]'
# What waits does not fit in front: not now.
begin much
lines 221 400 >&7
assert_eq "$(held hold "$MNT/logs/much.log")" 'Device or resource busy'
assert_lines "$MNT/logs" much 400
flush_fs
turned() { [ -e "$MNT/logs/much.1.log" ]; }
wait_until turned
lines 401 410 >&7
assert_lines "$MNT/logs" much 410
exec 7>&- 8<&-
umount_fs
assert_lines "$LOWER/logs" plain 230
assert_lines "$LOWER/logs" much 410

# At each call in the upper, so that each of the lower's is between two.
struck() { held fired "$PAGE"; }
RUN_AS=(env CLAWFS_DEATHS=100000)
[ "$SLOW" -gt 1 ] || RUN_AS+=("LD_PRELOAD=$SHIM" "CRASH_FAULT_PAGE=$PAGE")

# One rotation that dies at its call number $3. False when it has fewer.
die_at() { # worker|all READER STEP
	local log=$1$2-$3 asked died=0
	begin "$log"
	[ "$2" = 0 ] || exec 8<"$MNT/logs/$log.log"
	[ "$1" = worker ] || kill -STOP "$DAEMON"
	held arm "$PAGE" "$SHM_DIR" "$3"
	held hold "$MNT/logs/$log.log" >/dev/null 7>&- 8<&- &
	asked=$!
	if [ "$1" = worker ]; then
		wait "$asked"
		struck && died=1
		held disarm "$PAGE"
	else
		ended_or_struck() { struck || gone "$asked"; }
		wait_until ended_or_struck
		struck && died=1
		held disarm "$PAGE"
		# Killed, so that it writes past a mount that is no more.
		kill -9 $(pgrep -P "$DAEMON" -x clawfs-worker) "$DAEMON" 2>/dev/null || true
		wait "$DAEMON" 2>/dev/null || true
		wait "$asked" || true
		lines 221 225 >&7
		umount -l "$MNT"
		mount_fs "${options[@]}" 7>&- 8<&-
	fi
	[ "$1" = all ] || lines 221 225 >&7
	assert_lines "$MNT/logs" "$log" 225
	lines 226 230 >&7
	assert_lines "$MNT/logs" "$log" 230
	if [ "$2" = 1 ] && [ "$1" = worker ]; then
		held map <&8 >"$CASE_DIR/mapped"
		cmp "$CASE_DIR/mapped" "$MNT/logs/$log.log" || fail "$log: a mapping shows something else"
	fi
	exec 7>&- 8<&-
	# One that was taken back is due again.
	wait_until flushed "$log"
	[ "$died" = 1 ]
}
flushed() {
	flush_fs
	assert_lines "$LOWER/logs" "$1" 230
}

mount_fs "${options[@]}"
if [ "$SLOW" -gt 1 ]; then
	# The sanitizers have interceptors of their own.
	for step in 1 2 3; do die_at worker 1 "$step" || true; done
else
	for kind in 'worker 1' 'all 0' 'all 1'; do
		step=0
		# shellcheck disable=SC2086
		while die_at $kind "$step"; do
			step=$((step + 1))
			[ "$step" -lt 50 ] || fail "a rotation has more than 50 calls"
		done
		echo "$kind: $step calls"
		assert [ "$step" -ge 10 ]
	done
fi
# The kernel holds what the mounts before had open for a moment more.
left_upper() { [ -z "$(find "$UPPER/tree" -type f)" ]; }
wait_until left_upper
umount_fs
assert_eq "$(find "$LOWER" -name '.clawfs*')" ""
