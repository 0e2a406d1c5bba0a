#!/bin/bash
# tests/boot/run.sh BUILD: boots systemd in a container with the units as `make install` puts them, gateways that write into
# directories mounted in all the ways there are, and powers it off under them. Each write that was acknowledged must be
# on the lower then (P8). About a minute. As root; wants systemd-nspawn.
#
# The container's root is this machine's, under an overlay in RAM: what is installed here is there, and nothing here changes.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: tests/boot/run.sh BUILD" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(realpath "$1")
die() {
	echo "tests/boot/run.sh: $*" >&2
	exit 1
}
[ "$(id -u)" -eq 0 ] || die "wants root; run it with sudo"
[ -c /dev/fuse ] || die "/dev/fuse is missing"
command -v systemd-nspawn >/dev/null || die "systemd-nspawn is missing; install it with: apt-get install systemd-container"

work=$(mktemp -d /tmp/clawfs-boot.XXXXXX)
nspawn=
clean_up() {
	# The container's first process; everything in it ends with it.
	if [ -n "$nspawn" ]; then
		for pid in $(pgrep -P "$nspawn" || true); do kill -9 "$pid" 2>/dev/null || true; done
		wait "$nspawn" 2>/dev/null || true
	fi
	for mnt in "$work/root" "$work/card" "$work/ram"; do
		mountpoint -q "$mnt" && umount -R "$mnt" || true
	done
	rm -rf "$work"
}
trap clean_up EXIT

# --- the machine -----------------------------------------------------------
mkdir "$work/root" "$work/ram" "$work/card"
mount -t tmpfs -o mode=755 none "$work/ram"
mkdir "$work/ram/upper" "$work/ram/work"
# As udev leaves it for ordinary users.
mknod -m 666 "$work/ram/fuse" c 10 229
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/ram/upper,workdir=$work/ram/work" "$work/root"
truncate -s 256M "$work/card.img"
mkfs.ext4 -q -F "$work/card.img"
mount -o loop "$work/card.img" "$work/card"
m=$work/root
mkdir -p "$work/card/home/pi/.secureclaw" "$work/card/home/pi/.openclaw" "$work/card/srv/fstab" "$work/card/srv/mountunit"
chown -R 1000:1000 "$work/card/home/pi"
chmod 700 "$work/card/home/pi/.secureclaw" "$work/card/home/pi/.openclaw"

rm -f "$m/etc/machine-id" "$m/etc/hostname"
: >"$m/etc/machine-id"
printf 'root:x:0:0:root:/root:/bin/bash\n' >"$m/etc/passwd.new"
grep -v -e '^root:' -e '^[^:]*:[^:]*:1000:' /etc/passwd >>"$m/etc/passwd.new"
printf 'pi:x:1000:1000::/home/pi:/bin/bash\n' >>"$m/etc/passwd.new"
mv "$m/etc/passwd.new" "$m/etc/passwd"
{ grep -v -e '^[^:]*:[^:]*:1000:' /etc/group; echo 'pi:x:1000:'; } >"$m/etc/group.new"
mv "$m/etc/group.new" "$m/etc/group"
{ grep -v '^pi:' /etc/shadow; echo 'pi:*:19000:0:99999:7:::'; } >"$m/etc/shadow.new"
chmod 600 "$m/etc/shadow.new"
mv "$m/etc/shadow.new" "$m/etc/shadow"
rm -rf "$m/etc/systemd/system/multi-user.target.wants" "$m/var/log/journal" "$m/var/lib/systemd/linger"
mkdir -p "$m/var/lib/systemd/linger" "$m/boot-test"
: >"$m/var/lib/systemd/linger/pi"
chmod 1777 "$m/boot-test"

# --- clawfs, as a person installs it ---------------------------------------
# `uninstall` first: whatever this machine has of an earlier one.
for target in uninstall install; do
	make --no-print-directory -C "$root" BUILD="$build" DESTDIR="$m" $target >"$work/make.log" 2>&1 || {
		cat "$work/make.log"
		die "make $target failed"
	}
done
${CC:-cc} -Wall -Wextra -Werror -O1 -D_GNU_SOURCE "$root/tests/boot/writer.c" -o "$m/boot-test/writer" -lsqlite3
install -m 755 "$root/tests/boot/inside.sh" "$m/boot-test/inside.sh"

system=$(systemd-escape --template=clawfs@.service --path /home/pi/.secureclaw)
user=$(systemd-escape --template=clawfs@.service --path /home/pi/.openclaw)
etc=$m/etc/systemd
mkdir -p "$etc/system/boot-test.target.wants" "$etc/system/$system.d" "$etc/user/default.target.wants"
echo '/srv/fstab /srv/fstab fuse.clawfs nofail,uhelper=clawfs 0 0' >"$m/etc/fstab"
sed 's|/home/pi/.secureclaw|/srv/mountunit|' "$root/tools/systemd/home-pi-.secureclaw.mount" >"$etc/system/srv-mountunit.mount"
printf '[Service]\nWatchdogSec=3s\n' >"$etc/system/$system.d/test.conf"

