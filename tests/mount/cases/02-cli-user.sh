#!/bin/bash
# An ordinary user's bad starts: allow_other without permission for it, no
# fusermount3. One line, status 1, nothing left.
[ -n "${INNER:-}" ] || INNER=1 exec unshare -m --propagation slave bash "$0"
. "$TESTS/lib.sh"
private_fuse
chown "$ALICE" "$LOWER" "$MNT"

refused() {
	local pattern=$1 status=0
	shift
	as_user "$ALICE" "$@" >"$CASE_DIR/out" 2>"$CASE_DIR/err" || status=$?
	cat "$CASE_DIR/err"
	assert_eq "$status" 1 "status"
	assert_eq "$(wc -l <"$CASE_DIR/err")" 1 "lines on stderr"
	assert grep -qE "$pattern" "$CASE_DIR/err"
	refute mounted "$MNT"
	refute test -e "$UPPER"
	assert_eq "$(ls -A "$LOWER")" "" "what is in the lower"
}
chmod 1777 "$SHM_DIR"

# /etc/fuse.conf without user_allow_other.
: >"$CASE_DIR/fuse.conf"
mount --bind "$CASE_DIR/fuse.conf" /etc/fuse.conf
refused 'allow_other' "$CLAWFS" "$LOWER" "$MNT" -o "upper=$UPPER,allow_other"

# No fusermount3: neither where the library looks nor on the PATH.
: >"$CASE_DIR/not-a-program"
mount --bind "$CASE_DIR/not-a-program" "$(realpath "$(command -v fusermount3)")"
refused 'fusermount3' env PATH="$CASE_DIR/empty" "$CLAWFS" "$LOWER" "$MNT" -o "upper=$UPPER"
