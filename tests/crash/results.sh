#!/bin/bash
# tests/crash/results.sh CLAWFS BIN [key=value...]: runs the tiers of issue "nothing is lost" and writes
# tests/RESULTS.md from what they said.
#   kills= of a worker at random instants   points= kills at numbered calls   cuts= of ext4   cuts_xfs= cuts_btrfs=
#   debug=CLAWFS of a debug build, for the points   faults= combinations   minutes= of soak   fuzz= seconds a target   seed=   tsan=FILE: the log of `make tsan`, or none
#   keep=DIR what the tiers said is kept, and taken from there for those that tiers=NAME,... does not name
set -euo pipefail
CLAWFS=$1
BIN=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
kills=100 points=80 cuts=20 cuts_xfs=5 cuts_btrfs=5 faults=60 minutes=1 fuzz=10 seed=1 tsan='' debug=$CLAWFS keep='' tiers=''
for word in "$@"; do
	case $word in
	kills=* | points=* | cuts=* | cuts_xfs=* | cuts_btrfs=* | faults=* | minutes=* | fuzz=* | seed=* | tsan=* | debug=* | keep=* | tiers=*) declare "$word" ;;
	*)
		echo "results.sh: \"$word\" is no option; see the head of tests/crash/results.sh" >&2
		exit 2
		;;
	esac
done

if [ -n "$keep" ]; then
	said=$keep
	mkdir -p "$said"
else
	said=$(mktemp -d)
	trap 'rm -rf "$said"' EXIT
fi
bad=0
tier() { # NAME COMMAND...
	local name=$1 begin=$SECONDS status=0
	shift
	if [ -n "$tiers" ] && [[ ",$tiers," != *",$name,"* ]] && [ -e "$said/$name.end" ]; then
		grep -q '^status 0' "$said/$name.end" || bad=$((bad + 1))
		return
	fi
	echo "== $name"
	"$@" >"$said/$name" 2>&1 || status=$?
	tail -n 3 "$said/$name"
	[ "$status" = 0 ] || bad=$((bad + 1))
	echo "status $status seconds $((SECONDS - begin)), at $(git -C "$root" log -1 --format=%h)" >"$said/$name.end"
}
one() { # NAME: what the tier said last of all, and how it ended
	{ grep -aE '^(record|loss|cuts|kills|coverage|soak|WRONG)' "$said/$1" || echo 'nothing was said'; cat "$said/$1.end"; } | sed 's/^/    /'
}

tier kills "$here/kills.sh" "$CLAWFS" "$BIN" kills="$kills" seed="$seed"
tier both "$here/kills.sh" "$CLAWFS" "$BIN" kills="$((kills / 5))" both=1 seed="$seed"
tier points "$here/kills.sh" "$debug" "$BIN" mode=points kills="$points" each=1000 seed="$seed"
tier faults "$here/kills.sh" "$CLAWFS" "$BIN" mode=faults kills="$faults" each=1000 seed="$seed"
tier cuts-ext4 "$here/cuts.sh" "$CLAWFS" "$BIN" fs=ext4 cuts="$cuts" seed="$seed" seconds=20
tier cuts-xfs "$here/cuts.sh" "$CLAWFS" "$BIN" fs=xfs cuts="$cuts_xfs" seed="$seed" seconds=12
tier cuts-btrfs "$here/cuts.sh" "$CLAWFS" "$BIN" fs=btrfs cuts="$cuts_btrfs" seed="$seed" seconds=12
tier soak "$here/kills.sh" "$CLAWFS" "$BIN" mode=soak kills=1 seed="$seed" minutes="$minutes"
tier fuzz make --no-print-directory -C "$root" fuzz SECONDS="$fuzz"

{
	cat <<-END
		# What the crash tiers found

		Written by \`make results\` ($(git -C "$root" log -1 --format=%cs); each tier says at which commit), on Linux $(uname -r), $(nproc) processors, $(uname -m); the machine
		had other work at the same time. Every number is of this run. A failure would stand here as a line with WRONG. How to
		read and replay: the heads of \`tests/crash/kills.sh\`, \`cuts.sh\` and \`main.c\`.

		## (a) kill -9 at random instants, under the full load

		Each operation is acknowledged off the mount; errors that the application sees and bytes that are
		missing count as wrong. \`longest-ms\` is the longest operation, pause included.

	END
	one kills
	cat <<-END

		Supervisor and worker killed together, and the mount made anew each time:

	END
	one both
	cat <<-END

		Kills before and after each kind of system call on the lower and the upper, and at the points of a debug build
		(\`fs/crashpoint.h\`), the n-th time it is passed; \`kinds\` counts those that struck at least once:

	END
	one points
	cat <<-END

		## (b) power cuts

		From a record of every write and flush of the block device, under the default windows. An image has all that was written
		before the last flush, and of what came after it everything, nothing, or a seeded subset with torn sectors. \`loss\`: the
		largest age of an acknowledged operation that was gone, over all cuts; synced files and the kinds without a window lost
		nothing. A cut is wrong when a database is corrupt or misses rows older than the window, a snapshot or state file is torn or
		empty, a log has other bytes than a prefix of its lines, or clawfs does not come up on it.

		ext4:

	END
	one cuts-ext4
	printf '\nxfs:\n\n'
	one cuts-xfs
	printf '\nbtrfs:\n\n'
	one cuts-btrfs
	cat <<-END

		## (c) faults

		Each system call that the load makes on the lower and the upper, with each errno it may have, once and for ever, and short
		reads and writes, in a seeded order.

	END
	one faults
	cat <<-END

		## (d) fuzzing

		$fuzz s each with libFuzzer, AddressSanitizer and UBSan; none of them may crash.

	END
	{ grep -aE '^== fuzz|stat::number_of_executed_units|SUMMARY|ERROR' "$said/fuzz"; cat "$said/fuzz.end"; } | sed 's/^/    /'
	cat <<-END

		## (e) ThreadSanitizer

	END
	if [ -n "$tsan" ]; then
		{ grep -aE '^(FAIL|mount:|model:)|SUMMARY: ThreadSanitizer' "$tsan" || true; } | sed 's/^/    /'
	else
		echo 'Not run here: make tsan'
	fi
	cat <<-END

		## (f) soak

	END
	one soak
} >"$root/tests/RESULTS.md"
echo "results: $bad tiers failed; see tests/RESULTS.md"
[ "$bad" = 0 ]
