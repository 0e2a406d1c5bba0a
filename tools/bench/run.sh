#!/bin/bash
# tools/bench/run.sh BUILD [options] [configuration...]: the application's mixed load on each
# configuration, one after the other, each on a fresh ext4 image in RAM; then on all of
# them at once, with power cuts. Prints a table, writes OUT/bench.json and OUT/bench.html.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
	cat <<-END
		usage: tools/bench/run.sh BUILD [options] [configuration...]
		  --seconds=N       of load for each configuration: 60
		  --quick           10 s each, 20 s with 4 power cuts
		  --cuts=N          power cuts: 8; 0: no such part
		  --cut-seconds=N   of load with power cuts, on all configurations at once: 75; ext4 alone
		                    may keep lines back for 35 s
		  --images=DIR      the images in DIR, so that a flush is one of the disk below; not in RAM, and
		                    without power cuts
		  --card[=MS,MBPS]  on synthetic cards: so many ms per write command (2), MB/s (15)
		  --rsync=N         seconds between two rsyncs of the configuration "rsync": $RSYNC_SECONDS
		  --out=DIR         for bench.json and bench.html: BUILD/bench-results
		  --list            the configurations
		The load's rates and sizes, with their defaults: see BUILD/bench/load --help
		  --seed= --log= --line-min= --line-max= --save= --store= --insert= --query= --rows= --transcript=
	END
}

[ $# -ge 1 ] || {
	usage >&2
	exit 2
}
case $1 in
-h | --help)
	usage
	exit 0
	;;
esac
build=$1
shift
seconds=60 cuts=8 cut_seconds=75 out=$build/bench-results images='' plan=() wanted=() command="run.sh $build $*"
for arg in "$@"; do
	case $arg in
	--seconds=*) seconds=${arg#*=} ;;
	--quick) seconds=10 cuts=4 cut_seconds=20 ;;
	--cuts=*) cuts=${arg#*=} ;;
	--cut-seconds=*) cut_seconds=${arg#*=} ;;
	--images=*) images=${arg#*=} cuts=0 ;;
	--card) CARD_MS=2 CARD_MBPS=15 ;;
	--card=*,*)
		CARD_MS=${arg#*=}
		CARD_MBPS=${CARD_MS#*,}
		CARD_MS=${CARD_MS%,*}
		;;
	--rsync=*) RSYNC_SECONDS=${arg#*=} ;;
	--out=*) out=${arg#*=} ;;
	--seed=* | --log=* | --line-min=* | --line-max=* | --save=* | --store=* | --insert=* | --query=* | --rows=* | --transcript=*)
		plan+=("$arg")
		;;
	--list)
		for name in "${ALL_CONFIGURATIONS[@]}"; do printf '%-16s %s\n' "$name" "${TITLES[$name]/\%s/$RSYNC_SECONDS}"; done
		exit 0
		;;
	-h | --help)
		usage
		exit 0
		;;
	-*)
		echo "run.sh: there is no option $arg; --help lists them" >&2
		exit 2
		;;
	*)
		[ -n "${TITLES[$arg]:-}" ] || {
			echo "run.sh: there is no configuration $arg; --list shows them" >&2
			exit 2
		}
		wanted+=("$arg")
		;;
	esac
done
for number in "$seconds" "$cuts" "$cut_seconds" "$RSYNC_SECONDS"; do
	[[ $number =~ ^[0-9]+$ ]] || die "\"$number\" is not a whole number"
done
[ ${#wanted[@]} -gt 0 ] || wanted=("${ALL_CONFIGURATIONS[@]}")
TITLES["rsync"]=${TITLES["rsync"]/\%s/$RSYNC_SECONDS}

bench_begin "$build"
[ -z "$images" ] || images_in "$images"
mkdir -p "$out"
raw=$WORK/raw
mkdir "$raw"

# What is missing on this machine is left out, and said.
configurations=()
for name in "${wanted[@]}"; do
	why=
	case $name in
	eatmydata) command -v eatmydata >/dev/null || why='the package eatmydata is not installed' ;;
	rsync) command -v rsync >/dev/null || why='rsync is not installed' ;;
	passthrough_ll)
		if [ ! -x "$BUILD/bench/passthrough_ll" ]; then
			foreground "$BENCH/passthrough-ll.sh" "$BUILD/bench/passthrough_ll" || why='passthrough_ll could not be built'
		fi
		;;
	esac
	if [ -n "$why" ]; then echo "run.sh: $name is left out: $why" >&2; else configurations+=("$name"); fi
