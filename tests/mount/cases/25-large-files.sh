#!/bin/bash
# timeout: 120
# P1, P8: files beyond 4 GiB, holes, and files of the cached classes that are
# larger than a cap, which are materialised first.
. "$TESTS/lib.sh"

mkdir -p "$LOWER/workspace" "$LOWER/logs"
mount_fs ram_max=16M file_max=4M log_rotate_bytes=0
big=$MNT/workspace/big.bin
truncate -s 5G "$big"
printf 'middle' | dd of="$big" bs=1 seek=4500000000 conv=notrunc status=none
printf 'end' >>"$big"
assert_eq "$(stat -c %s "$big")" 5368709123
assert_eq "$(tail -c 3 "$big")" end
assert_eq "$(dd if="$big" bs=1 skip=4500000000 count=6 status=none)" middle
assert [ "$(stat -c %b "$big")" -lt 10000 ]
cp --sparse=auto "$big" "$MNT/workspace/copy.bin"
assert_eq "$(stat -c %s "$MNT/workspace/copy.bin")" 5368709123
assert [ "$(stat -c %b "$MNT/workspace/copy.bin")" -lt 10000 ]
assert_eq "$(dd if="$MNT/workspace/copy.bin" bs=1 skip=4500000000 count=6 status=none)" middle

# Larger than file_max, and than all of RAM: whole, appended, in the middle.
head -c 24M /dev/urandom >"$CASE_DIR/random"
for name in huge.json agents-sessions.json logs/huge.log huge.jsonl huge.tmp; do
	cp "$CASE_DIR/random" "$MNT/$name"
	assert_same_file "$CASE_DIR/random" "$MNT/$name"
	printf 'tail\n' >>"$MNT/$name"
	printf 'XXXX' | dd of="$MNT/$name" bs=1 seek=10000000 conv=notrunc status=none
	assert_eq "$(tail -c 5 "$MNT/$name")" tail
	assert_eq "$(dd if="$MNT/$name" bs=1 skip=9999999 count=6 status=none | tail -c 5 | head -c 4)" XXXX
	assert [ "$(stats ram_used)" -le $((16 << 20)) ]
	[ "$name" != huge.tmp ] || rm "$MNT/$name"
done
find "$MNT" -maxdepth 2 -name '*huge*' -type f -exec sha256sum {} + | sed "s|$MNT|$LOWER|" >"$CASE_DIR/sums"
umount_fs
assert_eq "$(wc -l <"$CASE_DIR/sums")" 3
sha256sum --quiet -c "$CASE_DIR/sums"
assert_eq "$(stat -c %s "$LOWER/workspace/big.bin")" 5368709123
