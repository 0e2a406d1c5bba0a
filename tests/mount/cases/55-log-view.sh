#!/bin/bash
# timeout: 120
# P1, P10: a log that is idle is compressed, is still read by its name, and comes back to life when it is written.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/logs" "$LOWER/workspace"
options=(log_gzip_age_ms=600 log_flush_ms=100)
gone_plain() { [ ! -e "$LOWER/logs/$1.log" ] && [ -s "$LOWER/logs/$1.log.gz" ]; }

node "$NODE/text.js" 6000 >"$CASE_DIR/text"
cp "$CASE_DIR/text" "$LOWER/logs/old.log"
chmod 640 "$LOWER/logs/old.log"
chown "$ALICE:$BOB" "$LOWER/logs/old.log"
touch -d '2025-06-07 08:09:10.123456789' "$LOWER/logs/old.log"
cp "$CASE_DIR/text" "$LOWER/workspace/mine.log"
mount_fs "${options[@]}"
head -n 300 "$CASE_DIR/text" >>"$MNT/logs/new.log"
exec 3<"$MNT/logs/old.log"
wait_until gone_plain new
# Not while somebody has it open.
assert test -e "$LOWER/logs/old.log"
assert_eq "$(head -c 20 <&3)" "$(head -c 20 "$CASE_DIR/text")"
exec 3<&-
wait_until gone_plain old

# An ordinary gzip file, with the log's owner, mode and times.
assert_eq "$(stat -c '%a %u:%g %.9Y' "$MNT/logs/old.log.gz")" "640 $ALICE:$BOB 1749283750.123456789"
assert_eq "$(stat -c '%a %u:%g %.9Y %s' "$MNT/logs/old.log")" \
	"640 $ALICE:$BOB 1749283750.123456789 $(stat -c %s "$CASE_DIR/text")"
gzip -t "$LOWER/logs/old.log.gz"
assert_eq "$(gzip -lN "$LOWER/logs/old.log.gz" | awk 'NR == 2 { print $4 }')" "$LOWER/logs/old.log"
zcat "$MNT/logs/old.log.gz" | cmp - "$CASE_DIR/text"
assert_same_file "$MNT/logs/old.log" "$CASE_DIR/text"
assert_eq "$(cd "$MNT/logs" && echo *)" 'new.log.gz old.log.gz'
assert_eq "$(tail -n 2 "$MNT/logs/old.log")" "$(tail -n 2 "$CASE_DIR/text")"
assert_eq "$(tail -c +1000001 "$MNT/logs/old.log" | head -c 50)" "$(tail -c +1000001 "$CASE_DIR/text" | head -c 50)"
assert_eq "$(zgrep -c '"n":4711,' "$MNT/logs/old.log.gz")" 1
assert_eq "$(grep -c '"n":4711,' "$MNT/logs/old.log")" 1
node -e 'process.exit(require("fs").readFileSync(process.argv[1]).equals(require("fs").readFileSync(process.argv[2])) ? 0 : 1)' \
	"$MNT/logs/old.log" "$CASE_DIR/text"
assert_eq "$(stats logs.gzip)" 2
assert [ "$(stats logs.view_opens)" -ge 5 ]
assert [ "$(stats logs.gzip_bytes_after)" -lt "$(stats logs.gzip_bytes_before)" ]
# Nothing that is not ours, whatever its name.
assert_same_file "$LOWER/workspace/mine.log" "$CASE_DIR/text"

# Written: alive again, with what it had; a reader who had it open reads on.
exec 3<"$MNT/logs/new.log"
assert_eq "$(wc -l <&3)" 300
echo 'one more line' >>"$MNT/logs/new.log"
assert_eq "$(cat <&3)" 'one more line'
exec 3<&-
refute test -e "$LOWER/logs/new.log.gz"
refute test -e "$MNT/logs/new.log.gz"
assert_eq "$(head -n 300 "$MNT/logs/new.log" | cmp - <(head -n 300 "$CASE_DIR/text") && tail -n 1 "$MNT/logs/new.log")" \
	'one more line'
