#!/bin/bash
# timeout: 180
# P9 on a card that dies. Where the kernel's write-out failed it calls the pages clean and the next sync succeeds: what
# was in RAM is written once more, to a fresh file, and is on the card when clawfs says so. fsync gets the card's EIO.
# With the RAM full writers are told at once, and what was acknowledged stays readable. The rest is rescued at the end.
# In a namespace of its own: another case's would keep a copy of the card mounted.
[ -n "${INNER:-}" ] || INNER=1 exec unshare -m --propagation slave bash "$0"
. "$TESTS/lib.sh"
. "$TESTS/dying.sh"

dying_mount 64M
LOWER=$CARD/data
mkdir -p "$LOWER/logs"
printf '{"old": true}' >"$LOWER/state.json"
node "$NODE/text.js" 30 >"$LOWER/logs/app.log"
cp "$LOWER/logs/app.log" "$CASE_DIR/app.log"
sync -f "$CARD"

told() {
	local pattern=$1 message
	shift
	message=$("$@" 2>&1) && fail "succeeded on a dying card: $*"
	assert grep -q "$pattern" <<<"$message"
}
poison() { node -e 'process.stdout.write("{\"text\": \"" + "poison ".repeat(40000) + process.argv[1] + "\"}\n")' "$1"; }
all_there() {
	poison one | cmp - "$1/state.json"
	cmp "$CASE_DIR/app.log" "$1/logs/app.log"
	poison new | cmp - "$1/new.json"
}
clean() { [ "$(stats totals.dirty_bytes)" -eq 0 ]; }

# --- bad blocks -------------------------------------------------------------

mount_fs retry_ms=100 retry_max_ms=400 log_flush_ms=200 state_flush_ms=100 log_urgent=off
card_is match poison
poison one >"$MNT/state.json"
poison new >"$MNT/new.json"
for n in $(seq 200); do echo "line $n of poison"; done | tee -a "$CASE_DIR/app.log" >>"$MNT/logs/app.log"
told 'Input/output error' sync "$MNT/state.json"
told 'Input/output error' sync "$MNT/logs/app.log"
told 'Input/output error' sync "$MNT"
told 'Input/output error' bash -c "echo flush >$MNT/.clawfs/control"
# A few tries more.
sleep 2
told 'Input/output error' sync "$MNT/new.json"
all_there "$MNT"
assert_eq "$(cat "$LOWER/state.json")" '{"old": true}' "what the card had"
refute test -e "$LOWER/new.json"
assert_eq "$(stats lower_error)" 5
assert grep -q 'THE LOWER REFUSES: Input/output error' "$MNT/.clawfs/stats"
assert grep -q 'cannot flush state.json: Input/output error; it stays in RAM' "$LOGS/daemon.$MOUNTS.log"
# Tries are few: at most three files, each every 400 ms or when somebody asks.
errors=$(stats totals.errors)
assert [ "$errors" -ge 6 ]
assert [ "$errors" -le $((60 * SLOW)) ]
card_is well
wait_until clean
assert_eq "$(stats lower_error)" 0
refute grep -q 'REFUSES' "$MNT/.clawfs/stats"
sync "$MNT/state.json"
umount_fs
dying_umount
# Not what the kernel believed, but what the card has.
card_reader
all_there "$LOWER"
umount "$CARD"

# --- the RAM is full ----------------------------------------------------------

dying_mount 64M
mkdir -p "$LOWER/logs"
mount_fs ram_max=2M retry_ms=100 retry_max_ms=400 log_flush_ms=100 state_flush_ms=100 append_flush_ms=100
card_is match poison
: >"$CASE_DIR/acknowledged"
# 100 KB at a time until refused. A second is long for what is to be prompt, but this machine is shared.
status=0
for n in $(seq 100); do
	poison "$n" >"$CASE_DIR/whole"
	head -c 100000 "$CASE_DIR/whole" >"$CASE_DIR/part"
	start=$SECONDS
	dd if="$CASE_DIR/part" of="$MNT/logs/big.log" bs=128K oflag=append conv=notrunc status=none 2>"$CASE_DIR/dd" || {
		status=$?
		break
	}
	cat "$CASE_DIR/part" >>"$CASE_DIR/acknowledged"
