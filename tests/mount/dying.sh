# shellcheck shell=bash
# Sourced after lib.sh by cases about a card that dies: an ext4 on a loop device on a file that fails when told to.
cc -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O1 -g -o "$CASE_DIR/dying" "$TESTS/dying.c" $(pkg-config --cflags --libs fuse3)

CARD=$CASE_DIR/card
BACKING=$SHM_DIR/backing.img
DYING_PID=

# card_is well | match TEXT | broken
card_is() {
	echo "$*" >"$CASE_DIR/state.new"
	mv "$CASE_DIR/state.new" "$CASE_DIR/state"
}

# Makes the card, SIZE large, and mounts it on $CARD.
dying_mount() {
	truncate -s "$1" "$BACKING"
	mkfs.ext4 -q -F "$BACKING"
	mkdir -p "$CARD" "$CASE_DIR/device"
	card_is well
	"$CASE_DIR/dying" "$BACKING" "$CASE_DIR/state" "$CASE_DIR/device" &
	DYING_PID=$!
	wait_until test -e "$CASE_DIR/device/card"
	mount -o loop "$CASE_DIR/device/card" "$CARD"
}

# Takes it out. What the kernel could not write is gone.
dying_umount() {
	umount "$CARD"
	wait_until fusermount3 -u "$CASE_DIR/device"
	wait "$DYING_PID"
}

# What really is on it: mounts the backing file itself on $CARD, by a kernel that remembers nothing of it.
card_reader() { mount -o loop "$BACKING" "$CARD"; }
