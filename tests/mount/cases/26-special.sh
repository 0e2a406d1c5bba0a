#!/bin/bash
# Names of 255 bytes, FIFO, socket, symlinks, hard links on cached files,
# inotify, flock between processes, programs run from the mount.
. "$TESTS/lib.sh"

mkdir "$LOWER/workspace" "$LOWER/logs"
mount_fs state_flush_ms=200 log_flush_ms=200 append_flush_ms=200 session_debounce_ms=200 session_max_ms=200

# 255 bytes in every class: what clawfs adds to a name on its way must fit.
for suffix in .log .jsonl .json .lock .sqlite .txt; do
	name=$(printf '%*s' $((255 - ${#suffix})) '' | tr ' ' n)$suffix
	echo "$suffix" >"$MNT/$name"
	echo more >>"$MNT/$name"
	assert_eq "$(head -n 1 "$MNT/$name")" "$suffix"
	refute sh -c "echo x >'$MNT/n$name'"
done
flush_fs
assert_eq "$(find "$LOWER" -name 'nnn*' -type f | wc -l)" 5 "long names on the lower"

# FIFO and socket.
mkfifo "$MNT/fifo"
echo through >"$MNT/fifo" &
assert_eq "$(cat "$MNT/fifo")" through
wait $!
node "$NODE/socket.js" "$MNT/exec-approvals.sock"

# Links: symlinks are texts, hard links are one file, also of cached classes.
ln -s ../../etc/passwd "$MNT/escape"
assert_eq "$(readlink "$MNT/escape")" ../../etc/passwd
for name in h.json h.log h.jsonl h.txt; do
	echo one >"$MNT/$name"
	ln "$MNT/$name" "$MNT/link-$name"
	echo two >>"$MNT/$name"
	assert_eq "$(tail -n 1 "$MNT/link-$name")" two
	echo three >>"$MNT/link-$name"
	assert_eq "$(tail -n 1 "$MNT/$name")" three
	assert_eq "$(stat -c '%h %i' "$MNT/$name")" "$(stat -c '%h %i' "$MNT/link-$name")"
done

# inotify.
node "$NODE/watch-dir.js" "$MNT/workspace"

# flock: one waits for the other and the mount serves on meanwhile.
: >"$MNT/flocked"
flock "$MNT/flocked" sleep 2 &
holder=$!
wait_until sh -c "! flock -n $MNT/flocked true"
flock "$MNT/flocked" touch "$CASE_DIR/second" &
waiter=$!
echo x >"$MNT/meanwhile.json"
refute test -e "$CASE_DIR/second"
wait $holder
wait $waiter
assert test -e "$CASE_DIR/second"

# A program, its text mapped by the kernel.
cp /bin/echo "$MNT/workspace/echo"
assert_eq "$("$MNT/workspace/echo" ran)" ran
umount_fs
for name in h.json h.log h.jsonl h.txt; do
	assert_eq "$(tr '\n' ' ' <"$LOWER/link-$name")" "one two three "
	assert_eq "$(stat -c '%h %i' "$LOWER/$name")" "$(stat -c '%h %i' "$LOWER/link-$name")"
done
