#!/bin/bash
# Command line: bad input gets one line on stderr, the right status, and leaves
# nothing behind; a good start without -f returns once the mount is live. A
# second mount is refused, and waits when the first is only flushing.
. "$TESTS/lib.sh"

# refused STATUS PATTERN ARGS...
refused() {
	local want=$1 pattern=$2 status=0 what="clawfs ${*:3}"
	shift 2
	"$CLAWFS" "$@" >"$CASE_DIR/out" 2>"$CASE_DIR/err" </dev/null || status=$?
	cat "$CASE_DIR/err"
	assert_eq "$status" "$want" "status of $what"
	assert_eq "$(wc -l <"$CASE_DIR/err")" 1 "lines on stderr of $what"
	assert_eq "$(wc -c <"$CASE_DIR/out")" 0 "bytes on stdout of $what"
	assert grep -qiE "$pattern" "$CASE_DIR/err"
	refute mounted "$MNT"
	refute test -e "$UPPER"
	assert_eq "$(ls -A "$LOWER")" "file" "what is in the lower after $what"
}

printf 'x' >"$LOWER/file"

# Help and version.
"$CLAWFS" -h >"$CASE_DIR/out"
assert grep -q log_flush_ms "$CASE_DIR/out"
"$CLAWFS" -V >"$CASE_DIR/out"
assert grep -qE 'clawfs [0-9]+\.[0-9]' "$CASE_DIR/out"

# Usage: 2.
refused 2 'mountpoint|usage'
refused 2 'usage|too many|one|-h' "$LOWER" "$MNT" "$MNT"
refused 2 "'?-?z|option" -z "$LOWER" "$MNT"
refused 2 'log_flush_sm.*log_flush_ms' "$LOWER" "$MNT" -o "upper=$UPPER,log_flush_sm=5"
refused 2 log_flush_ms "$LOWER" "$MNT" -o "upper=$UPPER,log_flush_ms=5x"
refused 2 log_flush_ms "$LOWER" "$MNT" -o "upper=$UPPER,log_flush_ms=-1"
refused 2 ram_max "$LOWER" "$MNT" -o "upper=$UPPER,ram_max=12Q"
refused 2 ram_max "$LOWER" "$MNT" -o "upper=$UPPER,ram_max=99999999999999999999"
refused 2 log_urgent "$LOWER" "$MNT" -o "upper=$UPPER,log_urgent=maybe"
refused 2 'session' "$LOWER" "$MNT" -o "upper=$UPPER,session_debounce_ms=9000,session_max_ms=1000"
refused 2 'lgo' "$LOWER" "$MNT" -o "upper=$UPPER,rule=lgo:*.txt"

# The place: 1.
refused 1 "$CASE_DIR/none" "$CASE_DIR/none" "$MNT" -o "upper=$UPPER"
refused 1 "$LOWER/file.*directory" "$LOWER/file" "$MNT" -o "upper=$UPPER"
refused 1 "$CASE_DIR/none" "$LOWER" "$CASE_DIR/none" -o "upper=$UPPER"

# No RAM behind the upper tree: an ext4 image is a disk wherever the test runs.
ext4_mount "$SHM_DIR/disk.img" 64M "$CASE_DIR/disk"
refused 1 "$CASE_DIR/disk/upper.*(RAM|tmpfs)" "$LOWER" "$MNT" -o "upper=$CASE_DIR/disk/upper"
assert_eq "$(ls -A "$CASE_DIR/disk")" lost+found "what is on the disk that was refused"
umount "$CASE_DIR/disk"

# No /dev/fuse: a /dev with everything else.
without_dev_fuse() (
	export MNT
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare -m --propagation slave bash -c '
		set -e
		mkdir -p "$CASE_DIR/dev"
		mount -t tmpfs none "$CASE_DIR/dev"
		mkdir "$CASE_DIR/dev/shm"
		touch "$CASE_DIR/dev/null"
		mount --bind /dev/shm "$CASE_DIR/dev/shm"
		mount --bind /dev/null "$CASE_DIR/dev/null"
		mount --rbind "$CASE_DIR/dev" /dev
		exec "$@"' - "$CLAWFS" "$@"
)
real=$CLAWFS
CLAWFS=without_dev_fuse_program
without_dev_fuse_program() { CLAWFS=$real without_dev_fuse "$@"; }
refused 1 /dev/fuse "$LOWER" "$MNT" -o "upper=$UPPER"
CLAWFS=$real

# A good start in the background: 0, and live when it returns.
"$CLAWFS" "$LOWER" "$MNT" -o "upper=$UPPER,logfile=$LOGS/background.log" >"$CASE_DIR/out" 2>"$CASE_DIR/err"
assert_eq "$(cat "$MNT/file")" x
assert_eq "$(cat "$CASE_DIR/out" "$CASE_DIR/err")" "" "output of a good start"
pid=$(stats pid)
assert grep -q uptime "$MNT/.clawfs/stats"
assert_eq "$(stat -c %a "$UPPER")" 700 "mode of the upper directory"

# A second mount of the same lower is refused, and the first goes on.
mkdir "$CASE_DIR/second"
status=0
"$CLAWFS" "$LOWER" "$CASE_DIR/second" -o "upper=$SHM_DIR/upper2" 2>"$CASE_DIR/err" || status=$?
cat "$CASE_DIR/err"
assert_eq "$status" 1 "status of a second mount"
assert_eq "$(wc -l <"$CASE_DIR/err")" 1 "lines on stderr of a second mount"
refute mounted "$CASE_DIR/second"
assert_eq "$(cat "$MNT/file")" x
umount "$MNT"
wait_until gone "$pid"

# Without a place named, the upper is private and goes with the mount.
find /dev/shm/clawfs-0 -mindepth 1 -maxdepth 1 2>/dev/null | sort >"$CASE_DIR/before" || true
"$CLAWFS" "$LOWER" "$MNT" -o "logfile=$LOGS/default-upper.log"
pid=$(stats pid)
find /dev/shm/clawfs-0 -mindepth 1 -maxdepth 1 | sort >"$CASE_DIR/during"
new=$(comm -13 "$CASE_DIR/before" "$CASE_DIR/during" | head -n 1)
assert_eq "$(stat -c %a /dev/shm/clawfs-0 "$new" | sort -u)" 700 "modes of the default upper"
umount "$MNT"
wait_until gone "$pid"
refute test -e "$new"

# The first is flushing (the frozen card lets it not finish): the second waits,
# then mounts and sees what the first wrote.
ext4_mount "$SHM_DIR/card.img" 64M "$CASE_DIR/card"
LOWER=$CASE_DIR/card
mount_fs state_flush_ms=600000
printf 'late' >"$MNT/late.json"
fsfreeze -f "$LOWER"
trap 'fsfreeze -u "$CASE_DIR/card" 2>/dev/null || true' EXIT
first=$DAEMON
umount "$MNT"
"$CLAWFS" "$LOWER" "$MNT" -f -o "upper=$SHM_DIR/upper2" >"$LOGS/second.log" 2>&1 &
DAEMON=$!
UPPER=$SHM_DIR/upper2
sleep 1
refute gone "$DAEMON"
refute gone "$first"
refute mounted "$MNT"
fsfreeze -u "$LOWER"
wait_until live
wait "$first"
assert_eq "$(cat "$MNT/late.json")" late
umount_fs
umount "$LOWER"
