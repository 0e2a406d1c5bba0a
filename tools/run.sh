#!/bin/bash
# tools/run.sh CLAWFS DIR: mount clawfs over DIR and say where to look.
set -euo pipefail

if [ $# -ne 2 ] || [ -z "$2" ]; then
	echo "usage: tools/run.sh CLAWFS DIR" >&2
	exit 2
fi
clawfs=$1
dir=$(realpath -m -- "$2")

# Root has umount; everybody else the helper that undoes its own mounts.
if [ "$(id -u)" -eq 0 ]; then leave="umount $dir"; else leave="fusermount3 -u $dir"; fi

case $(findmnt -n -o FSTYPE --mountpoint "$dir" || true) in
fuse*)
	if [ -e "$dir/.clawfs/stats" ]; then
		echo "$dir is a clawfs mount already"
		exit 0
	fi
	echo "something else is mounted over $dir, or its daemon died; get it out of the way with: $leave" >&2
	exit 1
	;;
esac

if [ ! -e "$dir" ]; then
	mkdir -p -- "$(dirname -- "$dir")"
	mkdir -m 0700 -- "$dir"
fi
"$clawfs" "$dir"

echo "clawfs is mounted over $dir"
echo "what it does: cat $dir/.clawfs/stats"
echo "to get out:   $leave"
