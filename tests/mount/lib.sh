# shellcheck shell=bash
# Sourced by every case of the mount tier. Gives it LOWER, MNT and UPPER, and
# words to mount, look and compare with. A case may set LOWER, MNT, UPPER or
# RUN_AS (as_user's prefix) to something else before it mounts.
set -euo pipefail
: "${CLAWFS:?}" "${CASE_DIR:?}" "${SHM_DIR:?}" "${SLOW:?}" "${TESTS:?}"

LOWER=$CASE_DIR/lower
MNT=$CASE_DIR/mnt
UPPER=$SHM_DIR/upper
LOGS=$CASE_DIR/logs
NODE=$TESTS/node
DAEMON=
MOUNTS=0
RUN_AS=()
# A system call that the daemon's list lacks is missed.
export CLAWFS_SANDBOX=${CLAWFS_SANDBOX:-strict}
# Two users who are neither root nor each other.
export ALICE=65534 BOB=65533

trap 'echo "$CASE: line $LINENO: \"$BASH_COMMAND\" failed"' ERR
# For $(...) and functions as well.
set -o errtrace

# The line of the case itself, not of a helper in here.
fail() {
	local i=0
	while [ "${BASH_SOURCE[i + 1]:-}" = "${BASH_SOURCE[0]}" ]; do i=$((i + 1)); done
	echo "$CASE: line ${BASH_LINENO[i]}: $*"
	trap - ERR
	exit 1
}

# --- waiting ----------------------------------------------------------------

# wait_until COMMAND...: polls until COMMAND, which may be a function
# that asserts, succeeds.
wait_until() {
	local limit=$((20 * SLOW)) end
	end=$((SECONDS + limit))
	until ("$@") >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "waited $limit s in vain for: $*"
		sleep 0.05
	done
}

# Ended, whether or not init has reaped it yet.
gone() { ! grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null; }
mounted() { awk -v mnt="$1" '$5 == mnt && / - fuse/ { found = 1 } END { exit !found }' /proc/self/mountinfo; }
live_or_ended() { gone "$DAEMON" || live; }
live() { mounted "$MNT" && "${RUN_AS[@]}" cat "$MNT/.clawfs/stats.json"; }

# --- the daemon -------------------------------------------------------------

as_user() {
	local uid=$1
	shift
	# With a home of its own, as a login gives it: not root's.
	env HOME="$CASE_DIR" setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
}

# In a mount namespace of one's own: lets ordinary users open /dev/fuse, as
# udev does, and puts the program where they can run it.
private_fuse() {
	mkdir -p "$CASE_DIR/private"
	mount -t tmpfs none "$CASE_DIR/private"
	chmod 755 "$CASE_DIR/private"
	mknod -m 666 "$CASE_DIR/private/fuse" c 10 229
	mount --bind "$CASE_DIR/private/fuse" /dev/fuse
	cp "$CLAWFS" "$CASE_DIR/private/clawfs"
	CLAWFS=$CASE_DIR/private/clawfs
}

# mount_fs [name=value...]: starts the daemon in the foreground of a background
# job, waits until the mount serves. DAEMON is its pid.
mount_fs() {
	local opts="upper=$UPPER${MOUNT_OPTIONS:+,$MOUNT_OPTIONS}" arg source=("$LOWER")
	for arg in "$@"; do opts+=,$arg; done
	[ "$LOWER" != "$MNT" ] || source=()
	MOUNTS=$((MOUNTS + 1))
	"${RUN_AS[@]}" "$CLAWFS" "${source[@]}" "$MNT" -f -o "$opts" >"$LOGS/daemon.$MOUNTS.log" 2>&1 &
	DAEMON=$!
	wait_until live_or_ended
	gone "$DAEMON" && fail "the daemon did not come up ($opts)"
	live >/dev/null
}

# Waits for the daemon's end; it must be a good one, and then nothing is at
# stake in RAM any more (P8).
daemon_ended() {
	local status=0 left
	wait "$DAEMON" || status=$?
	[ "$status" -eq 0 ] || fail "the daemon ended with status $status"
	DAEMON=
	mounted "$MNT" && fail "the daemon ended but $MNT is still mounted"
	left=$(find "$UPPER" -mindepth 1 ! -type d 2>/dev/null || true)
	[ -z "$left" ] || fail "after a clean end the upper tree still holds: $left"
}

