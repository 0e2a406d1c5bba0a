#!/bin/bash
# P10: the processes of a mount are confined once they serve: no new privileges, a list of system calls for every thread, of
# root's capabilities those they use. Root's mount and an ordinary user's. What the list does is tested in
# tests/unit/test_sandbox.c.
. "$TESTS/lib.sh"

if [ "$SLOW" -gt 1 ]; then
	echo "a sanitizer's build is not confined"
	exit 0
fi
field() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"; }
# One bit each, by number (capability.h).
mask() {
	local cap sum=0
	for cap in "$@"; do sum=$((sum | 1 << cap)); done
	printf '%016x' "$sum"
}
FILES=(0 1 2 3)                     # CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER
WORKER=("${FILES[@]}" 4 6 7 21 27 28 31) # FSETID, SETGID, SETUID, SYS_ADMIN, MKNOD, LEASE, SETFCAP
confined() {
	local pid=$1 task
	for task in "/proc/$pid/task"/*; do
		assert_eq "$(awk '$1 == "Seccomp:" { print $2 }' "$task/status")" 2 "Seccomp of $task"
		assert_eq "$(awk '$1 == "NoNewPrivs:" { print $2 }' "$task/status")" 1 "NoNewPrivs of $task"
	done
}
# Those of this mount that are called so: it is in their environment.
named() {
	local pid
	for pid in $(pgrep -x "$1"); do
		if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -xF "CASE_DIR=$CASE_DIR" >/dev/null; then echo "$pid"; fi
	done
}
steward_is_there() { [ -n "$(named clawfs-steward)" ]; }

sqlite3 "$LOWER/x.sqlite" 'create table t(a);'
mount_fs
worker=$(stats worker)
confined "$worker"
for set in CapBnd CapPrm CapEff; do assert_eq "$(field "$worker" $set)" "$(mask "${WORKER[@]}")" "$set of the worker"; done
for set in CapInh CapAmb; do assert_eq "$(field "$worker" $set)" "$(mask)" "$set of the worker"; done
# Threads that begin later, too, and what serves databases.
for n in $(seq 20); do cat "$MNT/x.sqlite" >/dev/null & done
# shellcheck disable=SC2046
wait $(jobs -p | grep -vx "$DAEMON")
sqlite3 "$MNT/y.sqlite" 'pragma journal_mode=delete; create table t(a);' >/dev/null
wait_until steward_is_there
confined "$worker"
for name in clawfs-spawner clawfs-steward; do
	for pid in $(named $name); do
		confined "$pid"
		for set in CapBnd CapPrm CapEff; do assert_eq "$(field "$pid" $set)" "$(mask "${FILES[@]}")" "$set of $name"; done
	done
	assert [ -n "$(named $name)" ]
done
# A system call that is none of its own ends the worker, and costs nobody anything.
echo kept >"$MNT/a.json"
umount_fs
assert_eq "$(cat "$LOWER/a.json")" kept

# An ordinary user's, which is root's turn in a namespace of its own with /dev/fuse for all (36-ordinary-user.sh).
export -f field mask confined
unshare -m --propagation slave bash -c '
	. "$TESTS/lib.sh"
	private_fuse
	LOWER=$CASE_DIR/user-lower MNT=$CASE_DIR/user-mnt
	mkdir "$LOWER" "$MNT"
	chown "$ALICE:$ALICE" "$LOWER" "$MNT"
	mkdir "$SHM_DIR/user"
	chown "$ALICE:$ALICE" "$SHM_DIR/user"
	UPPER=$SHM_DIR/user/upper
	RUN_AS=(setpriv --reuid "$ALICE" --regid "$ALICE" --clear-groups)
	mount_fs
	worker=$(stats worker)
	confined "$worker"
	for set in CapPrm CapEff CapInh CapAmb; do assert_eq "$(field "$worker" $set)" "$(mask)" "$set of the worker"; done
	"${RUN_AS[@]}" sh -c "echo kept >$MNT/a.json"
	kill -TERM "$DAEMON"
	daemon_ended
	assert_eq "$(cat "$LOWER/a.json")" kept
'
