#!/bin/bash
# timeout: 90
# P1, P3: four writers save sessions.json as the application does. The lower is
# one complete version at every look and sees few of them; identical content is
# not written; the lock and the temporary files never touch the card.
. "$TESTS/lib.sh"

dir=agents/main/sessions
mkdir -p "$LOWER/$dir"
node "$NODE/new-store.js" "$LOWER/$dir/sessions.json" 4 123000
mount_fs
transient='\.lock$|^sessions\.json\.[0-9]+\..*\.tmp$'
watch_start poll poll-store.js "$LOWER/$dir/sessions.json" --deny="$transient" --max=50 --pause=5
watch_start names watch-names.js "$LOWER/$dir" "$LOWER" --deny="$transient"
node "$NODE/save-sessions.js" "$MNT/$dir/sessions.json" 4 40 --gap=40

assert_eq "$(ls -A "$MNT/$dir")" sessions.json
inode=$(stat -c %i "$MNT/$dir/sessions.json")
flush_fs
assert_same_file "$MNT/$dir/sessions.json" "$LOWER/$dir/sessions.json"
assert_eq "$(stat -c '%y %a' "$LOWER/$dir/sessions.json")" "$(stat -c '%y %a' "$MNT/$dir/sessions.json")"
assert_eq "$(stat -c %i "$MNT/$dir/sessions.json")" "$inode" "inode number through a flush"
writes=$(stats classes.snapshot.lower_writes)
assert [ "$writes" -ge 1 ]
assert [ "$writes" -lt 50 ]
assert [ "$(stats classes.snapshot.coalesced)" -ge 100 ]

# The same content again: the card's file stays, its time follows.
lower_inode=$(stat -c %i "$LOWER/$dir/sessions.json")
for n in 1 2; do
	cp "$MNT/$dir/sessions.json" "$MNT/$dir/sessions.json.1.same$n.tmp"
	mv "$MNT/$dir/sessions.json.1.same$n.tmp" "$MNT/$dir/sessions.json"
	chmod 600 "$MNT/$dir/sessions.json"
	flush_fs
done
assert [ "$(stats classes.snapshot.identical)" -ge 2 ]
assert_eq "$(stats classes.snapshot.lower_writes)" "$writes" "replaces of identical content"
assert_eq "$(stat -c %i "$LOWER/$dir/sessions.json")" "$lower_inode" "the lower's inode after identical saves"
watch_stop names
watch_stop poll
stat -c '%y %a %s' "$MNT/$dir/sessions.json" >"$CASE_DIR/mounted"
umount_fs
stat -c '%y %a %s' "$LOWER/$dir/sessions.json" | diff "$CASE_DIR/mounted" -