# A process that has just ended may still be closing its files: EBUSY passes.
unmount_only() { wait_until "${RUN_AS[@]}" fusermount3 -u "$MNT"; }

umount_fs() {
	unmount_only
	daemon_ended
}

# kill -9 of everything that serves the mount (P6). The dead mount stays, so that
# programs fail on it and do not go on in the directory beneath.
kill9() {
	local pid worker
	read -r pid worker < <(stats_of_processes)
	# Both in one instant: the supervisor would start another worker, the worker flush when the supervisor dies.
	kill -STOP "$pid"
	kill -9 "$worker" "$pid"
	wait_until gone "$worker"
	wait "$DAEMON" 2>/dev/null || true
	DAEMON=
}

# The pids of the supervisor and of the worker that serves now.
stats_of_processes() { echo "$(stats pid) $(stats worker)"; }

# kill_worker: kill -9 of the process that serves, whichever it is now; the supervisor
# starts the next one. Not by the stats, which would wait for it.
kill_worker() {
	local pid
	pid=$(pgrep -P "$DAEMON" -x clawfs-worker || true)
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
}

flush_fs() { echo flush >"$MNT/.clawfs/control"; }

# stats KEY.KEY... [KEY...]: one value of stats.json. Keys with dots in them come as
# arguments of their own.
stats() { "${RUN_AS[@]}" cat "$MNT/.clawfs/stats.json" | node "$NODE/get.js" "$@"; }

# Open descriptors of process $1, but for those by which it looks where the programs run that ask it (fs/steer.h, at most 8).
fd_count() { find "/proc/$1/fd" -mindepth 1 -maxdepth 1 ! -lname '/proc/*/stat' | wc -l; }
# fds_settle COUNT [GONE]: when nobody has anything open, and the kernel's last releases
# have arrived, the daemon holds no file that is gone (at most GONE), and besides COUNT at most
# two descriptors for each name there is.
fds_settle() {
	local most end=$((SECONDS + 10 * SLOW))
	most=$(($1 + 2 * $(find "$MNT" | wc -l)))
	while [ "$(fd_count "$DAEMON")" -gt "$most" ] ||
		[ "$(find "/proc/$DAEMON/fd" -lname '/*(deleted)' ! -lname '/memfd:*' | wc -l)" -gt "${2:-0}" ]; do
		if [ "$SECONDS" -ge "$end" ]; then
			find "/proc/$DAEMON/fd" -mindepth 1 -printf '%f -> %l\n'
			fail "descriptors leak: expected at most $most, and at most ${2:-0} of deleted files"
		fi
		sleep 0.1
	done
}

# --- comparing --------------------------------------------------------------

assert() { "$@" || fail "false: $*"; }
refute() { ! "$@" || fail "true: $*"; }
assert_eq() { [ "$1" = "$2" ] || fail "${3:-values differ}: got \"$1\", expected \"$2\""; }
assert_same_file() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

# Names, types, modes, owners, link counts, targets; sizes and ns mtimes of
# what is not a directory (a directory's change with every replace within).
tree_list() {
	(cd "$1" && find . -mindepth 1 \( -type d -printf '%P %y %m %U:%G\n' \) -o \
		\( -printf '%P %y %m %U:%G %n %s %'"${2:-T@}"' %l\n' \) | LC_ALL=C sort)
}
tree_sums() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum); }

# assert_same_tree A B [no-times]
assert_same_tree() {
	local times=T@
	[ "${3:-}" != no-times ] || times=y # the type once more, in the place of the time
	tree_list "$1" "$times" >"$CASE_DIR/tree-a"
	tree_list "$2" "$times" >"$CASE_DIR/tree-b"
	diff "$CASE_DIR/tree-a" "$CASE_DIR/tree-b" || fail "the trees $1 (<) and $2 (>) differ"
	tree_sums "$1" >"$CASE_DIR/tree-a"
	tree_sums "$2" >"$CASE_DIR/tree-b"
	diff "$CASE_DIR/tree-a" "$CASE_DIR/tree-b" || fail "bytes in $1 (<) and $2 (>) differ"
	[ -s "$CASE_DIR/tree-a" ] || fail "no file to compare in $1"
}

