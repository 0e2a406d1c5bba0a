#!/bin/bash
# tools/test.sh LANE...: the steps of `make test`. A lane is make targets with
# their variables, joined by "+" ("lint+crash KILLS=20"), run one after the other; lanes run
# side by side, because one computes while the other waits for mounts. A lane
# behind a "," begins when all before it have ended.
#
# What a step says goes to build/test/STEP.log; here one line a step, and all
# of the log of one that failed. After a failure the lanes go on.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
logs=build/test
rm -rf "$logs"
mkdir -p "$logs"
steps=0

run_step() {
	local step=$1 start=$SECONDS name log
	name=$(tr -c 'a-zA-Z0-9\n' '-' <<<"${step%% *}")
	log=$logs/$name.log
	# shellcheck disable=SC2086 # a step is a target and its variables
	if "${MAKE:-make}" --no-print-directory $step >"$log" 2>&1 </dev/null; then
		printf 'ok %s (%d s)\n' "$step" $((SECONDS - start))
		grep -hE '^[a-z]+: [0-9]+ (passed, [0-9]+ failed|of them)|^FAIL' "$log" | sed 's/^/   /'
	else
		printf 'FAIL %s (%d s)\n' "$step" $((SECONDS - start))
		sed 's/^/    /' "$log"
		: >"$logs/$name.failed"
	fi
}

run_lane() {
	local step
	while IFS= read -r step; do run_step "$step"; done < <(tr '+' '\n' <<<"$1")
}

for lane in "$@"; do
	if [ "$lane" = , ]; then
		wait
		continue
	fi
	steps=$((steps + $(tr '+' '\n' <<<"$lane" | wc -l)))
	run_lane "$lane" &
done
wait
failed=$(find "$logs" -name '*.failed' | wc -l)
echo "$((steps - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
