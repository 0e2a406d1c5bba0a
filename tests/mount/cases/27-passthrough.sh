#!/bin/bash
# timeout: 120
# Kernel passthrough of `through` files, and the set-id bits that the kernel leaves to us with
# FUSE_HANDLE_KILLPRIV_V2: what programs do with open files is what a plain directory does.
. "$TESTS/lib.sh"

PLAIN=$CASE_DIR/plain
mkdir "$PLAIN"
chmod 755 "$LOWER" "$PLAIN"
"${CC:-cc}" -std=gnu11 -O1 -o "$CASE_DIR/io" "$TESTS/io.c"
alice() { as_user "$ALICE" "$@"; }
opens() { stats passthrough.opens; }

# Linux has it since 6.9, where it was built in; then root's mount must use it.
offered() {
	local config
	[ "$(printf '%s\n' 6.9 "$(uname -r)" | sort -V | head -n 1)" = 6.9 ] || return 1
	for config in "/boot/config-$(uname -r)" /proc/config.gz; do
		if [ -e "$config" ]; then
			zgrep -q '^CONFIG_FUSE_PASSTHROUGH=y' "$config"
			return
		fi
	done
}

"$CASE_DIR/io" "$PLAIN" >"$CASE_DIR/plain.out"
for mode in off auto; do
	mount_fs passthrough=$mode
	mkdir "$MNT/$mode"
	"$CASE_DIR/io" "$MNT/$mode" >"$CASE_DIR/$mode.out"
	diff "$CASE_DIR/plain.out" "$CASE_DIR/$mode.out" || fail "passthrough=$mode is not as a plain directory"
	active=$(stats passthrough.active)
	if [ "$mode" = auto ] && offered; then
		assert_eq "$active" true "passthrough is active"
		[ "$(opens)" -gt 20 ] || fail "only $(opens) opens were passed through"
		grep -q 'kernel passthrough on' "$MNT/.clawfs/stats"
	elif [ "$mode" = off ]; then
		assert_eq "$active $(opens)" "false 0"
	fi
	umount_fs
	for file in a t to from map s d; do assert_same_file "$PLAIN/$file" "$LOWER/$mode/$file"; done
done

mount_fs state_flush_ms=200
DESCRIPTORS=$(fd_count "$DAEMON")
PASSED=$(stats passthrough.active)
passed() { # COMMAND...: succeeds, and what it opened was passed through, if anything is
	local before
	before=$(opens)
	"$@" || fail "failed: $*"
	[ "$PASSED" = false ] || [ "$(opens)" -gt "$before" ] || fail "not passed through: $*"
}
served() {
	local before
	before=$(opens)
	"$@" || fail "failed: $*"
	assert_eq "$(opens)" "$before" "was passed through: $*"
}

# Which files.
passed sh -c "echo text >$MNT/plain.txt"
passed grep -q text "$MNT/plain.txt"
served sh -c "echo '{}' >$MNT/a.json"
served sh -c "echo line >$MNT/a.log"
served sqlite3 "$MNT/a.db" '.output /dev/null' 'create table t(a); insert into t values (1)'
# Its write-ahead log is, the database itself is not.
in_wal_mode() { sqlite3 "$MNT/a.db" 'pragma journal_mode' | grep -qx wal; }
wait_until in_wal_mode
passed sqlite3 "$MNT/a.db" 'insert into t values (2)'
only_wal() {
	local before
	before=$(opens)
	sqlite3 "$@" >"$CASE_DIR/rows"
	[ "$PASSED" = false ] || assert_eq "$(opens)" $((before + 1)) "opens that were passed through: $*"
}
only_wal "$MNT/a.db" 'insert into t values (3)'
cp "$MNT/a.db" "$MNT/no-suffix"
only_wal "$MNT/no-suffix" 'select * from t'

# A program: run, not to be written meanwhile, but read.
cp /bin/sleep "$MNT/sleep"
"$MNT/sleep" 30 &
sleeper=$!
wait_until grep -q "$MNT/sleep" "/proc/$sleeper/cmdline"
refute sh -c "echo x >>$MNT/sleep"
assert_same_file /bin/sleep "$MNT/sleep"
kill $sleeper
wait $sleeper || true
wait_until sh -c "echo x >>$MNT/sleep"

# tail -f, across what two writers append.
tail -n +1 -f "$MNT/plain.txt" >"$CASE_DIR/tail.out" &
tail=$!
for i in 1 2 3; do
	echo "first $i" >>"$MNT/plain.txt"
	echo "second $i" >>"$MNT/plain.txt"
done
wait_until cmp "$MNT/plain.txt" "$CASE_DIR/tail.out"
kill $tail
wait $tail || true

# --- set-id bits ---

