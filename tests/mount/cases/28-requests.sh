#!/bin/bash
# What the kernel asks the daemon for, by opcode (stats.json, "requests"): round trips are what a
# FUSE file system costs, so the common operations are held to a budget.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/logs" "$LOWER/agents/main/sessions"
printf 'old\n' >"$LOWER/logs/gateway.log"
mount_fs

# budget OPCODE=MOST... -- COMMAND...: runs COMMAND, a builtin or function; the opcodes that are named came at
# most so often, and of the others none but what nobody waits for (forget, release) and what reading the stats takes.
budget() {
	local before after pair
	local -A most=([GETATTR]=1 [OPEN]=1 [READ]=2 [LOOKUP]=0)
	while [ "$1" != -- ]; do
		most[${1%=*}]=$((${most[${1%=*}]:-0} + ${1#*=}))
		shift
	done
	shift
	before=$(cat "$MNT/.clawfs/stats.json")
	"$@"
	after=$(cat "$MNT/.clawfs/stats.json")
	for pair in $(node "$NODE/requests.js" "$before" "$after"); do
		case ${pair%=*} in RELEASE | FORGET | BATCH_FORGET) continue ;; esac
		[ "${pair#*=}" -le "${most[${pair%=*}]:-0}" ] || fail "$pair requests for: $*"
	done
}

append() { echo "a line" >>"$MNT/logs/gateway.log"; }
twice() {
	append
	append
}
look() { [ -e "$MNT/logs/gateway.log" ] && [ ! -e "$MNT/logs/absent.json" ]; }
store=$MNT/agents/main/sessions/sessions.json
# Not a whole number of pages.
text=$(printf '%s%60000d' one 1)
take_lock() {
	set -C
	exec 9>"$store.lock"
	set +C
	echo 12345 >&9
}
write_temporary() { printf '%s' "$1" >"$store.1.tmp"; }
read_again() { [ "$(<"$store")" = "$text" ] && [ -s "$store" ]; }

assert_eq "$(stats requests INIT)" 1
twice
# No LOOKUP, no FLUSH, no GETXATTR.
budget OPEN=1 WRITE=1 -- append
look
# Neither what is there nor what is not is asked for twice.
budget -- look

# A lock: its write asks for no privileges. Who looks at it meanwhile sees what its holder wrote last (P1), and by
# any means; the next lock is a new file.
mkdir -p "$MNT/agents/main/sessions"
look_at_lock() { [ "$(<"$store.lock")" = "$1" ] || fail "the lock has $(<"$store.lock"), not $1"; }
stat "$MNT/agents/main/sessions" >"$CASE_DIR/stat"
budget LOOKUP=2 CREATE=1 WRITE=1 GETATTR=1 -- take_lock
look_at_lock 12345
exec 8<"$store.lock"
for text_of_lock in 67890 2 333333; do
	echo "$text_of_lock" >"$store.lock"
	look_at_lock "$text_of_lock"
	assert_eq "$(cat /proc/self/fd/8 && cmp -- "$store.lock" - <<<"$text_of_lock")" "$text_of_lock"
done
exec 9>&- 8<&-
look_at_lock 333333
rm "$store.lock"
budget LOOKUP=3 CREATE=1 WRITE=1 GETATTR=1 -- take_lock
look_at_lock 12345
# Nor does that change with the worker, though it has not made the handle.
kill_worker
look_at_lock 12345
echo 777 >"$store.lock"
look_at_lock 777
exec 8<"$store.lock"
echo 8888 >"$store.lock"
assert_eq "$(cat <&8)" 8888
exec 8<&-
exec 9>&-
rm "$store.lock"

# A saved file is read from the kernel's pages, the last one too, and its times are not asked for again after that.
write_temporary "$text"
mv "$store.1.tmp" "$store"
chmod 0600 "$store"
budget OPEN=1 GETATTR=1 -- read_again
# What follows within that page is seen (P1), whoever reads, and however.
printf more >>"$store"
assert_eq "$(<"$store")" "${text}more"
printf MORE | dd of="$store" bs=1 seek=${#text} conv=notrunc status=none
assert_eq "$(<"$store")" "${text}MORE"
truncate -s $((${#text} + 2)) "$store"
assert_eq "$(<"$store")" "${text}MO"
truncate -s $((${#text} + 4)) "$store"
assert_eq "$(tail -c 4 "$store" | od -An -tx1)" " 4d 4f 00 00"
write_temporary short
mv "$store.1.tmp" "$store"
assert_eq "$(<"$store")" short
flush_fs
assert_eq "$(<"$LOWER/agents/main/sessions/sessions.json")" short
umount_fs
