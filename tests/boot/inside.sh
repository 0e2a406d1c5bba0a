#!/bin/bash
# Runs in the booted container, as a unit: looks at the units, breaks what may be broken, and powers off while all gateways
# write. What it says, and that it came to its end, is read by run.sh.
set -euo pipefail
give_up() {
	trap - ERR
	set +e
	echo "inside: line $1: \"$2\" failed"
	journalctl --no-pager -b -u "$unit" | tail -n 40
	systemctl status --no-pager user@1000 systemd-logind
	journalctl --no-pager -b _UID=1000 | grep -v 'writer\[' | tail -n 30
	systemctl poweroff --no-block
}
trap 'give_up "$LINENO" "$BASH_COMMAND"' ERR

unit=$(systemd-escape --template=clawfs@.service --path /home/pi/.secureclaw)
dir=/home/pi/.secureclaw
property() { systemctl show -P "$1" "$unit"; }
# until_true SECONDS COMMAND...
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "inside: waited in vain for: $*"; return 1; }
		sleep 0.1
	done
}

echo "inside: $(systemctl --version | head -n 1), kernel $(uname -r)"
# Everybody sees the mount, not the unit alone, and the gateways came after it.
for place in $dir /srv/fstab /srv/mountunit; do
	until_true 60 findmnt -n -t fuse.clawfs --mountpoint $place
	until_true 60 test -s $place/logs/gateway.log
done
until_true 60 systemctl is-active --quiet "$unit"
[ "$(property Type)" = notify ]
[ "$(property MemoryMax)" = 536870912 ]
[ "$(property WatchdogUSec)" = 3s ]
property StatusText | grep -q "mounted on $dir"
for gateway in secureclaw-gateway openclaw-gateway gateway-fstab gateway-mountunit; do
	until_true 60 systemctl is-active --quiet $gateway
done
echo "inside: all mounts serve, all gateways write"

# What a person does.
clawfsctl status $dir
clawfsctl doctor $dir || [ $? -eq 5 ]
clawfsctl flush $dir
systemctl reload "$unit"
until_true 60 journalctl -q --no-pager -u "$unit" --grep SIGHUP

# The worker killed: the supervisor has another, and systemd need not know.
worker() { sed -n 's/.*"worker":\([0-9]*\).*/\1/p' $dir/.clawfs/stats.json; }
before=$(worker)
kill -9 "$before"
until_true 60 sh -c "[ \$(sed -n 's/.*\"worker\":\([0-9]*\).*/\1/p' $dir/.clawfs/stats.json) != $before ]"
[ "$(property NRestarts)" -eq 0 ]
# Killed: started anew, nothing is lost, and the gateway is started anew by its own unit.
main=$(property MainPID)
kill -9 "$main"
until_true 60 sh -c "[ \$(systemctl show -P NRestarts '$unit') -eq 1 ]"
until_true 60 cat $dir/.clawfs/stats
# Hung: the watchdog kills it.
kill -STOP "$(worker)"
until_true 90 sh -c "[ \$(systemctl show -P NRestarts '$unit') -eq 2 ]"
until_true 60 cat $dir/.clawfs/stats
until_true 60 systemctl is-active --quiet secureclaw-gateway
echo "inside: came back after SIGKILL and after a hang"

sleep 1

# Stopping waits until everything is on the card, and takes the mount away.
systemctl stop secureclaw-gateway openclaw-gateway
systemctl stop "$unit"
! findmnt -n -t fuse.clawfs --mountpoint $dir
/boot-test/writer --check $dir /boot-test/acks.system
systemctl start "$unit" secureclaw-gateway openclaw-gateway
echo "inside: systemctl stop left everything on the card"

# A user's own mount, by the user's own manager.
pi() { setpriv --reuid 1000 --regid 1000 --init-groups env HOME=/home/pi XDG_RUNTIME_DIR=/run/user/1000 "$@"; }
until_true 60 pi systemctl --user is-active --quiet "$(systemd-escape --template=clawfs@.service --path /home/pi/.openclaw)"
until_true 60 pi test -s /home/pi/.openclaw/logs/gateway.log
pi clawfsctl status /home/pi/.openclaw
echo "inside: the user's mount serves"

sleep 3
echo "inside: powering off"
systemctl poweroff --no-block
