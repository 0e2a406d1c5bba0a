#!/bin/bash
# timeout: 60
# P1: what has been written is what is read, also while others ask for the file's
# times. (Found as a database whose reader saw pages of two versions.)
. "$TESTS/lib.sh"

cc -std=gnu11 -D_GNU_SOURCE -O2 -o "$CASE_DIR/coherence" "$TESTS/coherence.c"
cc -std=gnu11 -D_GNU_SOURCE -O2 -shared -fPIC -o "$CASE_DIR/slow.so" "$TESTS/slow-pwrite.c" -ldl
# A sanitizer's runtime wants to be the first library; that build is slow enough.
[ "$SLOW" != 1 ] || RUN_AS=(env LD_PRELOAD="$CASE_DIR/slow.so")
mkdir "$LOWER/memory"
mount_fs
for _ in 1 2 3 4 5; do
	for file in memory/x.db x.json; do "$CASE_DIR/coherence" "$MNT/$file" 1500; done
done
umount_fs
