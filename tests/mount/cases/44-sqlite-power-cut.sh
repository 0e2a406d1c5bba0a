#!/bin/bash
# timeout: 100
# P7: power cuts at random instants under inserts. Each copy of the card (see
# 37-power-cut.sh) opens in plain SQLite, is sound, and has of each writer's
# rows a prefix, with every row that was acknowledged longer ago than
# sqlite_sync_ms. STRETCH=10: a hundred cuts.
. "$TESTS/lib.sh"
. "$TESTS/sqlite.sh"

CUTS=$((10 * STRETCH))
# sqlite_sync_ms below, and what a busy machine may add to it.
WINDOW=$((1000 + 1000 * SLOW))
RANDOM=$(date +%N | sed 's/^0*//')
echo "seed $RANDOM"

truncate -s 2G "$SHM_DIR/xfs.img"
mkfs.xfs -q -m reflink=1 "$SHM_DIR/xfs.img"
mkdir "$CASE_DIR/xfs" "$CASE_DIR/card" "$CASE_DIR/cut" "$CASE_DIR/acks"
mount -o loop "$SHM_DIR/xfs.img" "$CASE_DIR/xfs"
ext4_mount "$CASE_DIR/xfs/card.img" 512M "$CASE_DIR/card"
options=(sqlite_sync_ms=1000 sqlite_checkpoint_ms=1500 sqlite_wal_limit=2M)
mkdir -p "$CASE_DIR"/card/{data,nosync}/memory "$CASE_DIR/mnt-nosync"
sync -f "$CASE_DIR/card"

# Two directories of the card. What the kernel writes past the daemon needs the
# application's own syncs; who asks for none has a mount without that.
LOWER=$CASE_DIR/card/nosync MNT=$CASE_DIR/mnt-nosync UPPER=$SHM_DIR/upper-nosync
mount_fs "${options[@]}" passthrough=off
DAEMON_NOSYNC=$DAEMON
LOWER=$CASE_DIR/card/data MNT=$CASE_DIR/mnt UPPER=$SHM_DIR/upper
mount_fs "${options[@]}"
# default: as the application has it; reset: the WAL begins anew all the time; off: asks
# for no sync at all; batch: large transactions; reopen: the WAL is unlinked and made again each time.
writers=(default reset batch reopen off)
declare -A place=([off]=nosync)
write_rows() {
	local name=$1 mnt=$MNT
	shift
	[ "${place[$name]:-}" != nosync ] || mnt=$CASE_DIR/mnt-nosync
	mkdir "$CASE_DIR/acks/$name"
	start "$name" "$DBTOOL" write "$mnt/memory/$name.sqlite" ack="$CASE_DIR/acks/$name/0" stop="$CASE_DIR/stop" "$@"
}
write_rows default pause_us=10000
write_rows reset pause_us=5000 'sql=pragma synchronous=normal; pragma wal_autocheckpoint=8'
write_rows batch pause_us=50000 batch=20 size=2000
write_rows reopen pause_us=30000 reopen=1
write_rows off pause_us=5000 'sql=pragma synchronous=off; pragma wal_autocheckpoint=8'
for name in "${writers[@]}"; do wait_until test -s "$CASE_DIR/acks/$name/0"; done
wait_until all_wal "$MNT"/memory/*.sqlite "$CASE_DIR/mnt-nosync/memory/off.sqlite"
sleep "$((WINDOW / 1000 + 1))"

# The writers rest while a copy is looked at, or it grows and grows.
signal_writers() {
	local name
	for name in "${writers[@]}"; do kill "-$1" "${PROGRAMS[$name]}"; done
}
# check_cut ROOT CUT: ROOT has the directories data and nosync.
check_cut() {
	local root=$1 at=$2 name window said
	for name in "${writers[@]}"; do
		# Of who asks for no sync nothing but a prefix.
		window=$WINDOW
		[ "$name" != off ] || window=1000000000
		said=$("$DBTOOL" check "$root/${place[$name]:-data}/memory/$name.sqlite" acks="$CASE_DIR/acks/$name" \
			cut="$at" window="$window") || fail "cut ${n:-at the end}: $said"
		echo "$name: $said"
	done
}
for n in $(seq $CUTS); do
	sleep "$((RANDOM % 2)).$((RANDOM % 900 + 100))"
	at=$(node "$NODE/powercut.js" "$CASE_DIR/xfs/card.img" "$CASE_DIR/xfs/cut.img")
	signal_writers STOP
	mount -o loop "$CASE_DIR/xfs/cut.img" "$CASE_DIR/cut"
	echo "cut $n"
	# Every other one as clawfs finds it.
	if [ $((n % 2)) = 0 ]; then
		(
			LOWER=$CASE_DIR/cut MNT=$CASE_DIR/mnt-cut UPPER=$SHM_DIR/cut-upper MOUNTS=$((100 + n))
			mkdir -p "$MNT"
			mount_fs
			check_cut "$MNT" "$at"
			umount_fs
			if ! no_strays "$LOWER"; then fail 'left on the lower'; fi
		)
	fi
	check_cut "$CASE_DIR/cut" "$at"
	umount "$CASE_DIR/cut"
	e2fsck -fn "$CASE_DIR/xfs/cut.img" >"$CASE_DIR/fsck" 2>&1 || fail "e2fsck: $(cat "$CASE_DIR/fsck")"
	rm "$CASE_DIR/xfs/cut.img"
	signal_writers CONT
done

: >"$CASE_DIR/stop"
finish "${writers[@]}"
for name in default reset batch reopen; do
	echo "$name: fsyncs asked $(db_stat "memory/$name.sqlite" fsyncs_asked), elided $(db_stat "memory/$name.sqlite" fsyncs_elided)," \
		"longest wait $(db_stat "memory/$name.sqlite" longest_wait_ms) ms"
done
umount_fs
LOWER=$CASE_DIR/card/nosync MNT=$CASE_DIR/mnt-nosync UPPER=$SHM_DIR/upper-nosync DAEMON=$DAEMON_NOSYNC
umount_fs
n=
check_cut "$CASE_DIR/card" 1e15
umount "$CASE_DIR/card"
umount "$CASE_DIR/xfs"