# gateway NAME DIR ACKS USER [UNIT LINES]: a unit that knows nothing of clawfs but the order that ours ask for.
gateway() {
	printf '%s\n' '[Unit]' "Description=writes into $2" 'StartLimitIntervalSec=0' "${5:-}" '[Service]' "User=$4" \
		"ExecStart=/boot-test/writer $2 /boot-test/acks.$3" 'Restart=on-failure' 'RestartSec=100ms'
}
gateway secureclaw-gateway /home/pi/.secureclaw system pi >"$etc/system/secureclaw-gateway.service"
# Another one beside it in the same mount: only looks after the order of the second name.
printf '%s\n' '[Service]' 'ExecStart=/bin/sh -c "exec 3</home/pi/.secureclaw/.clawfs/stats; sleep infinity"' \
	'Restart=always' 'RestartSec=100ms' >"$etc/system/openclaw-gateway.service"
gateway gateway-fstab /srv/fstab fstab root >"$etc/system/gateway-fstab.service"
gateway gateway-mountunit /srv/mountunit mountunit root 'After=srv-mountunit.mount' >"$etc/system/gateway-mountunit.service"
gateway openclaw-gateway /home/pi/.openclaw user pi | sed '/^User=/d' >"$etc/user/openclaw-gateway.service"
ln -s ../openclaw-gateway.service "$etc/user/default.target.wants/"
ln -s "/usr/local/lib/systemd/user/clawfs@.service" "$etc/user/default.target.wants/$user"
cat >"$etc/system/boot-test.service" <<-END
	[Unit]
	Description=the test
	[Service]
	Type=oneshot
	ExecStart=/boot-test/inside.sh
	StandardOutput=append:/boot-test/inside.log
	StandardError=append:/boot-test/inside.log
END
cat >"$etc/system/boot-test.target" <<-END
	[Unit]
	Requires=basic.target
	After=basic.target
	AllowIsolate=yes
END
wants=$etc/system/boot-test.target.wants
for unit in secureclaw-gateway openclaw-gateway gateway-fstab gateway-mountunit boot-test; do
	ln -s "../$unit.service" "$wants/"
done
ln -s "/usr/local/lib/systemd/system/clawfs@.service" "$wants/$system"
ln -s ../srv-mountunit.mount "$wants/"
for unit in systemd-logind dbus systemd-user-sessions; do ln -s "/lib/systemd/system/$unit.service" "$wants/"; done

# The units as installed: not a word from systemd-analyze.
chroot "$m" systemd-analyze verify --man=no "/usr/local/lib/systemd/system/$system" /usr/local/lib/systemd/system/clawfs.target \
	/etc/systemd/system/srv-mountunit.mount >"$work/verify" 2>&1 || die "systemd-analyze verify: $(cat "$work/verify")"
[ ! -s "$work/verify" ] || die "systemd-analyze verify: $(cat "$work/verify")"

# --- boot, and wait for its end ----------------------------------------------
start=$SECONDS
systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --machine=clawfs-boot --directory="$m" \
	--bind="$work/ram/fuse:/dev/fuse" --bind="$work/card/home:/home" --bind="$work/card/srv:/srv" \
	--boot systemd.unit=boot-test.target systemd.log_target=console >"$work/console" 2>&1 </dev/null &
nspawn=$!
for ((i = 0; i < 3000; i++)); do
	kill -0 "$nspawn" 2>/dev/null || break
	sleep 0.1
done
log=$m/boot-test/inside.log
status=0
if kill -0 "$nspawn" 2>/dev/null; then
	echo "the container did not power off within 300 s"
	status=1
else
	wait "$nspawn" || status=$?
	nspawn=
	[ $status -eq 0 ] || echo "the container ended with status $status"
fi
cat "$log" 2>/dev/null || true
if ! grep -qsx 'inside: powering off' "$log"; then status=1; fi

# --- what is on the card -------------------------------------------------------
check() {
	echo "== $1"
	"$m/boot-test/writer" --check "$work/card/$1" "$m/boot-test/acks.$2" || status=1
	[ ! -e "$work/card/$1/.clawfs" ] || { echo "$1/.clawfs is left"; status=1; }
}
check home/pi/.secureclaw system
check home/pi/.openclaw user
check srv/fstab fstab
check srv/mountunit mountunit
if [ $status -ne 0 ]; then
	echo "--- the console"
	tail -n 80 "$work/console"
	die "failed"
fi
echo "boot: ok ($((SECONDS - start)) s from boot to power off)"