wait_until gone_plain new
# Whatever else changes it does too; O_EXCL still finds it there.
refute bash -c "set -o noclobber; echo x >'$MNT/logs/new.log'"
chmod 600 "$MNT/logs/new.log"
assert_eq "$(stat -c %a "$LOWER/logs/new.log")" 600
wait_until gone_plain new
ln "$MNT/logs/new.log" "$MNT/logs/second"
assert_eq "$(tail -n 1 "$MNT/logs/second")" 'one more line'
rm "$MNT/logs/second"
mv "$MNT/logs/new.log" "$MNT/logs/moved.log"
assert_eq "$(wc -l <"$MNT/logs/moved.log")" 301
refute test -e "$MNT/logs/new.log"
wait_until gone_plain moved
truncate -s 100 "$MNT/logs/moved.log"
assert_eq "$(cat "$MNT/logs/moved.log")" "$(head -c 100 "$CASE_DIR/text")"
: >"$MNT/logs/moved.log"
assert_eq "$(stat -c %s "$MNT/logs/moved.log")" 0
echo again >"$MNT/logs/moved.log"
wait_until gone_plain moved
echo replaced >"$MNT/logs/plain.txt"
mv "$MNT/logs/plain.txt" "$MNT/logs/moved.log"
assert_eq "$(cat "$MNT/logs/moved.log")" replaced
refute test -e "$MNT/logs/moved.log.gz"

# Unlinking either name removes both; who has it open reads it to its end.
wait_until gone_plain moved
exec 3<"$MNT/logs/old.log"
rm "$MNT/logs/old.log"
refute test -e "$MNT/logs/old.log.gz"
refute test -e "$LOWER/logs/old.log.gz"
cmp - "$CASE_DIR/text" <&3
exec 3<&-
cat "$MNT/logs/moved.log" >/dev/null
rm "$MNT/logs/moved.log.gz"
wait_until test ! -e "$MNT/logs/moved.log"
assert_eq "$(find "$MNT/logs" -mindepth 1)" ''

# The user's own gzip: its name is read too, and it is not ours to remove with the log.
head -n 50 "$CASE_DIR/text" >"$MNT/logs/own.log"
flush_fs
gzip "$MNT/logs/own.log"
flush_fs
assert_eq "$(wc -l <"$MNT/logs/own.log")" 50
assert_eq "$(stat -c %s "$MNT/logs/own.log")" "$(head -n 50 "$CASE_DIR/text" | wc -c)"
# It may have several members.
gzip -c "$CASE_DIR/text" >>"$MNT/logs/own.log.gz"
flush_fs
assert_eq "$(wc -l <"$MNT/logs/own.log")" 6050
mv "$MNT/logs/own.log.gz" "$MNT/logs/mine.log.gz"
refute test -e "$MNT/logs/own.log"
assert_eq "$(tail -n 1 "$MNT/logs/mine.log")" "$(tail -n 1 "$CASE_DIR/text")"

# Damage is an error to who reads it and one line in the daemon's log; so is a bomb, in time.
umount_fs
head -c 3000 "$LOWER/logs/mine.log.gz" >"$LOWER/logs/short.log.gz"
echo 'no gzip file' >"$LOWER/logs/none.log.gz"
head -c 600M /dev/zero | gzip -1 >"$LOWER/logs/bomb.log.gz"
mount_fs "${options[@]}"
for name in short none bomb; do
	for _ in 1 2 3; do refute cat "$MNT/logs/$name.log" >/dev/null; done
	refute bash -c "echo x >>'$MNT/logs/$name.log'" 2>/dev/null
	assert_eq "$(grep -c "$name.log.gz: " "$LOGS/daemon.$MOUNTS.log")" 1
	rm "$MNT/logs/$name.log.gz"
	echo 'a new one' >>"$MNT/logs/$name.log"
done
assert [ "$(awk '/^VmHWM/ { print $2 }' "/proc/$DAEMON/status")" -lt $((64 * SLOW * SLOW << 10)) ]
umount_fs
assert_eq "$(zcat -f "$LOWER"/logs/short.log*)" 'a new one'
