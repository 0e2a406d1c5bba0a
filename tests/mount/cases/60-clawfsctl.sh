#!/bin/bash
# clawfsctl: each command, each exit status, what it says, and of bad input one line on stderr.
# In a mount namespace where the only clawfs is ours: which directory is meant without an argument depends on that.
# timeout: 120
. "$TESTS/lib.sh"

if [ -z "${ALONE:-}" ]; then
	exec env ALONE=1 unshare -m --propagation private bash "$0"
fi
awk '/ - fuse.clawfs / { print $5 }' /proc/self/mountinfo | while read -r other; do umount -l "$other"; done

CTL=$(dirname "$CLAWFS")/clawfsctl
[ -x "$CTL" ] || fail "$CTL is not built"
out=$CASE_DIR/out err=$CASE_DIR/err
long=(log_flush_ms=3600000 append_flush_ms=3600000 state_flush_ms=3600000 epoch_reach_ms=0)

# ctl STATUS ARGS...: runs it; stdout and stderr in $out and $err; a good end says nothing on stderr, a bad one
# exactly one line.
ctl() {
	local want=$1 status=0
	shift
	"${RUN_AS[@]}" "$CTL" "$@" >"$out" 2>"$err" </dev/null || status=$?
	cat "$out" "$err"
	assert_eq "$status" "$want" "status of clawfsctl $*"
	case $want in
	0 | 5) assert_eq "$(cat "$err")" "" "stderr of clawfsctl $*" ;;
	*) assert_eq "$(wc -l <"$err")" 1 "lines on stderr of clawfsctl $*" ;;
	esac
}
says() { grep -qE -- "$1" "$out" || fail "stdout lacks \"$1\""; }
complains() { grep -qE -- "$1" "$err" || fail "stderr lacks \"$1\""; }

# --- help and usage: 2 --------------------------------------------------------
ctl 0 --help
commands=$(awk '/^  [a-z]+ +[[A-Z]/ { print $1 }' "$out" | grep -v clawfsctl)
for command in status top stats flush umount ls config doctor recover; do
	assert grep -qx "$command" <<<"$commands"
done
ctl 0 --version
says '^clawfsctl [0-9]+\.[0-9]'
for command in $commands; do
	ctl 0 "$command" --help
	says "^usage: clawfsctl $command"
	says 'Exit status: .*3 no clawfs mount'
	ctl 2 "$command" --nonsense
	complains "^clawfsctl $command: --nonsense: unknown option; see clawfsctl $command --help"
	ctl 2 "$command" ''
	ctl 2 "$command" a b c
	complains 'too many'
done
ctl 2
ctl 2 mount
complains 'mount: unknown command; see clawfsctl --help'

# --- no mount: 3 --------------------------------------------------------------
export HOME=$CASE_DIR/home
mkdir "$HOME"
for command in status stats flush umount ls doctor; do
	ctl 3 $command
	complains "no clawfs is mounted; mount one with: clawfs $HOME/.secureclaw"
	ctl 3 $command "$MNT"
	complains "$MNT: not in a clawfs mount"
	ctl 1 $command "$MNT/none"
	complains 'No such file'
done

# --- one mount, found without a name ------------------------------------------
mkdir -p "$LOWER/workspace"
sqlite3 "$LOWER/wal.sqlite" 'pragma journal_mode=wal; create table t(a);'
sqlite3 "$LOWER/workspace/own.db" 'create table t(a);'
mount_fs "${long[@]}" sqlite_exclude=workspace
mkdir "$MNT/logs"
printf 'one line\n' >"$MNT/logs/gateway.log"
printf '{"a": 1}' >"$MNT/b.json"
printf '{"a": 2}' >"$MNT/a \\ b
c.json"
printf 'pid' >"$MNT/x.lock"

ctl 0 status
says "^$MNT: clawfs [0-9.]+, up for .*, pid $(stats pid)$"
says "lower +$LOWER \\("
says 'not on the lower yet, the oldest for'
says 'databases +1 in WAL mode, 1 excluded$'
ctl 0 stats "$MNT/logs"
says '^class +in RAM'
ctl 0 stats --json
assert_eq "$(node -p 'JSON.parse(require("fs").readFileSync(0)).pid' <"$out")" "$(stats pid)"

ctl 0 stats --prometheus
says '^# EOF$'
ctl 0 config
says 'sqlite_exclude.*workspace'

