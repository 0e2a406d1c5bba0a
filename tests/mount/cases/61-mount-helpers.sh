#!/bin/bash
# mount(8), umount(8) and fstab(5): as helpers under all four names, with every option that mount(8) knows of every file
# system, for root and for a user who may. umount waits until everything is on the lower (P8), if the mount has a line in
# /run/mount/utab: without one, libmount asks statfs(2) for the type, which is "fuse", and looks for umount.fuse only.
# timeout: 120
[ -n "${INNER:-}" ] || INNER=1 exec unshare -m --propagation slave bash "$0"
. "$TESTS/lib.sh"

CTL=$(dirname "$CLAWFS")/clawfsctl
private_fuse
cp "$CTL" "$CASE_DIR/private/clawfsctl"
chmod 755 "$CASE_DIR"
# What `make install` does with SBIN=/sbin, in a copy of that directory.
mkdir "$CASE_DIR/private/u" "$CASE_DIR/private/w"
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$CASE_DIR/private/u,workdir=$CASE_DIR/private/w" /usr/sbin
ln -s "$CLAWFS" /usr/sbin/mount.clawfs
ln -s "$CLAWFS" /usr/sbin/mount.fuse.clawfs
ln -s "$CASE_DIR/private/clawfsctl" /usr/sbin/umount.clawfs
ln -s "$CASE_DIR/private/clawfsctl" /usr/sbin/umount.fuse.clawfs
# The table of user mounts, which tests have no business in.
mkdir -p /run/mount
mount -t tmpfs none /run/mount

long=log_flush_ms=3600000,append_flush_ms=3600000,state_flush_ms=3600000
fstab=$CASE_DIR/fstab
options_of() { findmnt -n -o OPTIONS "$MNT"; }
type_of() { findmnt -n -o FSTYPE "$MNT"; }

# there_and_back [umount's options]: the mount is in utab. Writes, unmounts, and the lower has it the moment that umount returns.
lines=0
there_and_back() {
	lines=$((lines + 1))
	printf 'line %d\n' "$lines" >>"$MNT/a.log"
	refute grep -qsx "line $lines" "$LOWER/a.log"
	DAEMON=$(stats pid)
	umount "$@" "$MNT"
	assert grep -qx "line $lines" "$LOWER/a.log"
	wait_until gone "$DAEMON"
	refute mounted "$MNT"
	DAEMON=
}

# --- lines of fstab ------------------------------------------------------------
every=defaults,rw,auto,noauto,nofail,_netdev,nobootwait,user,nouser,users,nousers,owner,noowner,group,nogroup
every+=,suid,nosuid,dev,nodev,exec,noexec,atime,noatime,diratime,nodiratime,relatime,norelatime,strictatime
every+=,nostrictatime,lazytime,nolazytime,async,iversion,noiversion,mand,nomand,silent,loud,comment=systemd.automount
every+=,x-systemd.automount,x-systemd.requires=network.target,x-systemd.mount-timeout=60,x-gvfs-hide,X-mount.mkdir
every+=,default_permissions,allow_other
for type in fuse.clawfs clawfs; do
	echo "$LOWER $MNT $type defaults,upper=$UPPER,$long 0 0" >"$fstab"
	mount -T "$fstab" "$MNT"
	echo "$type" >>"$MNT/b.log"
	DAEMON=$(stats pid)
	umount "$MNT"
	wait_until gone "$DAEMON"
	assert_eq "$(tail -n 1 "$LOWER/b.log")" "$type"
	for options in nofail,uhelper=clawfs noauto,user,_netdev,nofail,x-systemd.idle-timeout=60,comment=hello "$every"; do
		echo "$LOWER $MNT $type $options,upper=$UPPER,$long 0 0" >"$fstab"
		mount -T "$fstab" "$MNT"
		assert_eq "$(type_of)" fuse.clawfs "type of $type $options"
		there_and_back
	done
done

# Over itself, and with blanks.
mkdir "$CASE_DIR/with blank"
echo "${CASE_DIR}/with\\040blank ${CASE_DIR}/with\\040blank fuse.clawfs nofail,uhelper=clawfs,upper=$UPPER,$long 0 0" >"$fstab"
(
	LOWER=$CASE_DIR/beneath MNT="$CASE_DIR/with blank"
	mkdir "$LOWER"
	mount --bind "$MNT" "$LOWER"
	mount -T "$fstab" "$MNT"
	there_and_back
	umount "$LOWER"
)

# What is for the kernel reaches it.
mount -t clawfs "$LOWER" "$MNT" -o "noexec,noatime,sync,dirsync,uhelper=clawfs,upper=$UPPER"
for word in noexec noatime nosuid nodev; do assert grep -qw $word <<<"$(options_of)"; done
umount "$MNT"
"$CLAWFS" "$LOWER" "$MNT" -o "suid,dev,upper=$UPPER,logfile=$LOGS/suid.log"
for word in nosuid nodev; do refute grep -qw $word <<<"$(options_of)"; done
umount "$MNT"

