#!/bin/bash
# P8, P10: an ordinary user mounts through fusermount3, over his directory and
# with the default place for the upper tree; nobody else gets in, not even root.
[ -n "${INNER:-}" ] || INNER=1 exec unshare -m --propagation slave bash "$0"
. "$TESTS/lib.sh"
private_fuse
sample_tree "$LOWER"
chown -R "$ALICE:$ALICE" "$LOWER"
chmod 755 "$CASE_DIR"
cp -a "$LOWER" "$CASE_DIR/plain"
RUN_AS=(as_user "$ALICE")
alice() { as_user "$ALICE" "$@"; }
MNT=$LOWER

# In the background, as a person starts it.
alice "$CLAWFS" "$MNT" -o "logfile=$LOGS/user.log"
pid=$(stats pid)
assert_eq "$(stat -c %u "/proc/$pid")" "$ALICE" "whose daemon it is"
assert_eq "$(stats passthrough.active)" false "passthrough, which wants CAP_SYS_ADMIN"
upper=$(find "/dev/shm/clawfs-$ALICE" -mindepth 1 -maxdepth 1 | head -n 1)
assert_eq "$(stat -c '%u %a' "/dev/shm/clawfs-$ALICE" "$upper" | sort -u)" "$ALICE 700" "owner and mode of the default upper"
for dir in "$MNT" "$CASE_DIR/plain"; do
	alice node "$NODE/append.js" "$dir/logs/gateway.log" 20 --from=150
	alice node "$NODE/save-sessions.js" "$dir/agents/main/sessions/sessions.json" 2 5
	alice sh -c "echo '{\"x\": 1}' >$dir/secureclaw.json; mkdir -p $dir/new/dir; echo x >$dir/new/dir/y.jsonl"
done
refute ls "$MNT"
refute as_user "$BOB" ls "$MNT"
alice sh -c "echo flush >$MNT/.clawfs/control"
alice sh -c "echo late >>$MNT/late.log"
echo late >>"$CASE_DIR/plain/late.log"
chown "$ALICE:$ALICE" "$CASE_DIR/plain/late.log"
alice fusermount3 -u "$MNT"
wait_until gone "$pid"
refute test -e "$upper"
assert_same_tree "$CASE_DIR/plain" "$LOWER" no-times
