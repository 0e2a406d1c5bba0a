# shellcheck shell=bash disable=SC2034
# Sourced by run.sh, ops.sh and scale.sh: a place on tmpfs, cards in it, configurations
# on cards, and an end that leaves nothing behind, whatever came before.
set -euo pipefail

BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$BENCH/../.." && pwd)
TOOL=$(basename "$0")

die() {
	echo "$TOOL: $*" >&2
	exit 1
}

# bench_begin BUILD: programs, WORK, and the clean-up at the end or at a signal.
bench_begin() {
	BUILD=$(realpath "$1")
	CLAWFS=$BUILD/clawfs
	LOAD=$BUILD/bench/load
	local program
	for program in "$CLAWFS" "$LOAD"; do [ -x "$program" ] || die "$program is missing; build it first (make bench-build)"; done
	[ "$(id -u)" -eq 0 ] || die "loop devices and mounts need root; run it with sudo"
	[ -c /dev/fuse ] || die '/dev/fuse is missing; load the kernel module "fuse" or give the container the device'
	local ram=${BENCH_RAM:-/dev/shm}
	[ "$(stat -f -c %T "$ram" 2>/dev/null)" = tmpfs ] || die "$ram is not a tmpfs; the images must be in RAM (BENCH_RAM=DIR)"
	WORK=$(mktemp -d "$ram/clawfs-bench.XXXXXX")
	mkdir "$WORK/pids"
	IMAGES=
	trap bench_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

# --- processes ---------------------------------------------------------------------

# spawn NAME COMMAND...: in the background, known to the clean-up. Its pid in SPAWNED.
spawn() {
	local name=$1
	shift
	"$@" &
	SPAWNED=$!
	echo "$SPAWNED" >"$WORK/pids/$name.$SPAWNED"
}
# As a job of its own that a signal interrupts at once: bash waits for a foreground program.
foreground() {
	spawn foreground "$@"
	wait "$SPAWNED"
}
# Ended, whether or not init has reaped it yet.
gone() { ! grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null; }
# wait_until SECONDS COMMAND...
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}
nap() { foreground sleep "$1"; }

# Off with a mount, at the latest when nobody uses it any more: a mount namespace that somebody made
# meanwhile has its own copy of our mounts, and keeps their devices busy for as long as it lives.
take_off() { wait_until 5 umount "$1" || umount -l "$1"; }

# --- the end -----------------------------------------------------------------------

mounts_below() { awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac; }

# end_server PID SECONDS: SIGTERM ends it even if another mount namespace has a copy of its mount.
end_server() {
	kill "$1" 2>/dev/null || true
	wait_until "$2" gone "$1" || kill -9 "$1" 2>/dev/null || true
}