# Read-only: nothing on the lower changes, no database either.
sqlite3 "$LOWER/d.sqlite" 'create table t(a); insert into t values (1);'
sum=$(sha256sum <"$LOWER/d.sqlite")
for how in "-o ro,uhelper=clawfs,upper=$UPPER" "-r -o uhelper=clawfs,upper=$UPPER"; do
	# shellcheck disable=SC2086
	mount -t fuse.clawfs $how "$LOWER" "$MNT"
	refute sh -c "echo x >>$MNT/a.log"
	assert_eq "$(tail -n 1 "$MNT/a.log")" "line $lines"
	assert_eq "$(sqlite3 "$MNT/d.sqlite" 'select a from t')" 1
	umount "$MNT"
	assert_eq "$(sha256sum <"$LOWER/d.sqlite")" "$sum" "a database below a read-only mount"
done

# --- what mount and umount may add ----------------------------------------------
mount --fake -t clawfs "$LOWER" "$MNT" -o "upper=$UPPER"
refute mounted "$MNT"
mount -v -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
refute mount -o remount,noexec "$MNT" 2>"$CASE_DIR/err"
assert grep -q "option remount: a mount's options cannot be changed" "$CASE_DIR/err"
there_and_back -n
mount -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
there_and_back -v

# Bad input: one line, mount(8)'s statuses.
status=0
mount -t clawfs "$LOWER" "$MNT" -o log_flush_sm=5 2>"$CASE_DIR/err" || status=$?
assert_eq "$status" 1 "status of a misspelt option"
assert grep -q 'log_flush_sm.*log_flush_ms' "$CASE_DIR/err"
status=0
mount -t clawfs "$CASE_DIR/none" "$MNT" 2>"$CASE_DIR/err" || status=$?
assert_eq "$status" 32 "status of a mount that failed"
assert grep -q 'name an existing directory' "$CASE_DIR/err"

# In use: refused, with who it is; by force, nevertheless; lazily, it serves on.
mount -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
exec 5<"$MNT/a.log"
status=0
umount "$MNT" 2>"$CASE_DIR/err" || status=$?
assert_eq "$status" 32 "status of umount of a mount in use"
assert grep -q "$MNT: still used by .*bash (pid $$)" "$CASE_DIR/err"
assert mounted "$MNT"
there_and_back -f
exec 5<&-
mount -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
pid=$(stats pid)
exec 5<"$MNT/a.log"
umount -l "$MNT"
refute mounted "$MNT"
refute gone "$pid"
exec 5<&-
wait_until gone "$pid"

kill_both() {
	local supervisor worker
	supervisor=$(stats pid) worker=$(stats worker)
	kill -9 "$supervisor"
	kill -9 "$worker"
	wait_until gone "$supervisor"
	wait_until gone "$worker"
}
# A daemon that has died: umount takes the dead mount away, mount takes over what it left (P6).
mount -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
echo kept >>"$MNT/a.log"
kill_both
umount "$MNT"
mount -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
assert_eq "$(tail -n 1 "$MNT/a.log")" kept
umount "$MNT"
assert_eq "$(tail -n 1 "$LOWER/a.log")" kept

# The same without the umount, while the kernel still knows the root's attributes.
mount -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
echo again >>"$MNT/a.log"
stat "$MNT" >/dev/null
kill_both
mount -t clawfs "$LOWER" "$MNT" -o "$long,uhelper=clawfs,upper=$UPPER"
assert_eq "$(tail -n 1 "$MNT/a.log")" again
umount "$MNT"
assert_eq "$(tail -n 1 "$LOWER/a.log")" again
refute mounted "$MNT"

# --- a user who may (fstab says so) ----------------------------------------------
mkdir "$CASE_DIR/hers"
chown "$ALICE:$ALICE" "$CASE_DIR/hers"
touch /etc/fstab
echo "$CASE_DIR/hers $CASE_DIR/hers fuse.clawfs noauto,user,noallow_other 0 0" >"$fstab"
mount --bind "$fstab" /etc/fstab
MNT=$CASE_DIR/hers LOWER=$CASE_DIR/hers RUN_AS=(as_user "$ALICE")
for who in alice root; do
	as_user "$ALICE" mount "$MNT"
	pid=$(stats pid)
	assert_eq "$(stat -c %u "/proc/$pid")" "$ALICE" "whose daemon it is"
	as_user "$ALICE" sh -c "echo $who >>$MNT/b.log"
	# Root may not look into it, but may take it away.
	if [ $who = root ]; then umount "$MNT"; else as_user "$ALICE" umount "$MNT"; fi
	assert_eq "$(tail -n 1 "$MNT/b.log")" $who "what is there when umount returns"
	wait_until gone "$pid"
done
umount /etc/fstab
umount /run/mount
umount /usr/sbin
