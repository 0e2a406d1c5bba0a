#!/bin/bash
# timeout: 240
# P2, P6, P12: kill -9 and power cuts while logs are rotated and compressed lose no line, show none twice, and leave of
# each log itself or its whole .gz.
. "$TESTS/lib.sh"

RANDOM=$(date +%N | sed 's/^0*//')
echo "seed $RANDOM"

# The worker is killed under writers that have the log open: they notice nothing.
mkdir -p "$LOWER/logs"
mount_fs log_rotate_bytes=16K log_flush_ms=40 log_lines=20
writers=()
for who in one two; do
	node "$NODE/log-writer.js" "$MNT/logs/gateway.log" 1500 --who=$who --gap=12 --burst=5 &
	writers+=($!)
done
node "$NODE/log-writer.js" "$MNT/logs/shell.log" 1500 --who=shell --mode=plain --gap=12 --burst=5 &
writers+=($!)
for _ in 1 2 3; do
	sleep 0.$((RANDOM % 600 + 200))
	kill_worker
done
for pid in "${writers[@]}"; do wait "$pid"; done
node "$NODE/log-check.js" "$MNT/logs" gateway one=1500 two=1500
node "$NODE/log-check.js" "$MNT/logs" shell shell=1500
umount_fs
node "$NODE/log-check.js" "$LOWER/logs" gateway one=1500 two=1500
node "$NODE/log-check.js" "$LOWER/logs" shell shell=1500

# Everything is killed, and mounted again.
for round in $(seq 2); do
	name=round$round
	mount_fs log_rotate_bytes=16K log_flush_ms=40 log_lines=20 log_gzip_age_ms=200
	writers=()
	for who in one two; do
		node "$NODE/log-writer.js" "$MNT/logs/$name.log" 100000 --who=$who --gap=4 --burst=5 --mode=reopen \
			--ack="$CASE_DIR/$name.$who" 2>/dev/null &
		writers+=($!)
	done
	sleep 1.$((RANDOM % 900 + 100))
	kill9
	for pid in "${writers[@]}"; do wait "$pid"; done
	umount "$MNT"
	mount_fs log_rotate_bytes=16K log_flush_ms=40 log_gzip_age_ms=200
	# Of one that was being compressed both may be there, until the next look.
	wait_until node "$NODE/log-check.js" "$MNT/logs" "$name" "one=$(cat "$CASE_DIR/$name.one")+" "two=$(cat "$CASE_DIR/$name.two")+"
	umount_fs
	node "$NODE/log-check.js" "$LOWER/logs" "$name" "one=$(cat "$CASE_DIR/$name.one")+" "two=$(cat "$CASE_DIR/$name.two")+"
done

# Power cuts while logs that are idle are compressed, one after the other.
truncate -s 1G "$SHM_DIR/xfs.img"
mkfs.xfs -q -m reflink=1 "$SHM_DIR/xfs.img"
mkdir "$CASE_DIR/xfs" "$CASE_DIR/card" "$CASE_DIR/cut" "$CASE_DIR/cut-mnt"
mount -o loop "$SHM_DIR/xfs.img" "$CASE_DIR/xfs"
ext4_mount "$CASE_DIR/xfs/card.img" 64M "$CASE_DIR/card"
LOWER=$CASE_DIR/card/data
mkdir -p "$LOWER/logs"
for n in $(seq 4); do node "$NODE/text.js" 2000 --seed="$n" >"$CASE_DIR/text.$n"; done
for n in $(seq 4); do cp "$CASE_DIR/text.$n" "$LOWER/logs/log$n.log"; done
sync -f "$LOWER"
check_logs() { # DIR: each log is there, as it was, plain or compressed
	local n
	for n in $(seq 4); do
		if [ -e "$1/log$n.log.gz" ]; then zcat "$1/log$n.log.gz" | cmp - "$CASE_DIR/text.$n"; fi
		[ -e "$1/log$n.log.gz" ] && [ ! -e "$1/log$n.log" ] || cmp "$1/log$n.log" "$CASE_DIR/text.$n"
	done
}
packed_all() { [ "$(find "$1" -name '*.log' | wc -l)" -eq 0 ] && [ "$(find "$1" -name '*.log.gz' | wc -l)" -eq 4 ]; }
mount_fs log_gzip_age_ms=0
for n in $(seq 3); do
	node "$NODE/powercut.js" "$CASE_DIR/xfs/card.img" "$CASE_DIR/xfs/cut.$n.img" >/dev/null
	sleep 0.$((RANDOM % 150 + 10))
done
wait_until packed_all "$LOWER/logs"
check_logs "$LOWER/logs"
umount_fs
for n in $(seq 3); do
	mount -o loop "$CASE_DIR/xfs/cut.$n.img" "$CASE_DIR/cut"
	check_logs "$CASE_DIR/cut/data/logs"
	echo "cut $n: $(find "$CASE_DIR/cut/data/logs" -name '*.gz' | wc -l) compressed"
	(
		LOWER=$CASE_DIR/cut/data MNT=$CASE_DIR/cut-mnt UPPER=$SHM_DIR/cut-upper MOUNTS=$((20 + n))
		mount_fs log_gzip_age_ms=0
		wait_until packed_all "$LOWER/logs"
		check_logs "$MNT/logs"
		umount_fs
	)
	umount "$CASE_DIR/cut"
	rm "$CASE_DIR/xfs/cut.$n.img"
done

# No room for the .gz: the log stays, and the daemon goes on.
rm "$CASE_DIR/card/data/logs/"*
cp "$CASE_DIR/text.1" "$CASE_DIR/card/data/logs/log1.log"
head -c 100M /dev/zero >"$CASE_DIR/card/fill" 2>/dev/null || true
mount_fs log_gzip_age_ms=0
failed() { [ "$(stats logs.gzip_errors)" -ge 1 ]; }
wait_until failed
assert_same_file "$MNT/logs/log1.log" "$CASE_DIR/text.1"
refute test -e "$LOWER/logs/log1.log.gz"
umount_fs
umount "$CASE_DIR/card"
umount "$CASE_DIR/xfs"
