#!/bin/bash
# tests/mount/run.sh CLAWFS [case...]: runs the cases in tests/mount/cases,
# JOBS (default 3) at a time, since most of them mainly wait.
#
# A case is one file NN-name.sh that sources lib.sh; it is named by its file
# name, its name or its number. It gets directories of its own, a process group
# of its own and a time-out ("# timeout: N" in its head, 60 s without; three
# times as much under sanitizers). STRETCH=N makes the cases that can run long,
# and all time-outs, N times as long. When it has ended, the runner looks for
# what it left: mounts, processes, loop devices, words in the daemon's log that
# mean a bug; each of them fails the case.
#   RETRY=1        a case that failed is run once more, alone
#   MOUNT_OPTIONS  options for every mount ("passthrough=off"); a case's own win
set -euo pipefail

tests=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$tests/../.." && pwd)

usage() {
	echo "usage: tests/mount/run.sh CLAWFS [case...]" >&2
	exit 2
}
die() {
	echo "tests/mount/run.sh: $*" >&2
	exit 1
}

# In a mount namespace of its own, whose mounts propagate: a case that makes another for itself (a slave) has copies of
# the mounts of the others, and a copy that did not go with the mount would keep what the kernel has open for it.
if [ "$(id -u)" -eq 0 ] && [ -z "${MOUNT_NAMESPACE:-}" ]; then
	MOUNT_NAMESPACE=1 exec unshare -m --propagation shared -- "$0" "$@"
fi