# --- programs beside the mount ----------------------------------------------

# watch_start NAME PROGRAM ARGS...: a node program that observes until
# watch_stop NAME, which hands over its verdict and leaves its summary in
# $CASE_DIR/NAME.out. Returns when it has begun.
declare -A WATCHERS
watch_start() {
	local name=$1
	shift
	rm -f "$CASE_DIR/$name.stop" "$CASE_DIR/$name.started"
	node "$NODE/$1" --stop="$CASE_DIR/$name.stop" --started="$CASE_DIR/$name.started" "${@:2}" \
		>"$CASE_DIR/$name.out" 2>&1 &
	WATCHERS[$name]=$!
	wait_until test -e "$CASE_DIR/$name.started"
}
watch_stop() {
	local status=0
	: >"$CASE_DIR/$1.stop"
	wait "${WATCHERS[$1]}" || status=$?
	cat "$CASE_DIR/$1.out"
	[ "$status" -eq 0 ] || fail "the watcher $1 saw something wrong"
}

# A data directory as the application leaves it, with every class, several
# modes, ns mtimes, links, and names that want quoting.
sample_tree() {
	local dir=$1 n
	mkdir -p "$dir"/{logs,agents/main/sessions,agents/main/agent,memory,workspace/sub/deep,media,credentials,empty}
	node "$NODE/text.js" 150 >"$dir/logs/gateway.log"
	node "$NODE/text.js" 20 --seed=2 >"$dir/agents/main/sessions/old.jsonl"
	node "$NODE/new-store.js" "$dir/agents/main/sessions/sessions.json" 4 60000
	printf '{"version": 1}\n' >"$dir/secureclaw.json"
	printf '{"token": "x"}' >"$dir/credentials/oauth.json"
	printf 'KEY=value\n' >"$dir/.env"
	: >"$dir/agents/main/agent/models.json"
	head -c 100000 /dev/urandom >"$dir/media/picture.bin"
	sqlite3 "$dir/memory/main.sqlite" 'pragma journal_mode=wal; create table t(a); insert into t values (1), (2);'
	for n in $(seq 30); do printf 'note %s\n' "$n" >"$dir/workspace/sub/note $n.md"; done
	printf 'x' >"$dir/workspace/-odd \$name' \"ünïcode\".txt"
	printf '#!/bin/sh\necho ran\n' >"$dir/workspace/tool"
	chmod 755 "$dir/workspace/tool"
	ln "$dir/workspace/tool" "$dir/workspace/tool-link"
	ln -s ../secureclaw.json "$dir/workspace/to-config"
	ln -s nowhere "$dir/dangling"
	mkfifo -m 640 "$dir/workspace/fifo"
	chmod 700 "$dir/credentials" "$dir/agents"
	chmod 600 "$dir/credentials/oauth.json" "$dir/.env"
	chmod 444 "$dir/media/picture.bin"
	chown $ALICE:$BOB "$dir/workspace/sub/note 1.md" "$dir/secureclaw.json"
	# Old enough that nothing takes "the same second" for "the same time".
	find "$dir" -exec touch -h -d '2025-01-02 03:04:05.678901234' {} +
	touch -d '2024-02-29 12:34:56.123456789' "$dir/secureclaw.json" "$dir/logs/gateway.log"
	touch -d '1999-12-31 23:59:59.999999999' "$dir/media/picture.bin" "$dir/agents/main/sessions/sessions.json"
	touch -h -d '2030-01-01 00:00:00.000000001' "$dir/dangling"
}

# An ext4 image of SIZE at IMAGE, mounted on DIR.
ext4_mount() {
	truncate -s "$2" "$1"
	mkfs.ext4 -q -F "$1"
	mkdir -p "$3"
	mount -o loop "$1" "$3"
}