# top: one frame, or live on a terminal until q.
ctl 0 top --once
says "^clawfs [0-9.]+ on $MNT, up for"
says '^total +[0-9]'
says '^wal .* wal.sqlite$'
ctl 2 top
complains 'wants a terminal; .*--once'
ctl 2 top --delay=0
complains 'must be from 0.1 to 3600 seconds'
ctl 2 top --delay
complains 'needs a value'
mkfifo "$CASE_DIR/keys"
script -qec "$CTL top --delay=0.2" "$CASE_DIR/typescript" <"$CASE_DIR/keys" >/dev/null &
top=$!
exec 6>"$CASE_DIR/keys"
frames() { [ "$(grep -c 'q quits' "$CASE_DIR/typescript")" -ge 4 ]; }
wait_until frames
printf q >&6
wait "$top"
exec 6>&-
assert grep -q '^state ' "$CASE_DIR/typescript"

# What is listed is what the lower misses; sizes are the files'.
ctl 0 ls --dirty
says '^log +due +9 .* logs/gateway.log$'
says '^state +due +8 .* b.json$'
says '^state +due +8 .* a \\134 b\\012c.json$'
refute grep -q x.lock "$out"
assert_eq "$(wc -l <"$out")" 4 "lines of ls --dirty"
ctl 0 ls
says '^volatile +- +3 .* x.lock$'
ctl 0 ls "$MNT/logs"
assert_eq "$(wc -l <"$out")" 2 "lines of ls logs"

# A part of it, then all.
ctl 0 flush "$MNT/logs"
says "^$MNT/logs: flushed 1 file, 9 B, in "
assert_eq "$(cat "$LOWER/logs/gateway.log")" 'one line'
refute test -e "$LOWER/b.json"
(cd "$MNT" && ctl 0 flush $'a \\ b\nc.json')
assert_eq "$(cat "$LOWER"/a*.json)" '{"a": 2}'
refute test -e "$LOWER/b.json"
ctl 0 flush "$MNT/logs/gateway.log"
says 'flushed 0 files, 0 B'
ctl 0 flush
says "^$MNT: flushed 1 file, 8 B, in "
assert_eq "$(cat "$LOWER/b.json")" '{"a": 1}'
ctl 0 ls --dirty
assert_eq "$(wc -l <"$out")" 1 "lines of ls --dirty with nothing dirty"
ctl 0 status
says 'everything is on the lower'

# A commit of a database is part of it.
sqlite3 "$MNT/wal.sqlite" 'insert into t values (1)'
ctl 0 flush "$MNT/wal.sqlite"

# A word that is none.
refute sh -c "echo flushit >'$MNT/.clawfs/control'"
refute sh -c "echo 'flush  b.json' >'$MNT/.clawfs/control'"

# --- doctor -------------------------------------------------------------------
ctl 0 doctor
for what in kernel libfuse /dev/fuse lower 'free space' upper passthrough unflushed daemon; do
	says "^(ok|note) +$what"
done
says '^note +database +workspace/own.db: excluded, stays in rollback mode'
says '^ok +databases +1 in WAL mode'

# Only the owner and root may ask (P10).
chmod 755 "$LOWER"
export HOME=/
RUN_AS=(setpriv --reuid "$ALICE" --regid "$ALICE" --clear-groups)
cp "$CTL" "$SHM_DIR/clawfsctl"
chmod 755 "$SHM_DIR/clawfsctl"
own=$CTL
CTL=$SHM_DIR/clawfsctl
for command in status flush umount ls doctor; do
	ctl 1 $command "$MNT"
	complains 'only the owner of this directory'
done
refute "${RUN_AS[@]}" cat "$MNT/.clawfs/dirty"
RUN_AS=()
CTL=$own
export HOME=$CASE_DIR/home

# --- umount -------------------------------------------------------------------
printf 'last line\n' >>"$MNT/logs/gateway.log"
ctl 2 umount "$MNT/logs"
complains "is no mount, but lies in one; name $MNT"
exec 5<"$MNT/b.json"
ctl 1 umount
complains "$MNT: still used by bash \\(pid $$\\); end that first"
assert mounted "$MNT"
exec 5<&-
printf 'very last\n' >>"$MNT/logs/gateway.log"
ctl 0 umount
says "^$MNT: flushed 1 file, 10 B, in "
says "^$MNT: unmounted, everything is in $LOWER$"
wait_until gone "$DAEMON"
daemon_ended
assert_eq "$(tail -n 2 "$LOWER/logs/gateway.log")" 'last line
very last'

# --force: a program that still uses the mount loses it.
mount_fs "${long[@]}"
exec 5<"$MNT/b.json"
printf 'forced\n' >>"$MNT/logs/gateway.log"
ctl 0 umount --force
exec 5<&-
daemon_ended
assert_eq "$(tail -n 1 "$LOWER/logs/gateway.log")" forced