[ $# -ge 1 ] || usage
[ -x "$1" ] || die "$1 is not a program; build it first (make)"
CLAWFS=$(realpath "$1")
shift
[ "$(id -u)" -eq 0 ] || die "the mount tier needs root (loop devices, two users); run it with sudo"
[ -c /dev/fuse ] || die "/dev/fuse is missing; load the kernel module \"fuse\" or give the container the device"
[ "$(stat -f -c %T /dev/shm)" = tmpfs ] || die "/dev/shm is not a tmpfs; the upper tree needs one"

# Sanitizers make everything slower; windows and time-outs stretch with them.
SLOW=1
STRETCH=${STRETCH:-1}
if grep -qaE '__(asan|tsan)_init' "$CLAWFS"; then SLOW=3; fi

pick_cases() {
	local want file name found
	for want in "$@"; do
		found=
		for file in "$tests"/cases/*.sh; do
			name=$(basename "$file" .sh)
			if [ "$want" = "$name" ] || [ "$want" = "${name#*-}" ] || [ "$want" = "${name%%-*}" ]; then
				echo "$file"
				found=1
			fi
		done
		[ -n "$found" ] || die "no case \"$want\" in $tests/cases"
	done
}

timeout_of() { sed -n '1,20s/^# timeout: *\([0-9]\+\)$/\1/p' "$1" | grep . || echo 60; }

if [ $# -gt 0 ]; then
	list=$(pick_cases "$@")
	mapfile -t cases <<<"$list"
else
	cases=("$tests"/cases/*.sh)
fi
# The long ones first: nobody wants to wait for one that began last.
mapfile -t cases < <(for c in "${cases[@]}"; do echo "$(timeout_of "$c") $c"; done | sort -s -k1,1nr | cut -d' ' -f2-)

# The npm packages, by lock file; never into the source tree.
node_build=$root/build/mount-node
mkdir -p "$node_build"
(
	flock 9
	if ! cmp -s "$tests/node/package-lock.json" "$node_build/.installed"; then
		cp "$tests/node/package.json" "$tests/node/package-lock.json" "$node_build/"
		cd "$node_build"
		npm ci --silent --no-audit --no-fund --no-progress || die "npm ci failed: the packages of tests/node are needed"
		cp package-lock.json .installed
	fi
) 9>"$node_build/.lock"

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# Processes, mounts and loop devices that belong to the case in directory $1.
processes_of() {
	local environ
	for environ in /proc/[0-9]*/environ; do
		if grep -qaF "MOUNT_CASE=$1" "$environ" 2>/dev/null; then
			environ=${environ#/proc/}
			echo "${environ%/environ}"
		fi
	done
}
mounts_of() { awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo; }
loops_of() { losetup -n -l -O NAME,BACK-FILE | awk -v a="$1/" -v b="$2/" 'index($2, a) == 1 || index($2, b) == 1 { print $1 }'; }

# Writes what the case left to stdout and takes it away. A case that failed
# with `status` leaves things as they were, so there is nothing to wait for.
clean_up() {
	local dir=$1 shm=$2 status=$3 pids i mnt loop
	pids=$(processes_of "$dir")
	# A daemon that ends after its umount is given a moment.
	for ((i = 0; i < 50 && status == 0; i++)); do
		[ -n "$pids" ] || break
		sleep 0.1
		pids=$(processes_of "$dir")
	done
	if [ -n "$pids" ]; then
		echo "processes left behind:"
		for i in $pids; do ps -o pid,stat,wchan:20,args -p "$i" --no-headers || true; done
		for i in $pids; do kill -9 "$i" 2>/dev/null || true; done
	fi
	mounts_of "$dir" | tac >"$dir/mounts-left"
	if [ -s "$dir/mounts-left" ]; then
		echo "mounts left behind:"
		cat "$dir/mounts-left"
		while read -r mnt; do umount "$mnt" 2>/dev/null || umount -l "$mnt" || true; done <"$dir/mounts-left"
	fi
	# Another case's private mount namespace may have a copy of what was mounted on it; that ends with its case.
	for ((i = 0; i < 300 * SLOW && status == 0; i++)); do
		[ -n "$(loops_of "$dir" "$shm")" ] || break
		sleep 0.1
	done
	for loop in $(loops_of "$dir" "$shm"); do
		echo "loop device left behind: $loop"
		losetup -d "$loop" || true
	done
}

suspicious='\bBUG\b|[Ii]nvariant|(Address|Thread|Leak|Memory)Sanitizer|runtime error'

run_case() {
	local file=$1 name limit dir shm status=0 start left child pid
	name=$(basename "$file" .sh)
	limit=$(($(timeout_of "$file") * SLOW * STRETCH))
	dir=$(mktemp -d "${TMPDIR:-/tmp}/clawfs-mount.XXXXXX")
	shm=$(mktemp -d /dev/shm/clawfs-mount.XXXXXX)
	chmod 755 "$dir" "$shm"
	mkdir "$dir/lower" "$dir/mnt" "$dir/logs"
	chmod 1777 "$dir/logs"
	start=$SECONDS

	env MOUNT_CASE="$dir" CLAWFS="$CLAWFS" CASE="$name" CASE_DIR="$dir" SHM_DIR="$shm" SLOW="$SLOW" STRETCH="$STRETCH" \
		TESTS="$tests" NODE_PATH="$node_build/node_modules" \
		ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$dir/logs/san" \
		TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}log_path=$dir/logs/san" \
		setsid -w bash "$file" >"$dir/output" 2>&1 </dev/null &
	child=$!
	while kill -0 "$child" 2>/dev/null; do
		if [ $((SECONDS - start)) -ge "$limit" ]; then
			echo "timed out after $limit s; where everybody is:" >>"$dir/output"
			# By session, which also names one that is stuck while it ends.
			for pid in $(processes_of "$dir"; ps -s "$child" -o pid=); do
				ps -L -o pid,lwp,stat,wchan:24,args --no-headers -p "$pid" || true
			done | sort -u >>"$dir/output"
			for pid in $(processes_of "$dir"); do kill -9 "$pid" 2>/dev/null || true; done
			break
		fi
		sleep 0.1
	done
	wait "$child" || status=$?

	left=$(clean_up "$dir" "$shm" "$status")
	if [ -n "$left" ] && [ "$status" -eq 0 ]; then status=1; fi
	if grep -HnE "$suspicious" "$dir"/logs/* >"$dir/suspicious" 2>/dev/null; then status=1; fi

	{
		if [ "$status" -eq 0 ]; then
			echo "ok $name ($((SECONDS - start)) s)"
		else
			echo "FAIL $name ($((SECONDS - start)) s, status $status)"
			{
				cat "$dir/output"
				echo "$left"
				cat "$dir/suspicious" 2>/dev/null
				for log in "$dir"/logs/*; do
					[ -s "$log" ] || continue
					echo "--- $(basename "$log")"
					tail -n 100 "$log"
				done
			} | sed 's/^/    /'
		fi
	} >"$results/$name.report"
	# One case's report at a time, whole.
	flock "$results" cat "$results/$name.report"
	[ "$status" -eq 0 ] && : >"$results/$name.passed"
	rm -rf --one-file-system "$dir" "$shm"
}

for file in "${cases[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-3}" ]; do wait -n || true; done
	run_case "$file" &
done
wait

# Beside others and beside the analyzers a case may wait too long for its turn: with RETRY=1 one that failed is run once
# more, alone. What it said the first time has been printed; how many needed that is said at the end.
alone=0
if [ -n "${RETRY:-}" ]; then
	for file in "${cases[@]}"; do
		name=$(basename "$file" .sh)
		[ ! -e "$results/$name.passed" ] || continue
		echo "once more, alone: $name"
		run_case "$file"
		[ ! -e "$results/$name.passed" ] || alone=$((alone + 1))
	done
fi

passed=$(find "$results" -name '*.passed' | wc -l)
failed=$((${#cases[@]} - passed))
[ "$alone" -eq 0 ] || echo "mount: $alone of them passed only alone, see FAIL above"
echo "mount: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
