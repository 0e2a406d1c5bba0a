#!/bin/bash
# tests/measure/sqlite.sh CLAWFS [OUT]: SQLite with its default PRAGMAs on clawfs over
# an ext4 image and on plain ext4. First, on both at once, the application's
# load for MINUTES (2): 125 chunks a minute on a database that has 2000; what
# reaches each device counted at the block layer, every query's result compared.
# Then, one after the other, ROUNDS (3) times, with passthrough=auto and =off: BULK
# (100000) rows in transactions of 100, an index, as many point queries, a
# scan. Prints a table, writes JSON to OUT (build/measure-sqlite.json), fails
# when a bound does not hold. As root: loop devices.
set -euo pipefail

tests=$(cd "$(dirname "$0")/../mount" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || {
	echo "usage: tests/measure/sqlite.sh CLAWFS [OUT]" >&2
	exit 2
}
out=$(realpath -m "${2:-$root/build/measure-sqlite.json}")
minutes=${MINUTES:-2}
rounds=${ROUNDS:-3}
bulk=${BULK:-100000}
a_minute=125
preloaded=2000

work=$(mktemp -d /dev/shm/clawfs-measure.XXXXXX)
export CLAWFS=$1 CASE=measure-sqlite CASE_DIR=$work SHM_DIR=$work SLOW=1 TESTS=$tests
CLAWFS=$(realpath "$CLAWFS")
mkdir -p "$work/logs" "$work/mnt" "$(dirname "$out")"
# shellcheck source=../mount/lib.sh
. "$tests/lib.sh"

cleanup() {
	local mnt
	if [ -n "$DAEMON" ] && ! gone "$DAEMON"; then
		kill "$DAEMON"
		wait_until gone "$DAEMON"
	fi
	for mnt in "$work/mnt" "$work/card" "$work/plain"; do
		if mountpoint -q "$mnt"; then umount -l "$mnt"; fi
	done
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

load=$work/sqlite-load
cc -std=gnu11 -O2 -o "$load" "$here/sqlite-load.c" -lsqlite3
"$load" setup "$work/seed.sqlite" $preloaded
for place in card plain; do
	truncate -s 1G "$work/$place.img"
	mkfs.ext4 -q -F "$work/$place.img"
	mkdir "$work/$place"
	mount -o loop,noatime "$work/$place.img" "$work/$place"
	mkdir -p "$work/$place/data/memory"
	cp "$work/seed.sqlite" "$work/$place/data/memory/main.sqlite"
done
LOWER=$work/card/data
device_stat() { cat "/sys/block/$(basename "$(findmnt -no SOURCE "$work/$1")")/stat"; }

# --- the application's load ------------------------------------------------------
mount_fs
for place in card plain; do
	sync -f "$work/$place"
	device_stat $place >"$work/$place.before"
done
pids=()
for place in card plain; do
	db=$work/plain/data/memory/main.sqlite
	[ $place != card ] || db=$MNT/memory/main.sqlite
	"$load" paced "$db" $preloaded $((a_minute * minutes)) $((60000 / a_minute)) >"$work/$place.latencies" &
	pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || fail 'the load failed'; done
flush_fs
for place in card plain; do
	sync -f "$work/$place"
	device_stat $place >"$work/$place.after"
done
cat "$MNT/.clawfs/stats.json" >"$work/stats.json"
"$load" queries "$work/plain/data/memory/main.sqlite" >"$work/plain.queries"
"$load" queries "$MNT/memory/main.sqlite" >"$work/card.queries"
assert_same_file "$work/plain.queries" "$work/card.queries"
umount_fs
"$load" queries "$LOWER/memory/main.sqlite" | cmp - "$work/plain.queries" || fail 'the lower answers differently'

# --- bulk ---------------------------------------------------------------------------
bulk_run() {
	local dir=$1 name=$2 mode=$3
	rm -f "$dir"/bulk.sqlite*
	"$load" bulk "$dir/bulk.sqlite" "$bulk" "$mode" >>"$work/bulk.$name"
	rm -f "$dir"/bulk.sqlite*
}
passthrough=(auto off)
# A build that has no such option is one without.
if ! "$CLAWFS" -h | grep -q passthrough; then passthrough=(none); fi
for ((round = 0; round < rounds; round++)); do
	bulk_run "$work/plain/data" plain ''
	bulk_run "$work/plain/data" plain-wal wal
	for how in "${passthrough[@]}"; do
		if [ "$how" = none ]; then
			mount_fs
		else
			mount_fs passthrough="$how"
		fi
		bulk_run "$MNT" "clawfs-$how" ''
		umount_fs
	done
done

status=0
node "$here/sqlite-report.js" "$work" "$out" "$minutes" "$bulk" || status=$?
echo "every query has the same result on both; figures in $out"
[ "$status" -eq 0 ]