# --- several mounts -----------------------------------------------------------
mount_fs
first=$DAEMON first_mnt=$MNT first_lower=$LOWER first_upper=$UPPER
LOWER=$CASE_DIR/lower2 MNT=$HOME/.secureclaw UPPER=$SHM_DIR/upper2
mkdir "$LOWER" "$MNT"
mount_fs
ctl 0 status
says "^$MNT: clawfs"
HOME=$CASE_DIR ctl 2 status
complains 'several clawfs are mounted .*; name one of them'
umount_fs
DAEMON=$first MNT=$first_mnt LOWER=$first_lower UPPER=$first_upper

# --- the daemon is gone: 3, and the way on ------------------------------------
printf 'kept\n' >>"$MNT/logs/gateway.log"
kill9
for command in status flush umount; do
	ctl 3 $command "$MNT"
	complains 'the daemon of this mount has died; nothing is lost, mount it again with: clawfs'
done
umount "$MNT"
mount_fs
ctl 0 umount "$MNT"
daemon_ended
assert_eq "$(tail -n 1 "$LOWER/logs/gateway.log")" kept

# --- recover: what a mount does, without it -------------------------------------
mount_fs "${long[@]}"
printf 'left in RAM\n' >>"$MNT/logs/gateway.log"
printf '{"left": 1}' >"$MNT/left.json"
mkdir "$MNT/new"
printf 'x\n' >"$MNT/new/t.jsonl"
ctl 1 recover "$MNT"
complains 'is mounted by clawfs; unmount it with'
ctl 1 recover "$LOWER" --upper="$UPPER"
complains 'is mounted by clawfs, which has taken over'
kill9
umount "$MNT"
refute test -e "$LOWER/left.json"
ctl 2 recover
complains 'no directory given'
ctl 2 recover "$LOWER" --upper=x --rescue=y
ctl 1 recover "$LOWER" --upper="$CASE_DIR/none"
complains "$CASE_DIR/none: No such file"
mkdir "$CASE_DIR/other"
ctl 1 recover "$CASE_DIR/other" --upper="$UPPER"
complains 'holds data of another directory'
# The recovery's own words are on stderr.
"$CTL" recover "$LOWER" --upper="$UPPER" >"$out" 2>"$err"
complains 'recovered 3 files from .*, left out 0'
says "^$LOWER: recovered 3 files, .* from $UPPER"
assert_eq "$(tail -n 2 "$LOWER/logs/gateway.log")" 'kept
left in RAM'
assert_eq "$(cat "$LOWER/left.json" "$LOWER/new/t.jsonl")" '{"left": 1}x'
refute test -e "$LOWER/.clawfs"
ctl 0 recover "$LOWER"
says 'nothing to recover'

# --- a card that refuses: 4, nothing lost (P9) ---------------------------------
ext4_mount "$SHM_DIR/card.img" 64M "$CASE_DIR/card"
LOWER=$CASE_DIR/card
printf '{"v": 0}' >"$LOWER/s.json"
mount_fs "${long[@]}"
printf '{"v": 1}' >"$MNT/s.json"
mount -o remount,ro "$LOWER"
ctl 4 flush
complains 'cannot flush: the lower says: Read-only file system; nothing is lost'
ctl 4 umount
assert mounted "$MNT"
assert_eq "$(cat "$MNT/s.json")" '{"v": 1}'
ctl 0 ls --dirty
says '^state +refused +8 .* s.json$'
ctl 5 doctor
says '^BAD +card +the lower refuses: Read-only file system'
says '^BAD +lower .* is mounted read-only'
says 'to mend$'
ctl 0 status
says 'THE LOWER REFUSES: Read-only file system'
mount -o remount,rw "$LOWER"
ctl 0 umount
daemon_ended
assert_eq "$(cat "$LOWER/s.json")" '{"v": 1}'
umount "$LOWER"

# ... and one that refuses to the end: saved as a tar, which is applied to the mended card.
mount -o loop "$SHM_DIR/card.img" "$LOWER"
mount_fs "${long[@]}" rescue_dir="$CASE_DIR/rescue"
printf '{"v": 2}' >"$MNT/s.json"
mount -o remount,ro "$LOWER"
status=0
"$CTL" umount --force >"$out" 2>"$err" || status=$?
assert_eq "$status" 4 "status of an unmount by force"
complains 'cannot flush'
complains 'not everything reached the lower'
refute mounted "$MNT"
wait "$DAEMON" || true
DAEMON=
mount -o remount,rw "$LOWER"
rm -r "$UPPER"
assert_eq "$(cat "$LOWER/s.json")" '{"v": 1}'
ctl 1 recover --rescue="$CASE_DIR/none.tar" "$LOWER"
tar=$(find "$CASE_DIR/rescue" -name '*.tar')
ctl 0 recover --rescue="$tar" "$LOWER"
says '^recovered +s.json$'
assert_eq "$(cat "$LOWER/s.json")" '{"v": 2}'
ctl 0 recover --rescue="$tar" "$LOWER"
says '^is there +s.json$'
umount "$LOWER"
