#!/bin/bash
# timeout: 120
# P9, P10: a card that refuses to the end. What only RAM has is saved as a tar that tar(1) reads, private, and the daemon
# ends with an error that says where. Applied to a copy of the card, by hand as its README says, the copy has every byte
# the mount had; a log's head that is on the card only does not become zeros. The next mount takes over what is still in RAM.
. "$TESTS/lib.sh"

windows=(log_flush_ms=600000 append_flush_ms=600000 state_flush_ms=600000 session_debounce_ms=600000
	session_max_ms=600000 retry_ms=100 retry_max_ms=100)
RESCUE=$CASE_DIR/rescue

ext4_mount "$SHM_DIR/card.img" 64M "$CASE_DIR/card"
LOWER=$CASE_DIR/card/data
sample_tree "$LOWER"
# Its end lies within a page, its head is longer than one.
node "$NODE/text.js" 100 >"$LOWER/logs/long.log"
chown -R $ALICE:$BOB "$LOWER/logs"
mkdir "$LOWER/logs/deep dir"

# Ends the daemon, which must say that it failed. Nothing is unmounted cleanly about it but the mount.
refused_end() {
	local status=0
	"$@"
	wait "$DAEMON" || status=$?
	[ "$status" -eq 1 ] || fail "the daemon ended with status $status, not 1"
	DAEMON=
	refute mounted "$MNT"
}
the_tar() {
	local all
	mapfile -t all < <(find "$RESCUE" -mindepth 1)
	assert_eq "${#all[@]}" 1 "files in $RESCUE (${all[*]})"
	echo "${all[0]}"
}
# apply TAR DIR, as the README in it says.
by_hand() {
	local tail path from
	rm -rf "$CASE_DIR/unpacked"
	mkdir "$CASE_DIR/unpacked"
	tar -xpf "$1" -C "$CASE_DIR/unpacked"
	assert grep -q "$LOWER" "$CASE_DIR/unpacked/README"
	cp -a "$CASE_DIR/unpacked/files/." "$2/"
	[ -d "$CASE_DIR/unpacked/tails" ] || return 0
	while IFS= read -r -d '' tail; do
		from=${tail#"$CASE_DIR/unpacked/tails/"}
		path=${from#*/}
		from=${from%%/*}
		[ "$(stat -c %s "$2/$path")" -ge "$from" ] || fail "$path on the card is shorter than $from"
		truncate -s "$from" "$2/$path"
		cat "$tail" >>"$2/$path"
	done < <(find "$CASE_DIR/unpacked/tails" -type f -print0)
}
fill() {
	node "$NODE/append.js" "$MNT/logs/gateway.log" "$1" --from=150
	node "$NODE/append.js" "$MNT/logs/long.log" "$1" --from=100
	printf 'half a line' >>"$MNT/logs/long.log"
	node "$NODE/append.js" "$MNT/logs/deep dir/new log.log" "$1"
	node "$NODE/append.js" "$MNT/agents/main/sessions/old.jsonl" "$1" --from=20 --seed=2
	node "$NODE/save-sessions.js" "$MNT/agents/main/sessions/sessions.json" 2 3
	printf '{"in": "place", "n": %s}' "$1" >"$MNT/secureclaw.json"
	printf '{"n": %s}' "$1" >"$MNT/workspace/../fresh-$1.json"
	chmod 600 "$MNT/fresh-$1.json"
	printf 'pid' >"$MNT/some.lock"
}

for end in umount term; do
	mount_fs "${windows[@]}" "rescue_dir=$RESCUE"
	# Part of the log is on the card already, and its file in the upper has a hole there.
	exec 8>>"$MNT/logs/long.log"
	printf 'written before the card died %s\n' "$end" >&8
	flush_fs
	mount -o remount,ro "$CASE_DIR/card"
	[ "$end" = umount ] && fill 40 || fill 60
	printf 'after %s\n' "$end" >&8
	exec 8>&-
	rm -rf "$CASE_DIR/mounted" "$CASE_DIR/copy"
	cp -a "$MNT" "$CASE_DIR/mounted"
	rm "$CASE_DIR/mounted/some.lock"
	cp -a "$LOWER" "$CASE_DIR/copy"
	rm -rf "$CASE_DIR/copy/.clawfs"
	if [ "$end" = umount ]; then
		refused_end fusermount3 -u "$MNT"
	else
		refused_end kill -TERM "$DAEMON"
	fi
	assert_eq "$(stat -c '%u %a' "$RESCUE")" '0 700' "the rescue directory"
	archive=$(the_tar)
	assert_eq "$(stat -c '%u %a' "$archive")" '0 600' "the archive"
	stem=${LOWER#/}
	assert grep -qE "/${stem//\//-}-[0-9]{8}T[0-9]{6}Z\.tar$" <<<"$archive"
	assert grep -qF "$archive" "$LOGS/daemon.$MOUNTS.log"
	assert grep -q 'Read-only file system' "$LOGS/daemon.$MOUNTS.log"
	refute grep -q 'lock' < <(tar -tf "$archive")
	by_hand "$archive" "$CASE_DIR/copy"
	assert_same_tree "$CASE_DIR/mounted" "$CASE_DIR/copy" no-times
	# Whole files keep their times, too.
	assert_eq "$(stat -c %.Y "$CASE_DIR/copy/secureclaw.json")" "$(stat -c %.Y "$CASE_DIR/mounted/secureclaw.json")"
	rm "$archive"
	# Mended: what is still in RAM is there, and goes to the card.
	mount -o remount,rw "$CASE_DIR/card"
	mount_fs "${windows[@]}" "rescue_dir=$RESCUE"
	node "$NODE/get.js" n <"$MNT/secureclaw.json" >/dev/null
	umount_fs
	rm -f "$LOWER/some.lock"
	assert_same_tree "$CASE_DIR/mounted" "$LOWER" no-times
	assert_eq "$(ls -A "$RESCUE")" '' "after a good end"
	# The next turn begins with logs that continue theirs.
	for log in logs/gateway.log:150 logs/long.log:100; do node "$NODE/text.js" "${log#*:}" >"$LOWER/${log%:*}"; done
	node "$NODE/text.js" 20 --seed=2 >"$LOWER/agents/main/sessions/old.jsonl"
	rm "$LOWER/logs/deep dir/new log.log"
done

# A place that cannot be used is refused when the mount begins, not when all depends on it.
mkdir -m 755 "$CASE_DIR/open"
refused() {
	local status=0
	"$CLAWFS" "$LOWER" "$MNT" -f -o "upper=$UPPER,rescue_dir=$1" 2>"$CASE_DIR/err" || status=$?
	assert_eq "$status" 1 "exit status with rescue_dir=$1"
	assert grep -q "$1.*rescue_dir" "$CASE_DIR/err"
	assert_eq "$(wc -l <"$CASE_DIR/err")" 1 "lines said"
}
refused "$CASE_DIR/open"
refused "$CASE_DIR/none/below"
ln -s "$RESCUE" "$CASE_DIR/link"
refused "$CASE_DIR/link"
# Neither the card nor the place for rescues: it is said, and kept in RAM.
mkdir "$CASE_DIR/full"
mount -t tmpfs -o size=64k,mode=700 none "$CASE_DIR/full"
mount_fs "${windows[@]}" "rescue_dir=$CASE_DIR/full"
mount -o remount,ro "$CASE_DIR/card"
fill 300
cp -a "$MNT" "$CASE_DIR/mounted2"
refused_end fusermount3 -u "$MNT"
assert grep -q "nor saved: cannot write to $CASE_DIR/full: No space left on device" "$LOGS/daemon.$MOUNTS.log"
assert_eq "$(ls -A "$CASE_DIR/full")" '' "a rescue in pieces"
umount "$CASE_DIR/full"
mount -o remount,rw "$CASE_DIR/card"
mount_fs "${windows[@]}"
assert_same_tree "$CASE_DIR/mounted2" "$MNT" no-times
umount_fs
umount "$CASE_DIR/card"
