#!/bin/bash
# P1, P8: what editors and shells do to files: backup renames, sed -i, moves
# between directories, files that are unlinked while open; on the mount and on a
# plain directory, compared.
. "$TESTS/lib.sh"

edit() {
	local dir=$1 file
	for file in secureclaw.json .env workspace/AGENTS.md logs/gateway.log notes.jsonl agents/sessions.json; do
		mkdir -p "$(dirname "$dir/$file")" "$dir/moved"
		seq 100 >"$dir/$file"
		# vim, backupcopy=no: rename to the backup, write anew, fsync, drop the backup.
		mv "$dir/$file" "$dir/$file~"
		seq 101 >"$dir/$file"
		sync "$dir/$file"
		chmod 640 "$dir/$file"
		rm "$dir/$file~"
		# vim, backupcopy=yes: copy to the backup, write in place.
		cp -p "$dir/$file" "$dir/$file~"
		seq 102 >"$dir/$file"
		sync "$dir/$file"
		rm "$dir/$file~"
		# A swap file beside it.
		printf 'b0VIM' >"$dir/$file.swp"
		rm "$dir/$file.swp"
		sed -i 's/7/seven/' "$dir/$file"
		sed -i.orig '/9/d' "$dir/$file"
		# Away and back, also over what is there.
		mv "$dir/$file" "$dir/moved/"
		echo new >"$dir/$file"
		mv -f "$dir/moved/$(basename "$file")" "$dir/$file"
		# Read and written after its name is gone.
		cp "$dir/$file" "$dir/$file.open"
		exec 7<>"$dir/$file.open"
		rm "$dir/$file.open"
		head -n 3 <&7 >>"$dir/$file"
		echo unseen >&7
		exec 7>&-
		# Over itself while it is open.
		exec 7<"$dir/$file"
		sort -o "$dir/$file" "$dir/$file"
		exec 7<&-
		truncate -s -5 "$dir/$file"
		echo end >>"$dir/$file"
	done
}

mkdir "$CASE_DIR/plain"
mount_fs
fds=$(fd_count "$DAEMON")
edit "$MNT"
edit "$CASE_DIR/plain"
assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
flush_fs
assert_same_tree "$CASE_DIR/plain" "$MNT" no-times
fds_settle "$fds"
cp -a "$MNT" "$CASE_DIR/mounted"
umount_fs
assert_same_tree "$CASE_DIR/mounted" "$LOWER"
