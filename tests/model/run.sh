#!/bin/bash
# tests/model/run.sh CLAWFS MODEL: random operations (MODEL is build/model) on
# mounts of CLAWFS in several configurations and, next to each, on a plain
# directory. After each run the mount ends, and the lower directory is compared
# with the plain one.
#   MODEL_SEEDS    seeds, one case a configuration each ("1 2 3")
#   MODEL_OPS      operations a case (1500)
#   MODEL_CONFIGS  configurations ("tiny default small served user")
set -euo pipefail

die() {
	echo "tests/model/run.sh: $*" >&2
	exit 1
}

[ $# -eq 2 ] || {
	echo "usage: tests/model/run.sh CLAWFS MODEL" >&2
	exit 2
}
for program in "$1" "$2"; do [ -x "$program" ] || die "$program is not a program; build it first (make)"; done
[ -c /dev/fuse ] || die "/dev/fuse is missing; load the kernel module \"fuse\" or give the container the device"
[ "$(stat -f -c %T /dev/shm)" = tmpfs ] || die "/dev/shm is not a tmpfs; the upper tree needs one"

# As root in a mount namespace of its own: whatever happens, no mount outlives this script.
if [ "$(id -u)" -eq 0 ] && [ -z "${MODEL_NAMESPACE:-}" ]; then
	MODEL_NAMESPACE=1 exec unshare -m --propagation private -- "$0" "$@"
fi

clawfs=$(realpath "$1")
model=$(realpath "$2")
seeds=${MODEL_SEEDS:-1 2 3}
ops=${MODEL_OPS:-1500}
configs=${MODEL_CONFIGS:-tiny default small served user}
if [ "$(id -u)" -ne 0 ]; then
	echo "model: not root: only the configuration \"user\" is run"
	configs=user
fi
for config in $configs; do
	case $config in tiny | default | small | served | user) ;; *) die "MODEL_CONFIGS: there is no \"$config\"" ;; esac
done

# Sanitizers make everything slower; time-outs stretch with them.
slow=1
if grep -qaE '__(asan|tsan)_init' "$clawfs"; then slow=5; fi

tmp=
shm=
daemon=
worker=
mnt=
passed=0
failed=0
as=() # how to run something as the case's user

