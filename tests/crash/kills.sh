#!/bin/bash
# tests/crash/kills.sh CLAWFS BIN [key=value...]: kill -9 and faults under the mixed load on an ext4 image, judged to the byte.
#   kills= how many   seed= the first: each hundred has the next seed   mode=kill|points|faults|soak (see main.c)
#   each= kills of one seed (100)   other words go to `crash`: wait_ms= pace= only= keep=1
set -euo pipefail
# In a mount namespace of its own: another's copy of a mount that was killed would keep the kernel's hold on databases.
[ -n "${CRASH_NAMESPACE:-}" ] || CRASH_NAMESPACE=1 exec unshare -m -- "$0" "$@"
CLAWFS=$(realpath "$1")
BIN=$(realpath "$2")
shift 2
kills=10 seed=1 mode=kill each=100 rest=()
for word in "$@"; do
	case $word in
	kills=* | seed=* | mode=* | each=*) declare "$word" ;;
	*) rest+=("$word") ;;
	esac
done

bad=0 done=0 operations=0 begin=$SECONDS longest=0
while [ "$done" -lt "$kills" ]; do
	rounds=$((kills - done < each ? kills - done : each))
	dir=$(mktemp -d "${TMPDIR:-/tmp}/clawfs-kills.XXXXXX")
	shm=$(mktemp -d /dev/shm/clawfs-kills.XXXXXX)
	status=0
	truncate -s 512M "$shm/card.img"
	mkfs.ext4 -q -F "$shm/card.img"
	mkdir "$dir/card"
	mount -o loop,noatime "$shm/card.img" "$dir/card"
	"$BIN/crash" "$mode" clawfs="$CLAWFS" dir="$dir" shm="$shm" rounds="$rounds" seed="$seed" "${rest[@]}" >"$dir/said" || status=$?
	if grep -nE '\bBUG\b|[Ii]nvariant|(Address|Thread|Leak|Memory)Sanitizer|runtime error' "$dir/daemon.log"; then status=1; fi
	operations=$((operations + $(awk '$1 == "kill" { print $5 }' "$dir/said" | grep . || echo 0)))
	pause=$(awk '$1 == "kill" { for (i = 1; i < NF; i++) if ($i == "longest-ms") print int($(i + 1)) }' "$dir/said")
	[ "${pause:-0}" -le "$longest" ] || longest=$pause
	grep -E '^(point|coverage|soak)' "$dir/said" || true
	done=$((done + rounds))
	if [ "$status" -ne 0 ]; then
		bad=$((bad + 1))
		cat "$dir/said"
		tail -n 20 "$dir/daemon.log"
		echo "WRONG: mode $mode seed $seed; see $dir and $shm; umount $dir/card then" >&2
		[ "$bad" -lt 3 ] || break
	else
		umount "$dir/card"
		rm -rf --one-file-system "$dir" "$shm"
	fi
	seed=$((seed + 1))
done
echo "kills mode $mode kills $done last-seed $((seed - 1)) operations $operations wrong $bad longest-ms $longest seconds $((SECONDS - begin))"
[ "$bad" -eq 0 ]