done
[ ${#configurations[@]} -gt 0 ] || die "no configuration is left"

# The progress line; where stderr is no terminal, each text once.
said=
say() {
	if [ -t 2 ]; then
		printf '\r\033[K%s ' "$1" >&2
	elif [ "$1" != "$said" ]; then
		echo "$1" >&2
		said=$1
	fi
}

say 'making the data directory'
foreground "$LOAD" setup "$WORK/template" "${plan[@]}"

# place_create PLACE NAME [IMAGE]: a card with the data, the configuration on it, and its writes settled.
place_create() {
	local place=$1 name=$2
	card_create "$place" "${3:-}"
	mkdir "$place/acks"
	cp -a "$WORK/template" "$place/card/data"
	sync -f "$place/card"
	configuration_up "$name" "$place"
	warm_up "$DATA"
	# What clawfs does to a database that it finds at its mount is no part of the load.
	[ ! -d "$place/mnt" ] || nap 2
	sync -f "$place/card"
}

# The load on one configuration, with nothing else on the machine.
measure() {
	local name=$1 place=$WORK/place progress=()
	[ ! -t 2 ] || progress=("--progress=[$2/${#configurations[@]}] ${TITLES[$name]}")
	say "[$2/${#configurations[@]}] ${TITLES[$name]}: $seconds s"
	mkdir -p "$place" "$raw/$name"
	place_create "$place" "$name"
	[ ! -e "$DATA/.clawfs" ] || cat "$DATA/.clawfs/stats.json" >"$raw/$name/stats.before.json"
	card_stat "$place" >"$raw/$name/before"
	spawn load "${RUNNER[@]}" "$LOAD" run "$DATA" "$place/acks" --seconds="$seconds" "${plan[@]}" "${LOAD_OPTIONS[@]}" \
		"${WATCH[@]}" "${progress[@]}" >"$raw/$name/load.json"
	wait "$SPAWNED" || die "the load on ${TITLES[$name]} failed"
	configuration_sync "$name" "$place"
	card_stat "$place" >"$raw/$name/after"
	[ ! -e "$DATA/.clawfs" ] || cat "$DATA/.clawfs/stats.json" >"$raw/$name/stats.after.json"
	# Every byte, where the application sees it and where it is afterwards.
	check_all "$name" "$DATA"
	configuration_down "$name" "$place"
	[ "$name" = tmpfs ] || check_all "$name" "$place/card/data"
	card_destroy "$place"
	rm -rf --one-file-system "$place"
}
check_all() {
	foreground "$LOAD" check "$2" "$WORK/place/acks" 1e15 --seconds="$seconds" "${plan[@]}" >"$raw/check.json" ||
		die "${TITLES[$1]}: $2 is not what was written: $(cat "$raw/check.json")"
}

n=0
for name in "${configurations[@]}"; do
	n=$((n + 1))
	measure "$name" "$n"
done

[ "$cuts" -eq 0 ] || . "$BENCH/cuts.sh"

say 'putting it together'
{
	for name in "${configurations[@]}"; do printf '%s\t%s\n' "$name" "${TITLES[$name]}"; done
} >"$raw/configurations"
cat >"$raw/run" <<-END
	command	$command
	seconds	$seconds
	cuts	$cuts
	images	$images
	cut_seconds	$cut_seconds
	card_ms	$CARD_MS
	card_mbps	$CARD_MBPS
	clawfs	$("$CLAWFS" -V 2>&1 | head -n 1)
	commit	$(git -C "$ROOT" describe --always --dirty 2>/dev/null || echo unknown)
	plan	${plan[*]}
END
[ ! -t 2 ] || printf '\r\033[K' >&2
node "$BENCH/report.js" "$raw" "$out" || {
	cp -r "$raw" "$out/raw"
	die "the report failed; what was measured is in $out/raw"
}
