#!/bin/bash
# timeout: 170
# P2, P6, P12: a log that is being compressed, at each system call of it on the lower: the worker killed there, and the
# power cut there (the device's image as it is at that instant). The original or the complete archive is there, never
# neither; and in the end the archive alone, with every line by both names.
. "$TESTS/lib.sh"

CARD=$CASE_DIR/card
LOWER=$CARD/data
PAGE=$CASE_DIR/page
image=$SHM_DIR/card.img
SHIM=$(dirname "$CLAWFS")/crash/preload.so
[ -e "$SHIM" ] || fail "$SHIM is missing; build it first (make build-tests)"

# The page that tests/crash/preload.c is told by (tests/crash/faultpage.h).
page() {
	python3 - "$PAGE" "$LOWER" "$SHM_DIR" "$@" <<-'END'
		import os, struct, sys
		page, lower, upper, what = sys.argv[1:5]
		SIDE_LOWER, ANY_CALL, KILL_AFTER = 1, 32, 5
		with open(page, "r+b") as f:
		    if what == "fired":
		        f.seek(40)
		        print(struct.unpack("I", f.read(4))[0])
		    elif what == "disarm":
		        f.seek(16)
		        f.write(struct.pack("I", 0))
		    else:
		        f.write(struct.pack("QQ", os.stat(lower).st_dev, os.stat(upper).st_dev))
		        f.seek(20)
		        f.write(struct.pack("IIIiII", SIDE_LOWER, ANY_CALL, 0, 0, int(sys.argv[5]), 0))
		        f.flush()
		        f.seek(16)
		        f.write(struct.pack("I", KILL_AFTER))
	END
}

# Either the log or its archive, complete.
whole() {
	local dir=$1 log=$2
	if [ -e "$dir/logs/$log.gz" ]; then
		zcat "$dir/logs/$log.gz" | cmp - "$CASE_DIR/text" && echo archive
	else
		cmp "$dir/logs/$log" "$CASE_DIR/text" && echo original
	fi
}
struck() { [ "$(page fired)" -ge 1 ]; }
struck_or_packed() { struck || packed; }
packed() { [ -e "$LOWER/logs/$log.gz" ] && [ ! -e "$LOWER/logs/$log" ]; }

ext4_mount "$image" 64M "$CARD"
mkdir -p "$LOWER/logs" "$CASE_DIR/cut"
node "$NODE/text.js" 150 >"$CASE_DIR/text"
truncate -s 64K "$PAGE"
RUN_AS=(env CLAWFS_DEATHS=100000)
# The sanitizers have interceptors of their own: there the kills come at random instants of it.
[ "$SLOW" -gt 1 ] || RUN_AS+=("LD_PRELOAD=$SHIM" "CRASH_FAULT_PAGE=$PAGE")
mount_fs log_gzip_age_ms=900

if [ "$SLOW" -gt 1 ]; then
	for round in 1 2 3 4 5 6; do
		log=round$round.log
		cp "$CASE_DIR/text" "$MNT/logs/$log"
		sleep "$((RANDOM % 2)).$((RANDOM % 9))"
		kill_worker
		wait_until packed
		[ "$(whole "$LOWER" "$log")" = archive ] || fail "round $round: the lines are not in the archive"
		cmp "$MNT/logs/$log" "$CASE_DIR/text" || fail "round $round: the lines are not to be read by the log's name"
	done
	umount_fs
	umount "$CARD"
	exit 0
fi

declare -A seen
step=0 missed=0
while [ "$missed" -lt 3 ]; do
	[ "$step" -lt 200 ] || fail "the compression of a small log has more than 200 steps"
	log=step$step-$missed.log
	cp "$CASE_DIR/text" "$MNT/logs/$log"
	flush_fs
	# Nobody starts the next worker before the image is taken.
	kill -STOP "$DAEMON"
	page arm "$step"
	wait_until struck_or_packed
	# There are no more steps; or it was compressed before the page said so.
	if ! struck; then
		kill -CONT "$DAEMON"
		missed=$((missed + 1))
		continue
	fi
	cp --sparse=always "$image" "$SHM_DIR/cut.img"
	kill -CONT "$DAEMON"
	mount -o loop "$SHM_DIR/cut.img" "$CASE_DIR/cut"
	found=$(whole "$CASE_DIR/cut/data" "$log") || fail "step $step: a power cut left neither"
	umount "$CASE_DIR/cut"
	seen[$found]=1
	wait_until packed
	[ "$(whole "$LOWER" "$log")" = archive ] || fail "step $step: the lines are not in the archive"
	cmp "$MNT/logs/$log" "$CASE_DIR/text" || fail "step $step: the lines are not to be read by the log's name"
	step=$((step + 1)) missed=0
done
page disarm
echo "$step steps"
# It was really killed on the way, and on both sides of the change.
assert [ "$step" -ge 10 ]
assert_eq "${seen[original]:-}${seen[archive]:-}" 11 "power cuts before and after the change of names"
umount_fs
# Nothing is left of what was interrupted.
assert_eq "$(find "$LOWER" -name '.clawfs*')" ""
assert_eq "$(find "$LOWER/logs" -type f ! -name '*.gz')" ""
umount "$CARD"