# Loads and shells first, so that nobody mounts or writes any more; then the file systems from
# the top down.
bench_end() {
	local status=$? file pid mnt loop round
	trap - EXIT
	trap '' INT TERM HUP
	[ -t 2 ] && printf '\r\033[K' >&2
	cd /
	for file in "$WORK"/pids/{shell,foreground,load,rsync}.*; do
		[ -e "$file" ] || continue
		pid=${file##*.}
		kill -9 "$pid" 2>/dev/null || true
		wait_until 10 gone "$pid" || true
	done
	# Each with its last flush, if it is clawfs.
	for file in "$WORK"/pids/server.*; do
		[ ! -e "$file" ] || end_server "${file##*.}" 20
	done
	# A mount is busy while there is a loop device on a file of it: in turns.
	for round in {1..20}; do
		for mnt in $(mounts_below "$WORK"); do umount "$mnt" 2>/dev/null || true; done
		for loop in $(losetup -n -l -O NAME,BACK-FILE | awk -v dir="$WORK/" -v images="${IMAGES:-$WORK}/" \
			'index($2, dir) == 1 || index($2, images) == 1 { print $1 }'); do
			losetup -d "$loop" 2>/dev/null || true
		done
		[ -n "$(mounts_below "$WORK")" ] || break
		sleep 0.2
	done
	for mnt in $(mounts_below "$WORK"); do umount -l "$mnt" || true; done
	for file in "$WORK"/pids/slowcard.*; do
		[ ! -e "$file" ] || kill -9 "${file##*.}" 2>/dev/null || true
	done
	rm -rf --one-file-system "$WORK" ${IMAGES:+"$IMAGES"}
	exit "$status"
}

# --- cards -------------------------------------------------------------------------

# CARD_MS and CARD_MBPS, when set, make cards slow: ms per write command, MB/s.
CARD_MS=
CARD_MBPS=
CARD_SIZE=1G

# images_in DIR: there, and not in RAM, are the images of cards from now on (IMAGES).
images_in() {
	[ -d "$1" ] || die "there is no directory $1 for the images"
	IMAGES=$(mktemp -d "$(realpath "$1")/clawfs-bench.XXXXXX")
}

# card_create PLACE [IMAGE]: an ext4 on an image (card.img in IMAGES or PLACE), mounted on PLACE/card.
card_create() {
	local place=$1 image=${2:-${IMAGES:-$1}/card.img} file
	mkdir -p "$place/card"
	truncate -s "$CARD_SIZE" "$image"
	# Not lazy: the kernel would finish the job while we count its writes.
	mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$image"
	file=$image
	if [ -n "$CARD_MS" ]; then
		mkdir "$place/slow"
		spawn slowcard "$BUILD/bench/slowcard" "$image" "$place/slow" "$CARD_MS" "$CARD_MBPS" >"$place/slow.log" 2>&1
		file=$place/slow/card.img
		wait_until 10 test -e "$file" || die "the slow card did not come up: $(cat "$place/slow.log")"
	fi
	local loop dio=off
	# So that a command of the block layer is one write of the loop device on every kernel.
	[ -z "$CARD_MS" ] || dio=on
	loop=$(losetup --direct-io=$dio -f --show "$file")
	basename "$loop" >"$place/loop"
	mount -o defaults,noatime "$loop" "$place/card"
}
card_stat() { cat "/sys/block/$(cat "$1/loop")/stat"; }
card_destroy() {
	local place=$1
	take_off "$place/card"
	losetup -d "/dev/$(cat "$place/loop")"
	if mountpoint -q "$place/slow"; then take_off "$place/slow"; fi
	rm -f "${IMAGES:-$place}/card.img"
}

# --- configurations -----------------------------------------------------------------

mounted() { awk -v mnt="$1" '$5 == mnt && / - fuse/ { found = 1 } END { exit !found }' /proc/self/mountinfo; }

ALL_CONFIGURATIONS=(ext4 eatmydata rsync app app-sync passthrough_ll tmpfs clawfs clawfs-nopt)
declare -A TITLES=(
	[ext4]='plain ext4'
	[eatmydata]='ext4, libeatmydata'
	[rsync]='tmpfs + rsync every %s s'
	[app]='application buffers'
	[app-sync]='application buffers, fdatasync'
	[passthrough_ll]="libfuse's passthrough_ll"
	[tmpfs]='tmpfs (the limit)'
	[clawfs]='clawfs'
	[clawfs-nopt]='clawfs, no passthrough'
)
RSYNC_SECONDS=30

# configuration_up NAME PLACE: on the card of PLACE, whose data directory is there. Sets DATA (where the
# application finds it), RUNNER (what it is started with), LOAD_OPTIONS and WATCH (load's).
configuration_up() {
	local name=$1 place=$2 option='' mnt=$2/mnt
	DATA=$place/card/data RUNNER=() LOAD_OPTIONS=() WATCH=()
	case $name in
	ext4) ;;
	eatmydata) RUNNER=(eatmydata) ;;
	app) LOAD_OPTIONS=(--buffering=writes) ;;
	app-sync) LOAD_OPTIONS=(--buffering=synced) ;;
	tmpfs | rsync)
		DATA=$place/ram
		cp -a "$place/card/data" "$DATA"
		[ "$name" = tmpfs ] || spawn rsync rsync_loop "$place"
		;;
	passthrough_ll)
		mkdir -p "$mnt"
		spawn server "$BUILD/bench/passthrough_ll" -f -o "source=$place/card/data" "$mnt" >"$place/server.log" 2>&1
		;;
	clawfs | clawfs-nopt)
		[ "$name" = clawfs ] || option=,passthrough=off
		mkdir -p "$mnt"
		spawn server "$CLAWFS" "$place/card/data" "$mnt" -f -o "upper=$place/upper$option" >"$place/server.log" 2>&1
		;;
	esac
	if [ -d "$mnt" ]; then
		DATA=$mnt
		WATCH=("--watch=$SPAWNED")
		SERVER=$SPAWNED
		wait_until 20 mounted "$mnt" || die "$name did not come up: $(tail -n 3 "$place/server.log")"
		wait_until 20 test -e "$mnt/logs" || die "$name does not answer"
	fi
}

# The copy onto the card left it in the page cache, where a FUSE file system has nothing yet. The
# application has been running for long: everything was read once, everywhere.
warm_up() { foreground find "$1" -type f -exec cat {} + >/dev/null; }

# As log2ram and anything-sync-daemon call it; they leave the rest to the card's page cache.
rsync_once() { rsync -aX --inplace --no-whole-file --delete-after "$1/ram/" "$1/card/data/"; }
rsync_loop() {
	while sleep "$RSYNC_SECONDS"; do
		# A lock file or a journal may go while it looks: 23 and 24 are its word for that.
		rsync_once "$1" >/dev/null 2>&1 || [ $? -ge 23 ] || exit 1
	done
}

# Everything onto the card.
configuration_sync() {
	local name=$1 place=$2
	case $name in
	clawfs*) echo flush >"$DATA/.clawfs/control" ;;
	rsync) rsync_once "$place" ;;
	esac
	sync -f "$place/card"
}

configuration_down() {
	local name=$1 place=$2 file
	for file in "$WORK"/pids/rsync.*; do
		[ "$name" = rsync ] && [ -e "$file" ] || continue
		kill "${file##*.}" 2>/dev/null || true
		rm -f "$file"
	done
	if [ -d "$place/mnt" ]; then
		end_server "$SERVER" 60
		if mountpoint -q "$place/mnt"; then take_off "$place/mnt"; fi
	fi
	rm -rf "$place/ram"
}