running() { [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; }

# Not mountpoint(1): root may not stat an ordinary user's mount.
mounted() { [ -n "$mnt" ] && grep -qF " $mnt " /proc/self/mountinfo; }

# Waits for the end of process $1, at most $2 seconds, or until a line of file
# $3 says that it hangs. Not timeout(1), which waits for what it killed: a
# process whose request the daemon holds cannot die.
wait_for() {
	local i
	for ((i = 0; i < $2 * 20; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		if ((i % 40 == 39)) && grep -qs '^model: HANGS' "${3:-/dev/null}"; then break; fi
		sleep 0.05
	done
	return 1
}

# Where the daemon's threads are, when it hangs.
stacks() {
	running && command -v gdb >/dev/null || return 0
	timeout -k 5 60 gdb -p "$daemon" -batch -ex 'set pagination off' -ex 'thread apply all bt 14' 2>/dev/null |
		grep -E '^Thread| at fs/' | cut -c1-160 || true
}

# Waits for the daemon's end, at most $1 seconds; its status, 124 when it does not end.
wait_daemon() {
	wait_for "$daemon" "$1" || return 124
	local status=0
	wait "$daemon" || status=$?
	daemon=
	return "$status"
}

# Whatever still runs or is mounted goes. The daemon's death frees a process that
# waits for it.
stop_case() {
	if [ -n "$worker" ]; then kill "$worker" 2>/dev/null || true; fi
	if mounted; then "${as[@]}" fusermount3 -u "$mnt" 2>/dev/null || true; fi
	if running; then
		kill "$daemon" 2>/dev/null || true
		wait_daemon 5 || true
	fi
	if running; then
		kill -9 "$daemon" 2>/dev/null || true
		wait_daemon 5 || true
	fi
	if [ -n "$worker" ]; then
		kill -9 "$worker" 2>/dev/null || true
		wait "$worker" || true
		worker=
	fi
	if mounted; then "${as[@]}" fusermount3 -u -z "$mnt" 2>/dev/null || umount -l "$mnt" 2>/dev/null || true; fi
	mnt=
}

clean_up() {
	trap - EXIT INT TERM HUP
	stop_case
	if [ -n "$tmp" ]; then
		if mountpoint -q "$tmp/dev"; then
			umount /dev/fuse
			umount "$tmp/dev"
		fi
		rm -rf "$tmp" "$shm"
	fi
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM HUP

tmp=$(mktemp -d "${TMPDIR:-/tmp}/clawfs-model.XXXXXX")
shm=$(mktemp -d /dev/shm/clawfs-model.XXXXXX)
chmod 755 "$tmp" "$shm"
mkdir "$tmp/bin" "$tmp/dev"
cp "$clawfs" "$tmp/bin/clawfs" # the ordinary user may not reach the originals
cp "$model" "$tmp/bin/model"

# Some systems keep /dev/fuse from ordinary users: in this namespace they may have it.
open_device() {
	"${as[@]}" test -r /dev/fuse -a -w /dev/fuse && return
	mountpoint -q "$tmp/dev" || mount -t tmpfs -o mode=755 clawfs-model "$tmp/dev"
	mknod "$tmp/dev/fuse" c 10 229
	chmod 666 "$tmp/dev/fuse"
	mount --bind "$tmp/dev/fuse" /dev/fuse
}

tiny=log_flush_ms=30,append_flush_ms=20,session_debounce_ms=20,session_max_ms=60,state_flush_ms=15,log_lines=3,epoch_reach_ms=5
suspicious='\bBUG\b|[Ii]nvariant|ERROR: (Address|Leak|Undefined)[A-Za-z]*Sanitizer|WARNING: ThreadSanitizer|runtime error'

# Runs one case in $dir; what it says is the case's output. False when it failed.
case_body() {
	local config=$1 seed=$2 options="upper=$shm/$1-$2/upper" model_options=(--forget) source=$dir/lower status i
	case $config in
	tiny) options+=,$tiny ;;
	default) source= ;; # over itself
	small) options+=,ram_max=1M,file_max=64K ;;
	served) options+=,$tiny,passthrough=off ;;
	user)
		options+=,$tiny
		model_options=(--no-chown)
		;;
	esac
	[ -n "$source" ] || ln -s mnt "$dir/lower"

	"${as[@]}" "$tmp/bin/clawfs" ${source:+"$source"} "$dir/mnt" -f -o "$options" >"$dir/daemon.log" 2>&1 &
	daemon=$!
	mnt=$dir/mnt
	for ((i = 0; i < 400 * slow; i++)); do
		if mounted || ! running; then break; fi
		sleep 0.05
	done
	mounted || {
		echo "the mount did not come up"
		return 1
	}

	"${as[@]}" "$tmp/bin/model" --seed "$seed" --ops "$ops" --shrink "${model_options[@]}" "$mnt" "$dir/plain" &
	worker=$!
	wait_for "$worker" $((150 * slow)) "$dir/output" || {
		echo "build/model did not come to its end"
		stacks
		return 1
	}
	status=0
	wait "$worker" || status=$?
	worker=

	"${as[@]}" fusermount3 -u "$mnt" || {
		echo "unmounting failed"
		return 1
	}
	local end=0
	wait_daemon $((60 * slow)) || end=$?
	if [ "$end" -ne 0 ]; then
		if [ "$end" -eq 124 ]; then
			echo "the daemon did not end"
			stacks
		else
			echo "the daemon ended with status $end"
		fi
		return 1
	fi
	mnt=
	[ "$status" -eq 0 ] || return 1
	"$tmp/bin/model" --compare "$dir/lower" "$dir/plain" || {
		echo "the lower directory is not the plain one"
		return 1
	}
	if grep -qE "$suspicious" "$dir/daemon.log"; then
		echo "suspicious words in the daemon's log"
		return 1
	fi
}

run_case() {
	local config=$1 seed=$2 start=$SECONDS
	dir=$tmp/$config-$seed
	as=()
	mkdir -p "$dir/plain" "$dir/mnt" "$shm/$config-$seed"
	[ "$config" = default ] || mkdir "$dir/lower"
	if [ "$config" = user ] && [ "$(id -u)" -eq 0 ]; then
		as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
		chown -R 65534:65534 "$dir" "$shm/$config-$seed"
		open_device
	fi
	if case_body "$config" "$seed" >"$dir/output" 2>&1; then
		passed=$((passed + 1))
		echo "ok $config, seed $seed ($((SECONDS - start)) s)"
	else
		failed=$((failed + 1))
		stop_case 2>/dev/null
		echo "FAIL $config, seed $seed ($((SECONDS - start)) s)"
		sed 's/^/    /' "$dir/output"
		if [ -s "$dir/daemon.log" ]; then
			echo "    daemon's log, its end:"
			grep -aE "$suspicious" "$dir/daemon.log" | head -5 | sed 's/^/    | /' || true
			tail -n 40 "$dir/daemon.log" | sed 's/^/    | /'
		fi
	fi
	rm -rf "$dir" "${shm:?}/$config-$seed"
}

for config in $configs; do
	for seed in $seeds; do run_case "$config" "$seed"; done
done
echo "model: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
