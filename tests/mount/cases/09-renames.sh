#!/bin/bash
# timeout: 120
# P1, P8: renames from every class to every class, onto nothing and onto
# something, fresh and flushed; the mount is like a plain directory at every
# step, and so is the lower afterwards but for what is volatile.
. "$TESTS/lib.sh"

names=(x.log x.jsonl sessions.json x.json x.lock x.sqlite workspace/x.txt)

# step DIR FROM TO N: one rename and what goes with it.
step() {
	local dir=$1 from=$2 to=$3 n=$4
	# On every third a target exists; on every other a descriptor stays open.
	printf 'from %s\n' "$n" >"$dir/$from"
	chmod 640 "$dir/$from"
	[ $((n % 3)) -ne 0 ] || printf 'target %s, longer than what comes\n' "$n" >"$dir/$to"
	exec 7>>"$dir/$from"
	mv "$dir/$from" "$dir/$to"
	[ $((n % 2)) -ne 0 ] || printf 'late %s\n' "$n" >&7
	exec 7>&-
	printf 'after %s\n' "$n" >>"$dir/$to"
}

mkdir "$LOWER/workspace"
cp -a "$LOWER" "$CASE_DIR/plain"
mount_fs log_flush_ms=300 append_flush_ms=300 state_flush_ms=300 session_debounce_ms=300 session_max_ms=600
n=0
for from in "${names[@]}"; do
	for to in "${names[@]}"; do
		n=$((n + 1))
		[ "$from" != "$to" ] || to=${to/x/z}
		[ "$from" != "$to" ] || to=agents-$to
		for dir in "$MNT" "$CASE_DIR/plain"; do step "$dir" "$from" "$to" "$n"; done
		# Now and then everything reaches the card in between.
		[ $((n % 5)) -ne 0 ] || flush_fs
		assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
	done
done
# Directories with unflushed files in them; a directory over an empty one.
for dir in "$MNT" "$CASE_DIR/plain"; do
	mkdir -p "$dir/agents/one/sessions" "$dir/agents/three"
	echo '{}' >"$dir/agents/one/sessions/sessions.json"
	echo line >"$dir/agents/one/s.jsonl"
	mv "$dir/agents/one" "$dir/agents/two"
	echo more >>"$dir/agents/two/s.jsonl"
	mv -T "$dir/agents/two" "$dir/agents/three"
	echo 'even more' >>"$dir/agents/three/s.jsonl"
	mkdir "$dir/d.lock"
	mv "$dir/d.lock" "$dir/d"
	echo in >"$dir/d/in.json"
done
assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
flush_fs
assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
umount_fs
# What was in RAM only is gone; what was on the card and was renamed to such a
# name stays there: a rename must not make durable bytes volatile.
find "$CASE_DIR/plain" "$LOWER" -name '*.lock' -delete
assert_same_tree "$CASE_DIR/plain" "$LOWER" no-times
