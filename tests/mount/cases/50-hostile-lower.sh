#!/bin/bash
# timeout: 120
# P10, P12: whatever lies on the card, and whoever changes it beneath the mount, costs an error and not the mount: FIFOs,
# sockets, devices and directories under the names of files, links that lead out, names and paths as long as they get,
# files that claim to be what they are not. Nothing outside the lower is touched, nothing hangs.
. "$TESTS/lib.sh"

OUTSIDE=$CASE_DIR/outside
mkdir -p "$OUTSIDE/dir" "$LOWER"/{logs,swap,ok}
printf 'victim' >"$OUTSIDE/victim"
printf 'victim' >"$OUTSIDE/dir/victim.log"
printf 'victim' >"$OUTSIDE/dir/sessions.json"
touch -d '2020-01-01' "$OUTSIDE/victim" "$OUTSIDE"/dir/*
tree_list "$OUTSIDE" >"$CASE_DIR/outside-before"
tree_sums "$OUTSIDE" >>"$CASE_DIR/outside-before"
outside_is_safe() {
	tree_list "$OUTSIDE" >"$CASE_DIR/outside-after"
	tree_sums "$OUTSIDE" >>"$CASE_DIR/outside-after"
	diff "$CASE_DIR/outside-before" "$CASE_DIR/outside-after" || fail "something outside the lower was changed"
}
# Each within its time, be it with an error.
quick() {
	local status=0
	timeout $((20 * SLOW)) "$@" >/dev/null 2>&1 || status=$?
	[ "$status" -ne 124 ] || fail "hangs: $*"
	return "$status"
}

# --- what lies there ----------------------------------------------------------

names=(sessions.json app.log run.jsonl state.json .env x.lock x.tmp main.sqlite x.db-wal notes.txt)
mkdir "$LOWER"/{fifo,socket,device,directory,link,dangling,loop,unreadable}
for name in "${names[@]}"; do
	mkfifo "$LOWER/fifo/$name"
	mknod "$LOWER/device/$name" c 1 3
	mkdir "$LOWER/directory/$name"
	ln -s "$OUTSIDE/victim" "$LOWER/link/$name"
	ln -s "$OUTSIDE/none" "$LOWER/dangling/$name"
	ln -s "$name" "$LOWER/loop/$name"
	printf 'secret' >"$LOWER/unreadable/$name"
	chmod 0 "$LOWER/unreadable/$name"
	perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) && chdir $ARGV[0] && bind(S, sockaddr_un($ARGV[1])) or die' "$LOWER/socket" "$name"
done
chmod 0 "$LOWER/unreadable"
# Where replacements are made, and beside what is replaced.
ln -s "$OUTSIDE/dir" "$LOWER/.clawfs"
mkdir "$LOWER/ok/.clawfs-replace-1" "$LOWER/ok/state.json.tmp" "$LOWER/sessions.json.tmp"
# Databases that are none, or end otherwise than they begin.
mkdir "$LOWER/db"
sqlite3 "$LOWER/db/good.sqlite" 'create table t(a); insert into t values (1);'
for db in garbage cut zero; do head -c 4096 "$LOWER/db/good.sqlite" >"$LOWER/db/$db.sqlite"; done
head -c 100000 /dev/urandom >>"$LOWER/db/garbage.sqlite"
truncate -s 600 "$LOWER/db/cut.sqlite"
truncate -s 4096 "$LOWER/db/zero.sqlite"
dd if=/dev/zero of="$LOWER/db/zero.sqlite" bs=1 seek=16 count=3000 conv=notrunc status=none
cp "$LOWER/db/good.sqlite" "$LOWER/db/huge.sqlite"
truncate -s 1T "$LOWER/db/huge.sqlite"
for beside in wal journal shm; do
	cp "$LOWER/db/good.sqlite" "$LOWER/db/link-$beside.sqlite"
	ln -s "$OUTSIDE/victim" "$LOWER/db/link-$beside.sqlite-$beside"
	cp "$LOWER/db/good.sqlite" "$LOWER/db/fifo-$beside.sqlite"
	mkfifo "$LOWER/db/fifo-$beside.sqlite-$beside"
	cp "$LOWER/db/good.sqlite" "$LOWER/db/dir-$beside.sqlite"
	mkdir "$LOWER/db/dir-$beside.sqlite-$beside"
	cp "$LOWER/db/good.sqlite" "$LOWER/db/junk-$beside.sqlite"
	head -c 70000 /dev/urandom >"$LOWER/db/junk-$beside.sqlite-$beside"
done
# A compressed log that is a thousand times as long as it looks, and ones that are none.
head -c 300M /dev/zero | gzip -1 >"$LOWER/logs/bomb.log.gz"
head -c 5000 "$LOWER/logs/bomb.log.gz" >"$LOWER/logs/torn.log.gz"
head -c 5000 /dev/urandom >"$LOWER/logs/junk.log.gz"
ln -s "$OUTSIDE/victim" "$LOWER/logs/link.log.gz"
mkfifo "$LOWER/logs/fifo.log.gz"
# Names of 255 bytes, more levels than anybody wants, and paths beyond PATH_MAX.
long=$(printf 'n%.0s' $(seq 250)).json
printf '{}' >"$LOWER/ok/$long"
(
	cd "$LOWER/ok"
	for _ in $(seq 300); do
		mkdir d
		cd d
	done
	printf 'bottom' >bottom.log
)
(
	cd "$LOWER/ok"
	for _ in $(seq 20); do
		mkdir "${long%.json}"
		cd "${long%.json}"
	done
	printf 'bottom' >bottom.log
)
# Names of every byte there can be, and many of one file.
printf '{}' >"$LOWER/ok/$(printf '\001\n\r\033\177\377 "%%s\\').json"
printf 'linked' >"$LOWER/ok/linked.log"
for n in $(seq 50); do ln "$LOWER/ok/linked.log" "$LOWER/ok/linked-$n.json"; done

# --- mounted ------------------------------------------------------------------

mount_fs "rescue_dir=$CASE_DIR/rescue" log_flush_ms=200 append_flush_ms=200 state_flush_ms=200 session_debounce_ms=100 session_max_ms=200
(cd "$LOWER" && find . '(' -path ./.clawfs -o -name '.clawfs-replace-*' ')' -prune -o -printf '%p %y\n' | sort >"$CASE_DIR/below")
(cd "$MNT" && timeout $((30 * SLOW)) find . -printf '%p %y\n' | sort >"$CASE_DIR/above")
diff "$CASE_DIR/below" "$CASE_DIR/above" || fail "the mount shows other names than are there"
for name in "${names[@]}"; do
	for kind in fifo socket device directory link dangling loop unreadable; do
		file=$MNT/$kind/$name
		quick stat "$file" || true
		[ "$kind" = fifo ] || quick head -c 10 "$file" || true
		[ "$kind" = fifo ] || quick dd if=/dev/null of="$file.beside" status=none
		quick chmod 600 "$MNT/dangling/$name" || true
		# What saves by rename gets its name, whatever had it; but a directory's.
		echo '{"saved": true}' >"$CASE_DIR/new"
		quick cp "$CASE_DIR/new" "$MNT/$kind/$name.new"
		if [ "$kind" = directory ]; then
			refute quick mv -T "$MNT/$kind/$name.new" "$file"
		else
			quick mv -T "$MNT/$kind/$name.new" "$file"
			assert_eq "$(quick cat "$file" && cat "$file")" '{"saved": true}' "$kind/$name after a save"
		fi
	done
done
quick sh -c "echo flush >'$MNT/.clawfs/control'"
outside_is_safe
# The long ones.
printf '{"new": 1}' >"$MNT/ok/$long"
for dir in d "${long%.json}"; do
	(
		cd "$MNT/ok"
		while [ -d "$dir" ]; do cd "$dir"; done
		echo ' of it all' >>bottom.log
		printf '{}' >bottom.json
		assert_eq "$(cat bottom.log)" 'bottom of it all'
		: >"$long" || true
	)
done
printf 'more' >>"$MNT/ok/linked.log"
assert_eq "$(cat "$MNT/ok/linked-7.json")" linkedmore
# Databases, by who does not know.
for db in "$LOWER"/db/*.sqlite; do
	# SQLite itself waits in the open of a FIFO.
	case $db in */fifo-*) continue ;; esac
	quick sqlite3 "$MNT/db/$(basename "$db")" 'pragma integrity_check; insert into t values (2);' || true
