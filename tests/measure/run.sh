#!/bin/bash
# tests/measure/run.sh CLAWFS [OUT]: the application's load (load.js) for MINUTES
# (2) on clawfs over an ext4 image and on plain ext4 at the same time, every
# byte checked throughout; then STRACE_MINUTES (1) more with the daemon's
# writes counted by strace, which slows it. Prints a table, writes JSON to
# OUT (build/measure.json), fails when a bound does not hold or a byte differs.
# As root: loop devices, strace.
set -euo pipefail

tests=$(cd "$(dirname "$0")/../mount" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || {
	echo "usage: tests/measure/run.sh CLAWFS [OUT]" >&2
	exit 2
}
out=$(realpath -m "${2:-$root/build/measure.json}")
minutes=${MINUTES:-2}
strace_minutes=${STRACE_MINUTES:-1}

work=$(mktemp -d /dev/shm/clawfs-measure.XXXXXX)
export CLAWFS=$1 CASE=measure CASE_DIR=$work SHM_DIR=$work SLOW=1 TESTS=$tests
CLAWFS=$(realpath "$CLAWFS")
mkdir -p "$work/logs" "$work/data" "$work/acks" "$work/acks-plain" "$(dirname "$out")"
# shellcheck source=../mount/lib.sh
. "$tests/lib.sh"

children=()
cleanup() {
	local pid mnt
	for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
	if [ -n "$DAEMON" ] && ! gone "$DAEMON"; then
		kill "$DAEMON"
		wait_until gone "$DAEMON"
	fi
	for mnt in "$work/card/data" "$work/view" "$work/card" "$work/plain"; do
		if mountpoint -q "$mnt"; then umount -l "$mnt"; fi
	done
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

# The same content on both, on images of their own.
ext4_mount "$work/card.img" 512M "$work/card"
ext4_mount "$work/plain.img" 512M "$work/plain"
sample_tree "$work/sample"
node "$NODE/new-store.js" "$work/sample/agents/main/sessions/sessions.json" 4 123000
cp -a /usr/share/doc/. "$work/sample/workspace/" 2>/dev/null || true
for place in card plain; do
	cp -a "$work/sample" "$work/$place/data"
	sync -f "$work/$place"
done
# The lower stays visible here when its directory is mounted over.
mkdir "$work/view"
mount --bind "$work/card" "$work/view"
MNT=$work/card/data
LOWER=$work/view/data
device_stat() { cat "/sys/block/$(basename "$(findmnt -no SOURCE "$work/$1" | sed 's/\[.*//')")/stat"; }

# As `make run` does.
"$root/tools/run.sh" "$CLAWFS" "$MNT"
DAEMON=$(stats pid)

# load MINUTES LINES-BEFORE SAVES-BEFORE OUT-SUFFIX: both loads at once, verified.
load() {
	local suffix=$4 place status=0 pids=()
	rm -f "$work"/acks/* "$work"/acks-plain/* "$work/stop"
	node "$here/verify.js" "$MNT" "$work/acks" --base-lines="$2" --base-version="$3" --pause=50 --stop="$work/stop" \
		--started="$work/started" --out="$work/verify$suffix.json" &
	local verifier=$!
	children+=("$verifier")
	node "$here/load.js" "$MNT" "$work/acks" "$work/clawfs$suffix.json" "$1" --log-from="$2" &
	pids+=($!)
	node "$here/load.js" "$work/plain/data" "$work/acks-plain" "$work/plain$suffix.json" "$1" --log-from="$2" &
	pids+=($!)
	children+=("${pids[@]}")
	for place in "${pids[@]}"; do wait "$place" || status=1; done
	: >"$work/stop"
	wait "$verifier" || status=1
	[ "$status" -eq 0 ] || fail "the load or its verifier failed"
}

# The sample's log has 150 lines, its store version 0.
stat_file() { cat "$MNT/.clawfs/stats.json" >"$work/stats.$1.json"; }
stat_file before
for place in card plain; do device_stat $place >"$work/$place.before"; done
node "$here/observe.js" "$LOWER" "$DAEMON" --out="$work/observe.json" --stop="$work/observe-stop" \
	--started="$work/observe-started" &
observer=$!
children+=("$observer")
wait_until test -e "$work/observe-started"
load "$minutes" 150 0 ''
stat_file after
: >"$work/observe-stop"
wait "$observer"
for place in card plain; do
	sync -f "$work/$([ $place = card ] && echo view || echo plain)"
	device_stat $place >"$work/$place.after"
done

strace -f -y -q -p "$DAEMON" -o "$work/strace" \
	-e trace=rename,renameat,renameat2,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync &
tracer=$!
children+=("$tracer")
wait_until grep -q "^TracerPid:.*[1-9]" "/proc/$DAEMON/status"
load "$strace_minutes" $((150 + minutes * 1250)) $((minutes * 300)) .strace
kill "$tracer"
wait "$tracer" || true

# Every byte through the mount, and on the lower once nobody needs clawfs.
assert_same_tree "$work/plain/data" "$MNT" no-times
umount "$MNT"
wait_until gone "$DAEMON"
DAEMON=
assert_same_tree "$work/plain/data" "$LOWER" no-times
cp "$work/strace" "$(dirname "$out")/measure.strace"
status=0
node "$here/report.js" "$work" "$out" "$minutes" "$strace_minutes" || status=$?
echo "the trees compare equal: $(find "$LOWER" -type f | wc -l) files; figures in $out"
[ "$status" -eq 0 ]
