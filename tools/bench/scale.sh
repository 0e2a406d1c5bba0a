#!/bin/bash
# tools/bench/scale.sh BUILD [options]: clawfs on data directories of 1, 10 and 100 times as much: 100 transcripts, 10 MB of old
# logs, one database and a sessions.json of 200 KB, each so many times. Prints a table, writes OUT/scale.json.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
	cat <<-END
		usage: tools/bench/scale.sh BUILD [options]
		  --factors=N,...  1,10,100; 100 takes 2 GB of RAM
		  --idle=N         seconds of watching it idle: 10
		  --saves=N        of the unchanged sessions.json, one every 8 s: 3
		  --seconds=N      of the mixed load: 20
		  --out=DIR        for scale.json: BUILD/bench-results
	END
}
[ $# -ge 1 ] || {
	usage >&2
	exit 2
}
build=$1
shift
factors=1,10,100 idle=10 saves=3 seconds=20 out=$build/bench-results command="scale.sh $build $*"
for arg in "$@"; do
	case $arg in
	--factors=*) factors=${arg#*=} ;;
	--idle=*) idle=${arg#*=} ;;
	--saves=*) saves=${arg#*=} ;;
	--seconds=*) seconds=${arg#*=} ;;
	--out=*) out=${arg#*=} ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		echo "scale.sh: there is no option $arg; --help lists them" >&2
		exit 2
		;;
	esac
done
bench_begin "$build"
mkdir -p "$out"
out=$(realpath "$out")
CARD_SIZE=4G

# timed_up NAME: mounts; seconds until it answers to raw/NAME.
timed_up() {
	local begin=$EPOCHREALTIME
	mkdir -p "$place/mnt"
	spawn server "$CLAWFS" "$place/card/data" "$place/mnt" -f -o "upper=$place/upper" >"$place/server.log" 2>&1
	SERVER=$SPAWNED
	DATA=$place/mnt
	# Its directory is empty before.
	until [ -e "$place/mnt/logs" ]; do
		if gone "$SERVER"; then die "it did not come up: $(tail -n 3 "$place/server.log")"; fi
		sleep 0.002
	done
	awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", b - a }' >"$raw/$1"
}
# watched NAME COMMAND...: its JSON to raw/NAME, the device before and after, all flushed.
watched() {
	local name=$1
	shift
	card_stat "$place" >"$raw/$name.before"
	foreground "$LOAD" "$@" --watch="$SERVER" >"$raw/$name"
	card_stat "$place" >"$raw/$name.after"
}
# Waits until neither clawfs nor the kernel has anything left to write.
settle() {
	echo flush >"$place/mnt/.clawfs/control"
	sync -f "$place/card"
	nap 3
	sync -f "$place/card"
}

for factor in ${factors//,/ }; do
	[[ $factor =~ ^[0-9]+$ ]] || die "\"$factor\" is not a whole number"
	echo "scale.sh: ${factor}x" >&2
	place=$WORK/$factor raw=$WORK/raw/$factor
	mkdir -p "$place" "$raw" "$place/acks"
	card_create "$place"
	foreground "$LOAD" setup "$place/card/data"
	foreground "$LOAD" grow "$place/card/data" "$factor"
	sync -f "$place/card"
	# The first mount puts the databases into WAL mode.
	timed_up first_mount
	configuration_down clawfs "$place"
	timed_up mount
	settle
	watched idle idle "$idle"
	# Everybody looks at everything.
	foreground find "$place/mnt" -ls >/dev/null
	settle
	watched walked idle "$idle"
	watched resave resave "$place/mnt" "$factor" "$saves" 8000
	settle
	watched run run "$place/mnt" "$place/acks" --seconds="$seconds"
	settle
	watched after idle "$idle"
	find "$place/mnt" -mindepth 1 | wc -l >"$raw/names"
	configuration_down clawfs "$place"
	card_destroy "$place"
	rm -rf --one-file-system "$place"
done
node "$BENCH/scale-report.js" "$WORK/raw" "$out/scale.json" "$command" "$("$CLAWFS" -V 2>&1 | head -n 1)"
