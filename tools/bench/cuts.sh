# shellcheck shell=bash disable=SC2034,SC2154
# The part of run.sh with the power cuts. All configurations run at once, since it is losses
# that count here and not latencies, each on an image of one XFS: a reflink of an image is one instant
# of it, in the middle of whatever is being written (FICLONE is atomic against the loop driver's writes). Afterwards
# each copy is mounted as after a power cut, and compared with what had been acknowledged at that instant. A card
# that loses what it said to have written would lose more.
: "${cuts:?}" "${cut_seconds:?}" "${raw:?}"

say 'power cuts: making the cards'
truncate -s $((${#configurations[@]} * 2 + 2))G "$WORK/xfs.img"
mkfs.xfs -q -m reflink=1 "$WORK/xfs.img"
mkdir -p "$WORK/xfs" "$WORK/cuts" "$WORK/cut"
mount -o loop "$WORK/xfs.img" "$WORK/xfs"
CARD_SIZE=512M

cut_load() {
	local name=$1 place=$WORK/cuts/$1
	mkdir -p "$place" "$WORK/xfs/$name"
	place_create "$place" "$name" "$WORK/xfs/$name/card.img"
	: >"$place/ready"
	until [ -e "$WORK/cuts/go" ]; do sleep 0.05; done
	spawn load "${RUNNER[@]}" "$LOAD" run "$DATA" "$place/acks" --seconds="$cut_seconds" "${plan[@]}" \
		"${LOAD_OPTIONS[@]}" >"$raw/$name/cuts.load.json"
	wait "$SPAWNED" || die "the load on ${TITLES[$name]} failed"
	configuration_down "$name" "$place"
	card_destroy "$place"
}

shells=()
for name in "${configurations[@]}"; do
	spawn shell cut_load "$name"
	shells+=("$SPAWNED")
done
for i in "${!configurations[@]}"; do
	until [ -e "$WORK/cuts/${configurations[i]}/ready" ]; do
		if gone "${shells[i]}"; then die "${configurations[i]} did not come up for the power cuts"; fi
		nap 0.1
	done
done
: >"$WORK/cuts/go"
begin=$(awk '{ print $1 }' /proc/uptime)

# In the second half of the time, at instants that keep no step with anybody's timers.
RANDOM=1
for ((cut = 1; cut <= cuts; cut++)); do
	at=$(awk -v b="$begin" -v s="$cut_seconds" -v n="$cut" -v all="$cuts" -v r="$RANDOM" \
		'BEGIN { print b + s / 2 + (n - 1 + r / 32768) * (s / 2 - 2) / all }')
	while wait_s=$(awk -v at="$at" '{ d = at - $1; print (d > 1 ? 1 : d > 0 ? d : 0); exit !(d > 0) }' /proc/uptime); do
		say "power cuts: $((cut - 1)) of $cuts done, ${#configurations[@]} configurations at once, $cut_seconds s"
		nap "$wait_s"
	done
	for name in "${configurations[@]}"; do
		now=$("$LOAD" now)
		cp --reflink=always "$WORK/xfs/$name/card.img" "$WORK/xfs/$name/cut.$cut"
		echo "$now" >"$WORK/xfs/$name/cut.$cut.at"
	done
done
say 'power cuts: waiting for the loads'
for i in "${!shells[@]}"; do wait "${shells[i]}" || die "${configurations[i]} failed in the power cuts"; done

say 'power cuts: looking at what is left'
for name in "${configurations[@]}"; do
	: >"$raw/$name/cuts"
	for ((cut = 1; cut <= cuts; cut++)); do
		mount -o loop "$WORK/xfs/$name/cut.$cut" "$WORK/cut"
		status=0
		"$LOAD" check "$WORK/cut/data" "$WORK/cuts/$name/acks" "$(cat "$WORK/xfs/$name/cut.$cut.at")" \
			--seconds="$cut_seconds" "${plan[@]}" >>"$raw/$name/cuts" || status=$?
		# 3: something is lost, which is what is asked.
		[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || die "cut $cut of ${TITLES[$name]} could not be looked at"
		take_off "$WORK/cut"
		rm "$WORK/xfs/$name/cut.$cut"
	done
done
take_off "$WORK/xfs"
rm "$WORK/xfs.img"
