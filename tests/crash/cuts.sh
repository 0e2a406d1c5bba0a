#!/bin/bash
# tests/crash/cuts.sh CLAWFS BIN [key=value...]: power cuts, at the block layer.
#
# The mixed load runs on a clawfs over a file system on a loop device; what the device is told to write and
# to flush is recorded (blockrec). From the record the card is built as it may be after a power cut at any event
# (cutimage): all of what was written by then, nothing since the last flush, or any part of that, reordered and torn.
# Each such card is mounted, which replays the file system's own journal, and judged: databases, files and logs on
# the lower, then through a clawfs that must come up by itself, then on the lower again after its clean end.
#
#   fs=ext4|xfs|btrfs   seconds= of load   cuts= how many   seed=   id=SEED:EVENT:VARIANT replays one of the last record
#   record=DIR  where the record is kept (and taken from with id=)   windows=default|short   pace=   slack_ms=
set -euo pipefail
# In a mount namespace of its own: another's copy of a mount that was killed would keep the kernel's hold on databases.
[ -n "${CRASH_NAMESPACE:-}" ] || CRASH_NAMESPACE=1 exec unshare -m -- "$0" "$@"
CLAWFS=$(realpath "$1")
BIN=$(realpath "$2")
shift 2
fs=ext4 seconds=8 cuts=10 seed=1 id='' record='' windows=default pace=1 slack_ms=1500 tear_down=0
for word in "$@"; do
	case $word in
	fs=* | seconds=* | cuts=* | seed=* | id=* | record=* | windows=* | pace=* | slack_ms=*) declare "$word" ;;
	*)
		echo "cuts.sh: \"$word\" is no option; see the head of tests/crash/cuts.sh" >&2
		exit 2
		;;
	esac
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/clawfs-cuts.XXXXXX")
shm=$(mktemp -d /dev/shm/clawfs-cuts.XXXXXX)
kept=${record:-$shm/record}
mkdir -p "$kept" "$dir/card" "$dir/rec" "$dir/cut" "$dir/mnt" "$dir/cut-mnt"
daemon='' recorder='' loop=''
clean_up() {
	[ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null || true
	for at in mnt cut-mnt cut card; do umount -l "$dir/$at" 2>/dev/null || true; done
	[ -z "$loop" ] || losetup -d "$loop" 2>/dev/null || true
	umount "$dir/rec" 2>/dev/null || true
	[ -z "$recorder" ] || wait "$recorder" || true
	rm -rf --one-file-system "$shm"
	[ "$tear_down" = 1 ] && rm -rf --one-file-system "$dir"
}
trap clean_up EXIT
fail() {
	echo "WRONG $fs: $*; the record is in ${record:-(give record=DIR to keep it)}, the daemon's log in $dir" >&2
	bad=$((bad + 1))
}
bad=0

case $windows in
default) options='' ;;
short) options=log_flush_ms=1000,append_flush_ms=500,state_flush_ms=500,session_debounce_ms=300,session_max_ms=1000,sqlite_sync_ms=1000,sqlite_checkpoint_ms=1500 ;;
esac
size=256M mount_options=noatime
case $fs in
ext4) mkfs_args=(mkfs.ext4 -q -F) ;;
xfs) size=320M mkfs_args=(mkfs.xfs -q -f) ;;
btrfs) mkfs_args=(mkfs.btrfs -q -f) ;;
esac