done
quick sqlite3 "$MNT/db/good.sqlite" 'insert into t values (3);'
for log in bomb torn junk link; do
	quick stat "$MNT/logs/$log.log.gz" || true
	quick head -c 100 "$MNT/logs/$log.log.gz" || true
	quick head -c 100 "$MNT/logs/$log.log" || true
done
quick sh -c "echo flush >'$MNT/.clawfs/control'"
outside_is_safe
assert [ "$(awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status")" -lt $((100000 * SLOW * SLOW)) ]

# --- changed beneath ------------------------------------------------------------

# Whoever owns a directory on the card puts links that lead out where files and directories were, all the time, and writes
# through the mount. It is a user who may not write outside; so whatever is changed there, the daemon did.
chown -R "$ALICE" "$LOWER/swap"
chmod 755 "$LOWER" "$CASE_DIR" "$OUTSIDE" "$OUTSIDE/dir"
printf 'x' >"$LOWER/swap/a.log"
mkdir "$LOWER/swap/dir"
printf '{}' >"$LOWER/swap/dir/sessions.json"
printf 'x' >"$LOWER/swap/dir/victim.log"
chown -R "$ALICE" "$LOWER/swap"
cat >"$CASE_DIR/swapper" <<'END'
cd "$1"
while [ ! -e "$2/stop" ]; do
	ln -sfn "$2/outside/dir" dir.link
	mv -T dir dir.away && mv -T dir.link dir
	ln -sf "$2/outside/victim" a.link && mv -T a.link a.log
	ln -sf "$2/outside/victim" s.link && mv -T s.link state.json
	rm -f dir && mv -T dir.away dir
	printf 'x' >a.file && mv -T a.file a.log
	printf '{}' >s.file && mv -T s.file state.json
	rm -rf .clawfs-replace-*