# After COMMAND by USER on a file of MODE that belongs to root, NAME.
# The mode, on the mount, again there, and on the lower is what a plain directory has.
compare_mode() {
	local mode=$1 name=$2 dir want
	shift 2
	for dir in "$PLAIN" "$MNT"; do
		rm -f "$dir/$name"
		echo content >"$dir/$name"
		chown "0:$BOB" "$dir/$name"
		chmod "$mode" "$dir/$name"
		[ "$dir" != "$MNT" ] || assert_eq "$(stat -c %a "$dir/$name")" "$mode"
		(cd "$dir" && "$@" "$name") || fail "$* on $mode $dir/$name"
	done
	want=$(stat -c %a "$PLAIN/$name")
	assert_eq "$(stat -c %a "$MNT/$name")" "$want" "mode of $mode $name after $*"
	flush_fs
	assert_eq "$(stat -c %a "$LOWER/$name")" "$want" "mode on the lower of $mode $name after $*"
	assert_same_file "$PLAIN/$name" "$MNT/$name"
}
append() { sh -c "echo more >>$1"; }
overwrite() { sh -c "echo more >$1"; }
cut_off() { truncate -s 3 "$1"; }
alice_append() { alice sh -c "echo more >>$1"; }
alice_overwrite() { alice sh -c "echo more >$1"; }
alice_cut() { alice truncate -s 3 "$1"; }
alice_allocate() { alice fallocate -l 100 "$1"; }
alice_copy() { alice sh -c "cp --sparse=never /bin/true $1"; }
give_away() { chown "$ALICE" "$1"; }
for name in s.txt s.json s.log; do
	for mode in 4777 2777 2775 6777; do
		for command in append overwrite cut_off give_away; do compare_mode $mode $name $command; done
		[ "$mode" != 2775 ] || continue # not hers to write
		for command in alice_append alice_overwrite alice_cut alice_allocate alice_copy; do
			compare_mode $mode $name $command
		done
	done
	compare_mode 2767 $name alice_append # locked, not set-group-id
done

# Set while another has it open: her write takes it, and what the kernel believes is right.
talk=$CASE_DIR/talk
mkfifo "$talk"
chmod 666 "$talk"
for first in reader writer; do
	f=$MNT/open-$first.txt
	echo content >"$f"
	chmod 777 "$f"
	[ "$first" = writer ] || exec 7<"$f"
	[ "$first" = writer ] || chmod 4777 "$f"
	# Root's do not take it, but from what he had open before.
	[ "$first" = writer ] || echo roots >>"$f"
	# shellcheck disable=SC2016 # for the shell it starts
	alice sh -c 'exec 5>>"$0"; read -r word <"$1"; echo "$word" >&5' "$f" "$talk" &
	writer=$!
	exec 6>"$talk"
	[ "$first" = reader ] || chmod 4777 "$f"
	assert_eq "$(stat -c %a "$f" "${f/$MNT/$LOWER}" | xargs)" "4777 4777"
	echo hers >&6
	exec 6>&-
	wait $writer
	assert_eq "$(stat -c %a "$f" "${f/$MNT/$LOWER}" | xargs)" "777 777" "mode of $f"
	assert_eq "$(tail -n 1 "$f")" hers
	[ "$first" = writer ] || exec 7<&-
done

# Capabilities go with the content they were given to.
if command -v setcap >/dev/null; then
	for name in c.txt c.json; do
		cp /bin/true "$MNT/$name"
		flush_fs
		setcap cap_net_raw+ep "$MNT/$name"
		assert test -n "$(getcap "$MNT/$name")"
		echo x >>"$MNT/$name"
		flush_fs
		assert_eq "$(getcap "$MNT/$name")$(getcap "$LOWER/$name")" ""
	done
fi

# In the page cache, then past it, then in the page cache again.
f=$MNT/turns.txt
for turn in 1 2 3; do
	chmod 4755 "$f" 2>/dev/null || true
	echo "cached $turn" >"$f"
	chmod 4755 "$f"
	served grep -q "cached $turn" "$f"
	chmod 755 "$f"
	passed sh -c "echo 'passed $turn' >$f"
	chmod 4755 "$f"
	served grep -q "passed $turn" "$f"
done

# What was written is on the lower when the daemon dies (P6); nothing is kept for files that are closed.
if [ "$PASSED" = true ]; then
	exec 5>"$MNT/killed.txt"
	echo before >&5
	fds_settle "$DESCRIPTORS"
	kill9
	echo after >&5
	exec 5>&-
	assert_eq "$(cat "$LOWER/killed.txt" | xargs)" "before after"
	umount "$MNT"
	mount_fs
fi
umount_fs

# Backing files are closed: or this would fill the card.
LOWER=$CASE_DIR/card
ext4_mount "$CASE_DIR/image" 64M "$LOWER"
mount_fs
for i in 1 2 3 4 5; do
	head -c 20M /dev/zero >"$MNT/big.bin"
	rm "$MNT/big.bin"
	wait_until sh -c "[ \$(stat -f -c %f $LOWER) -gt 10000 ]"
done
umount_fs
umount "$LOWER"
