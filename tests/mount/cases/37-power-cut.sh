#!/bin/bash
# timeout: 200
# P2, P3, P4, P12: power cuts at random instants. The card is an ext4 image in a
# file system that can clone files: a clone is one instant of it. On each clone,
# after ext4's own recovery: logs are prefixes that miss at most the window,
# stores are complete, no lock or temporary file is there, and clawfs comes up.
. "$TESTS/lib.sh"

CUTS=8
# The longest window below, and what a busy machine may add to it.
WINDOW=$((1000 + 3000 * SLOW))
RANDOM=$(date +%N | sed 's/^0*//')
echo "seed $RANDOM"

truncate -s 1G "$SHM_DIR/xfs.img"
mkfs.xfs -q -m reflink=1 "$SHM_DIR/xfs.img"
mkdir "$CASE_DIR/xfs" "$CASE_DIR/card" "$CASE_DIR/cut" "$CASE_DIR/cut-mnt" "$CASE_DIR/acks"
mount -o loop "$SHM_DIR/xfs.img" "$CASE_DIR/xfs"
ext4_mount "$CASE_DIR/xfs/card.img" 64M "$CASE_DIR/card"
LOWER=$CASE_DIR/card/data
mkdir -p "$LOWER/logs" "$LOWER/agents/main/sessions"
node "$NODE/new-store.js" "$LOWER/agents/main/sessions/sessions.json" 1 60000
node "$NODE/new-store.js" "$LOWER/auth-profiles.json" 1 3000
sync -f "$LOWER"

mount_fs log_flush_ms=1000 append_flush_ms=500 state_flush_ms=500 session_debounce_ms=300 session_max_ms=1000
writers=()
for kind in log append sessions state; do
	: >"$CASE_DIR/acks/$kind"
	node "$NODE/powercut-writer.js" "$MNT" "$CASE_DIR/acks/$kind" "$kind" --stop="$CASE_DIR/stop" &
	writers+=($!)
done
# Long enough for the first acknowledgments to be older than the window.
sleep "$((WINDOW / 1000 + 2))"

for n in $(seq $CUTS); do
	sleep "$((RANDOM % 2)).$((RANDOM % 900 + 100))"
	at=$(node "$NODE/powercut.js" "$CASE_DIR/xfs/card.img" "$CASE_DIR/xfs/cut.img")
	mount -o loop "$CASE_DIR/xfs/cut.img" "$CASE_DIR/cut"
	echo "cut $n"
	node "$NODE/powercut-check.js" "$CASE_DIR/cut/data" "$CASE_DIR/acks" "$at" "$WINDOW"
	# The next mount comes up by itself, with nothing in RAM, and shows the same.
	(
		LOWER=$CASE_DIR/cut/data MNT=$CASE_DIR/cut-mnt UPPER=$SHM_DIR/cut-upper MOUNTS=$n
		mount_fs
		node "$NODE/powercut-check.js" "$MNT" "$CASE_DIR/acks" "$at" "$WINDOW" >/dev/null
		echo 'after the cut' >>"$MNT/logs/gateway.log"
		umount_fs
		assert_eq "$(tail -n 1 "$LOWER/logs/gateway.log" | tail -c 14)" 'after the cut'
	)
	umount "$CASE_DIR/cut"
	e2fsck -fn "$CASE_DIR/xfs/cut.img" >"$CASE_DIR/fsck" 2>&1 || fail "e2fsck: $(cat "$CASE_DIR/fsck")"
	rm "$CASE_DIR/xfs/cut.img"
done

: >"$CASE_DIR/stop"
for writer in "${writers[@]}"; do wait "$writer"; done
umount_fs
node "$NODE/powercut-check.js" "$LOWER" "$CASE_DIR/acks" 1e15 0
umount "$CASE_DIR/card"
# The loop device in it goes a moment after its file system.
wait_until umount "$CASE_DIR/xfs"