start() { # LOWER MNT UPPER [options]: sets daemon
	"$CLAWFS" "$1" "$2" -f -o "upper=$3${4:+,$4}" >>"$dir/daemon.log" 2>&1 &
	daemon=$!
	local end=$((SECONDS + 60))
	until [ -e "$2/.clawfs/stats.json" ]; do
		kill -0 "$daemon" 2>/dev/null && [ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.01
	done
}
end() {
	local status=0
	kill -TERM "$daemon"
	wait "$daemon" || status=$?
	daemon=
	return "$status"
}

if [ -z "$id" ]; then
	# --- the record ---
	truncate -s "$size" "$kept/base.img"
	"${mkfs_args[@]}" "$kept/base.img"
	mount -o "loop,$mount_options" "$kept/base.img" "$dir/card"
	mkdir "$dir/card/data"
	umount "$dir/card"
	cp --sparse=always "$kept/base.img" "$shm/live.img"
	"$BIN/blockrec" "$shm/live.img" "$kept/log" "$dir/rec" &
	recorder=$!
	until [ -e "$dir/rec/disk" ]; do sleep 0.02; done
	loop=$(losetup -f --show "$dir/rec/disk")
	mount -o "$mount_options" "$loop" "$dir/card"
	start "$dir/card/data" "$dir/mnt" "$shm/upper" "$options"
	"$BIN/crash" run mnt="$dir/mnt" acks="$kept/acks" seconds="$seconds" seed="$seed" pace="$pace" >"$kept/run" || {
		cat "$kept/run"
		fail 'the load failed'
		exit 1
	}
	# Cuts while it ends, too: the record goes on.
	end || fail 'the daemon did not end well'
	"$BIN/crash" check root="$dir/card/data" acks="$kept/acks" seed="$seed" judge=lower >/dev/null || fail 'after a clean end'
	umount "$dir/card"
	losetup -d "$loop"
	loop=
	umount "$dir/rec"
	wait "$recorder" || true
	recorder=
	rm "$shm/live.img"
	"$BIN/cutimage" "$kept/log" list "$seed" "$cuts" >"$kept/ids"
	echo "record fs $fs seed $seed $("$BIN/cutimage" "$kept/log" count) $(awk '/^actor/ { n += $4 } END { print n, "operations" }' "$kept/run") windows $windows"
else
	echo "$id" >"$kept/ids"
fi

# --- the cuts ---
judge() { # ROOT CUT [only=...]
	"$BIN/crash" check root="$1" acks="$kept/acks" seed="$seed" judge=cut cut_us="$2" slack_ms="$slack_ms" windows="$windows" "${@:3}" >>"$dir/losses"
}
files=log,workerlog,append,audit,sessions,state,config,synced,data
n=0
while read -r cut_id; do
	n=$((n + 1))
	cut=$("$BIN/cutimage" "$kept/log" build "$cut_id" "$kept/base.img" "$shm/cut.img")
	if ! mount -o "loop,$mount_options" "$shm/cut.img" "$dir/cut"; then
		fail "cut $cut_id: $fs itself does not mount"
		continue
	fi
	# Every other time SQLite recovers the databases before clawfs is there.
	judge "$dir/cut/data" "$cut" only="$files" || fail "cut $cut_id: files on the lower"
	if [ $((n % 2)) = 0 ]; then
		judge "$dir/cut/data" "$cut" only=rows,busydb || fail "cut $cut_id: databases on the lower"
	fi
	if start "$dir/cut/data" "$dir/cut-mnt" "$shm/cut-upper"; then
		judge "$dir/cut-mnt" "$cut" || fail "cut $cut_id: through the mount"
		mkdir -p "$dir/cut-mnt/logs"
		echo 'after the cut' >"$dir/cut-mnt/logs/new.log"
		end || fail "cut $cut_id: the daemon did not end well"
		[ "$(cat "$dir/cut/data/logs/new.log")" = 'after the cut' ] || fail "cut $cut_id: what was written after it is not there"
		judge "$dir/cut/data" "$cut" || fail "cut $cut_id: on the lower after a clean end"
		left=$(find "$dir/cut/data" -path '*/names/*' -o \( -name .clawfs -o -name '.clawfs-*' -o -name '*.lock' -o -name '*-wal' \) -printf '%P ')
		[ -z "$left" ] || fail "cut $cut_id: left behind: $left"
	else
		daemon=
		fail "cut $cut_id: clawfs did not come up"
	fi
	umount "$dir/cut"
	rm "$shm/cut.img"
	[ "$bad" -lt 5 ] || break
done <"$kept/ids"

# The largest loss of each actor.
awk '$1 == "actor" { if ($6 > loss[$3 = $2]) loss[$2] = $6; window[$2] = $8 }
	END { for (a in window) if (window[a]) printf "loss %s largest-ms %.1f window-ms %d\n", a, loss[a], window[a] }' "$dir/losses" | sort
echo "cuts fs $fs seed $seed cuts $n wrong $bad"
[ "$bad" -gt 0 ] || tear_down=1
[ "$bad" = 0 ]
