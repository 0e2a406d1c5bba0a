#!/bin/bash
# tools/bench/ops.sh BUILD [options]: single operations on clawfs, on passthrough_ll and on plain ext4, in turns in
# one run, and how many FUSE requests each of them is. Prints a table, writes OUT/ops.json.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
	cat <<-END
		usage: tools/bench/ops.sh BUILD [options] [configuration...]
		  --rounds=N     turns of each operation: 20
		  --only=TEXT    operations with TEXT in their name
		  --bulk=ROWS    and a database of so many rows: 20000; 0: not
		  --out=DIR      for ops.json: BUILD/bench-results
		Configurations: ext4 tmpfs passthrough_ll clawfs clawfs-nopt; all but tmpfs without any.
	END
}
[ $# -ge 1 ] || {
	usage >&2
	exit 2
}
build=$1
shift
options=() bulk=20000 out=$build/bench-results wanted=() command="ops.sh $build $*"
for arg in "$@"; do
	case $arg in
	--rounds=* | --only=*) options+=("$arg") ;;
	--bulk=*) bulk=${arg#*=} ;;
	--out=*) out=${arg#*=} ;;
	ext4 | tmpfs | passthrough_ll | clawfs | clawfs-nopt) wanted+=("$arg") ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		echo "ops.sh: there is no option or configuration $arg; --help lists them" >&2
		exit 2
		;;
	esac
done
[ ${#wanted[@]} -gt 0 ] || wanted=(ext4 passthrough_ll clawfs clawfs-nopt)
bench_begin "$build"
mkdir -p "$out"

echo "ops.sh: setting up" >&2
mkdir "$WORK/template"
foreground "$BUILD/bench/ops" setup "$WORK/template"
targets=()
declare -A servers
for name in "${wanted[@]}"; do
	if [ "$name" = passthrough_ll ] && [ ! -x "$BUILD/bench/passthrough_ll" ] &&
		! foreground "$BENCH/passthrough-ll.sh" "$BUILD/bench/passthrough_ll"; then
		echo "ops.sh: passthrough_ll is left out" >&2
		continue
	fi
	place=$WORK/$name
	mkdir "$place"
	card_create "$place"
	cp -a "$WORK/template" "$place/card/data"
	sync -f "$place/card"
	configuration_up "$name" "$place"
	warm_up "$DATA"
	servers[$name]=${SERVER:-}
	targets+=("$name=$DATA")
done
mkdir "$WORK/tracing"
if mount -t tracefs none "$WORK/tracing" 2>/dev/null; then options+=("--tracing=$WORK/tracing"); fi
[ ! -t 2 ] || options+=(--progress)
foreground "$BUILD/bench/ops" "${options[@]}" --bulk="$bulk" "${targets[@]}" >"$WORK/ops.json"
for target in "${targets[@]}"; do
	name=${target%%=*}
	SERVER=${servers[$name]}
	configuration_down "$name" "$WORK/$name"
	card_destroy "$WORK/$name"
done
node "$BENCH/ops-report.js" "$WORK/ops.json" "$out/ops.json" "$command" "$("$CLAWFS" -V 2>&1 | head -n 1)"