done
assert [ "$status" -ne 0 ]
assert grep -q 'Input/output error' "$CASE_DIR/dd"
assert [ $((SECONDS - start)) -le $((10 * SLOW)) ]
assert [ "$n" -ge 10 ]
# Of the last one the beginning may have been taken, and its writer told so.
size=$(stat -c %s "$MNT/logs/big.log")
assert [ "$size" -ge "$(stat -c %s "$CASE_DIR/acknowledged")" ]
cat "$CASE_DIR/part" >>"$CASE_DIR/acknowledged"
truncate -s "$size" "$CASE_DIR/acknowledged"
assert_same_file "$CASE_DIR/acknowledged" "$MNT/logs/big.log"
# Once it is full the next is told without a wait, many times over; and nothing is mixed up.
start=$SECONDS
for i in $(seq 20); do told 'Input/output error' cp "$CASE_DIR/part" "$MNT/more-$i.json"; done
assert [ $((SECONDS - start)) -le $((20 * SLOW)) ]
assert_same_file "$CASE_DIR/acknowledged" "$MNT/logs/big.log"
assert [ "$(stats ram_used)" -le $((2 << 20)) ]
# What the card takes is taken: others are not punished for it.
echo fine >"$MNT/notes.txt"
sync "$MNT/notes.txt"
card_is well
wait_until clean
cat "$CASE_DIR/part" >>"$MNT/logs/big.log"
cat "$CASE_DIR/part" >>"$CASE_DIR/acknowledged"
assert_same_file "$CASE_DIR/acknowledged" "$MNT/logs/big.log"
umount_fs
dying_umount
card_reader
assert_same_file "$CASE_DIR/acknowledged" "$LOWER/logs/big.log"
umount "$CARD"

# --- dead -------------------------------------------------------------------

dying_mount 64M
mkdir -p "$LOWER/logs"
node "$NODE/text.js" 30 >"$LOWER/logs/app.log"
printf '{"old": true}' >"$LOWER/state.json"
sync -f "$CARD"
mount_fs retry_ms=100 retry_max_ms=400 log_flush_ms=100 state_flush_ms=100 "rescue_dir=$CASE_DIR/rescue"
card_is broken
node "$NODE/append.js" "$MNT/logs/app.log" 40 --from=30
printf '{"new": true}' >"$MNT/state.json"
told 'Input/output error\|Read-only file system' sync "$MNT/state.json"
told 'Input/output error\|Read-only file system' sync "$MNT/logs/app.log"
sleep 1
node "$NODE/text.js" 70 | cmp - "$MNT/logs/app.log"
assert_eq "$(cat "$MNT/state.json")" '{"new": true}'
status=0
fusermount3 -u "$MNT"
wait "$DAEMON" || status=$?
DAEMON=
assert_eq "$status" 1 "exit status with a dead card"
assert grep -q "saved in $CASE_DIR/rescue/" "$LOGS/daemon.$MOUNTS.log"
dying_umount
# The machine is switched off.
rm -rf "$UPPER"
# A copy of the card, checked as one would, gets what was rescued.
e2fsck -fy "$BACKING" >"$CASE_DIR/fsck" 2>&1 || [ $? -le 1 ] || fail "e2fsck: $(cat "$CASE_DIR/fsck")"
card_reader
assert_eq "$(cat "$LOWER/state.json")" '{"old": true}' "what the card had"
mkdir "$CASE_DIR/unpacked"
tar -xpf "$CASE_DIR"/rescue/*.tar -C "$CASE_DIR/unpacked"
cp -a "$CASE_DIR/unpacked/files/." "$LOWER/"
from=$(basename "$CASE_DIR"/unpacked/tails/*)
truncate -s "$from" "$LOWER/logs/app.log"
cat "$CASE_DIR/unpacked/tails/$from/logs/app.log" >>"$LOWER/logs/app.log"
node "$NODE/text.js" 70 | cmp - "$LOWER/logs/app.log"
assert_eq "$(cat "$LOWER/state.json")" '{"new": true}'
umount "$CARD"

# --- the daemon dies over it --------------------------------------------------

# The next mount must not take the lower's word for what the card has: its log looks complete.
for how in kill9 umount; do
	dying_mount 64M
	mkdir -p "$LOWER/logs"
	node "$NODE/text.js" 30 >"$LOWER/logs/app.log"
	cp "$LOWER/logs/app.log" "$CASE_DIR/app.log"
	sync -f "$CARD"
	mount_fs retry_ms=100 retry_max_ms=400 log_flush_ms=100 log_urgent=off state_flush_ms=100 "rescue_dir=$CASE_DIR/rescue"
	echo 'all is well' | tee -a "$CASE_DIR/app.log" >>"$MNT/logs/app.log"
	sync "$MNT/logs/app.log"
	card_is match poison
	for n in $(seq 500); do echo "line $n of poison"; done | tee -a "$CASE_DIR/app.log" >>"$MNT/logs/app.log"
	poison one >"$MNT/state.json"
	poison new >"$MNT/new.json"
	told 'Input/output error' sync "$MNT/logs/app.log"
	all_there "$MNT"
	if [ "$how" = kill9 ]; then
		kill9
		umount "$MNT"
	else
		fusermount3 -u "$MNT"
		wait "$DAEMON" && fail "ended well on a dying card"
		DAEMON=
	fi
	# Twice, because the first mount knows what it found, and the second what that left.
	for round in 1 2; do
		mount_fs retry_ms=100 retry_max_ms=400 log_flush_ms=100 log_urgent=off state_flush_ms=100
		all_there "$MNT"
		[ "$round" -eq 1 ] || break
		told 'Input/output error' sync "$MNT/logs/app.log"
		kill9
		umount "$MNT"
	done
	card_is well
	wait_until clean
	umount_fs
	dying_umount
	card_reader
	all_there "$LOWER"
	umount "$CARD"
done
