#!/bin/bash
# timeout: 90
# P1: what one process does is what another sees, for every class, while
# flushes run as often as they can.
. "$TESTS/lib.sh"

mkdir -p "$LOWER"/{logs,agents/main/sessions,workspace}
seed=$RANDOM
echo "seed $seed"
mount_fs log_flush_ms=20 append_flush_ms=20 state_flush_ms=20 session_debounce_ms=20 session_max_ms=20 rewrite_max_ms=20 \
	epoch_reach_ms=10
fds=$(fd_count "$DAEMON")
node "$NODE/visibility.js" "$MNT" 12000 --seed=$seed
flush_fs
assert_eq "$(stats totals.dirty_bytes)" 0
assert_eq "$(stats totals.errors)" 0
fds_settle "$fds"
cp -a "$MNT" "$CASE_DIR/mounted"
umount_fs
rm -f "$CASE_DIR"/mounted/*.{lock,tmp}
assert_same_tree "$CASE_DIR/mounted" "$LOWER"
