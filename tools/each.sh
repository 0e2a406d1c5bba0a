#!/usr/bin/env bash
# tools/each.sh COMMAND... -- ITEM...: runs COMMAND with each item added, as
# many at a time as there are processors; prints what each said in one piece,
# when it has ended. Fails when one did, after having run all.
set -u
command=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	command+=("$1")
	shift
done
shift

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

run_one() {
	local output status=0
	output=$("$@" 2>&1) || status=$?
	(
		flock 9
		[ -z "$output" ] || printf '%s\n' "$output"
		if [ "$status" -ne 0 ]; then
			printf 'FAILED (status %d): %s\n' "$status" "${!#}"
			: >"$results/failed"
		fi
	) 9>"$results/lock"
}

for item in "$@"; do
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	run_one "${command[@]}" "$item" &
done
wait
[ ! -e "$results/failed" ]
