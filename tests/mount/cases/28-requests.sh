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

assert_eq "$(stats requests INIT)" 1
twice
# No LOOKUP, no FLUSH, no GETXATTR.
budget OPEN=1 WRITE=1 -- append
look
# Neither what is there nor what is not is asked for twice.
budget -- look
umount_fs