done 2>/dev/null
END
cat >"$CASE_DIR/writer" <<'END'
cd "$1"
n=0
while [ ! -e "$2/stop" ]; do
	n=$((n + 1))
	echo "line $n" >>a.log
	echo "line $n" >>dir/victim.log
	echo "{\"n\": $n}" >dir/s.tmp && mv dir/s.tmp dir/sessions.json
	echo "{\"n\": $n}" >state.json
	echo "{\"n\": $n}" >s.tmp && mv s.tmp state.json
	chmod 640 dir/sessions.json state.json a.log
	touch dir/victim.log a.log
	echo $n >"$3"
done 2>/dev/null
END
: >"$CASE_DIR/turns"
chmod 666 "$CASE_DIR/turns"
as_user "$ALICE" bash "$CASE_DIR/swapper" "$LOWER/swap" "$CASE_DIR" 2>/dev/null &
SWAPPER=$!
as_user "$ALICE" bash "$CASE_DIR/writer" "$MNT/swap" "$CASE_DIR" "$CASE_DIR/turns" 2>/dev/null &
WRITER=$!
sleep 6
: >"$CASE_DIR/stop"
wait "$SWAPPER" || true
wait "$WRITER" || true
outside_is_safe
assert [ "$(cat "$CASE_DIR/turns")" -ge 10 ]
quick ls -laR "$MNT/swap" || true
echo '{"fine": true}' >"$MNT/ok/after.json"
timeout $((20 * SLOW)) sync "$MNT/ok/after.json"
assert_eq "$(cat "$LOWER/ok/after.json")" '{"fine": true}'
refute gone "$DAEMON"
quick fusermount3 -u "$MNT"
status=0
wait "$DAEMON" || status=$?
DAEMON=
# What a link has the place of cannot be flushed: then it is said, and kept.
assert [ "$status" -le 1 ]
outside_is_safe
