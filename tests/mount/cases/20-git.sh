#!/bin/bash
# timeout: 120
# P1, P8: git on the mount, in workspace/ where everything passes through and at
# the top where its *.lock files are volatile until they are renamed.
. "$TESTS/lib.sh"

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org

use_git() {
	local dir=$1 n
	git init -q -b main "$dir/repo"
	for n in $(seq 12); do
		mkdir -p "$dir/repo/d$n"
		node "$NODE/text.js" "$n" >"$dir/repo/d$n/file.txt"
		echo "{\"n\": $n}" >"$dir/repo/d$n/state.json"
		echo "line $n" >>"$dir/repo/history.log"
		git -C "$dir/repo" add -A
		git -C "$dir/repo" commit -q -m "commit $n"
	done
	git -C "$dir/repo" checkout -q -b side HEAD~4
	git -C "$dir/repo" checkout -q main
	git clone -q "$dir/repo" "$dir/clone"
	git -C "$dir/clone" gc -q --aggressive --prune=now
	git -C "$dir/repo" fsck --full --strict
	git -C "$dir/clone" fsck --full --strict
	assert_eq "$(git -C "$dir/repo" status --porcelain)" "" "status of the repository"
	assert_eq "$(git -C "$dir/clone" log --oneline | wc -l)" 12 "commits in the clone"
}

mkdir "$LOWER/workspace"
mount_fs
use_git "$MNT/workspace"
use_git "$MNT"
cp -a "$MNT" "$CASE_DIR/mounted"
umount_fs
assert_same_tree "$CASE_DIR/mounted" "$LOWER"
for repo in "$LOWER"/workspace/{repo,clone} "$LOWER"/{repo,clone}; do
	git -C "$repo" fsck --full --strict
	assert_eq "$(git -C "$repo" status --porcelain)" "" "status on the lower"
done
