#!/bin/bash
# timeout: 120
# While a flush waits for the card, whatever call it waits in, what is in RAM goes on: saves, also of the very file
# that is being flushed, appends, locks, look-ups and listings. What changes a name that is on its way to the card
# comes after it. And P3, P8: every byte is where it should be in the end.
. "$TESTS/lib.sh"

cc -std=gnu11 -D_GNU_SOURCE -O2 -shared -fPIC -o "$CASE_DIR/held.so" "$TESTS/held-lower.c" -ldl
mkdir -p "$LOWER/sessions" "$LOWER/logs"
page=$CASE_DIR/page
printf '%s' -00 >"$page"
# A sanitizer's runtime wants to be the first library.
runtime=$(ldd "$CLAWFS" | awk '$1 ~ /^lib[at]san/ { print $3 }')
RUN_AS=(env HELD_PAGE="$page" HELD_DEV="$(stat -c %d "$LOWER")" LD_PRELOAD="${runtime:+$runtime:}$CASE_DIR/held.so")
mount_fs
RUN_AS=()

hold() { printf '%s' "$1" | dd of="$page" conv=notrunc status=none; }
# Or a case that failed would not end.
trap 'hold -' EXIT
held() { [ "$(cut -c2 "$page")" != "$(cut -c3 "$page")" ]; }
save() {
	printf '%s' "$2" >"$1.$BASHPID.tmp"
	mv "$1.$BASHPID.tmp" "$1"
}
# Fifty saves, and what else needs no card.
work() {
	local i
	for i in {1..50}; do
		save "$MNT/sessions/sessions.json" "{\"held\":\"$1\",\"save\":$i}"
		echo "line $i of $1" >>"$MNT/logs/gateway.log"
	done
	mkdir "$MNT/sessions/sessions.json.lock"
	rmdir "$MNT/sessions/sessions.json.lock"
	[ ! -e "$MNT/sessions/absent-$1" ]
	ls -l "$MNT/sessions" "$MNT/logs" >/dev/null
	[ "$(find "$MNT/sessions" -name sessions.json | wc -l)" = 1 ]
	grep -q "\"$1\",\"save\":50" "$MNT/sessions/sessions.json"
	stat "$MNT/logs/gateway.log" >/dev/null
}
export -f work save
export MNT

lines=0
# Creation, times, sync, renaming, times and sync of the directory.
for call in c t s r T d; do
	hold "$call"
	# New names, so that each of them is made, also that of a log.
	echo "first of $call" >"$MNT/logs/$call.log"
	save "$MNT/sessions/$call.json" "{}"
	save "$MNT/sessions/sessions.json" "{\"before\":\"$call\"}"
	echo "before $call" >>"$MNT/logs/gateway.log"
	wait_until held
	timeout $((20 * SLOW)) bash -c "set -e; work $call" || fail "a flush that waits in \"$call\" keeps others waiting"
	held || fail "the flush did not wait in \"$call\" all the time"
	hold -
	lines=$((lines + 51))
done

# A save looks for nothing on the card, not even for its temporary's name, when the directory is known.
before=$(cut -c2 "$page")
hold l
timeout $((20 * SLOW)) bash -c 'set -e; for i in {1..50}; do save "$MNT/sessions/sessions.json" "{\"quiet\":$i}"; done' ||
	fail "a save waits for a look at the card"
[ "$(cut -c2 "$page")" = "$before" ] || fail "a save looked at the card"
hold -
flush_fs
diff -r "$MNT/sessions" "$LOWER/sessions"
diff -r "$MNT/logs" "$LOWER/logs"
[ "$(wc -l <"$LOWER/logs/gateway.log")" = "$lines" ]

# A save that is what the card has is not written; unless a flush of another version is just being renamed there (P3).
save "$MNT/sessions/again.json" '{"again":1}'
flush_fs
hold r
save "$MNT/sessions/again.json" '{"again":2}'
wait_until held
save "$MNT/sessions/again.json" '{"again":1}'
sync "$MNT/sessions/again.json" &
syncer=$!
# So that it has compared; if it has not, nothing is tested, and nothing fails.
sleep 0.5
hold -
wait "$syncer"
[ "$(cat "$LOWER/sessions/again.json")" = '{"again":1}' ]

# A file that is not held in RAM is unlinked, and its blocks are freed when the kernel has forgotten it.
hold x
mkdir "$MNT/workspace"
echo "much" >"$MNT/workspace/film"
rm "$MNT/workspace/film"
wait_until held
timeout $((20 * SLOW)) bash -c "set -e; work x" || fail "a file that is freed keeps others waiting"
held || fail "the file was not being freed all the time"
hold -

# A name on its way to the card is unlinked, and moved away, when it is there; and stays away. (The kernel lets nobody
# look up a name in that directory meanwhile.)
for change in rm mv; do
	hold r
	save "$MNT/sessions/going.json" '{"going":1}'
	wait_until held
	case $change in
	rm) rm "$MNT/sessions/going.json" & ;;
	mv) mv "$MNT/sessions/going.json" "$MNT/sessions/gone.json" & ;;
	esac
	changer=$!
	timeout $((20 * SLOW)) cat "$MNT/logs/gateway.log" >/dev/null
	gone "$changer" && fail "$change did not wait for the flush of the name"
	hold -
	wait "$changer"
	flush_fs
	[ ! -e "$MNT/sessions/going.json" ]
	[ ! -e "$LOWER/sessions/going.json" ]
done
[ "$(cat "$LOWER/sessions/gone.json")" = '{"going":1}' ]

# The worker dies while a name is under way that a save has taken meanwhile (P6).
hold r
save "$MNT/sessions/dying.json" '{"version":1}'
wait_until held
save "$MNT/sessions/dying.json" '{"version":2}'
echo "before it died" >>"$MNT/logs/gateway.log"
kill_worker
hold -
[ "$(cat "$MNT/sessions/dying.json")" = '{"version":2}' ]
flush_fs
[ "$(cat "$LOWER/sessions/dying.json")" = '{"version":2}' ]
[ "$(tail -n 1 "$LOWER/logs/gateway.log")" = "before it died" ]

umount_fs
