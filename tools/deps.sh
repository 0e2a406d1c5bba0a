#!/bin/bash
# tools/deps.sh build|bench|test|boot: install with apt-get what is missing on a bare
# Debian 12 or 13; says nothing when everything is there.
set -euo pipefail

build=(gcc make pkg-config libc6-dev libfuse3-dev fuse3 libseccomp-dev libsqlite3-dev zlib1g-dev)
# libclang-rt-dev: libFuzzer and clang's sanitizers.
test=(libcmocka-dev clang libclang-rt-dev clang-tidy clang-format cppcheck valgrind rsync git sqlite3 xfsprogs btrfs-progs e2fsprogs psmisc strace
	util-linux mount procps systemd mandoc groff bash-completion)

# dpkg-dev's unpacking is not needed for passthrough_ll's source, xz is.
bench=(eatmydata rsync xfsprogs btrfs-progs e2fsprogs util-linux mount tar xz-utils)

case ${1:-} in
build) wanted=("${build[@]}") ;;
bench)
	wanted=("${build[@]}" "${bench[@]}")
	command -v node >/dev/null || wanted+=(nodejs)
	;;
test)
	wanted=("${build[@]}" "${bench[@]}" "${test[@]}")
	# Any Node.js will do; Debian's own is only for machines without one.
	command -v node >/dev/null || wanted+=(nodejs)
	command -v npm >/dev/null || wanted+=(npm)
	;;
boot) wanted=("${build[@]}" systemd systemd-container dbus dbus-user-session libpam-systemd e2fsprogs procps) ;;
*)
	echo "usage: tools/deps.sh build|bench|test|boot" >&2
	exit 2
	;;
esac

missing=()
for package in "${wanted[@]}"; do
	status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
	[ "$status" = "install ok installed" ] || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "missing packages; install them with: sudo apt-get install ${missing[*]}" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	echo "installing: ${missing[*]}"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	if ! { apt-get -q update && apt-get -q install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		echo "apt-get could not install: ${missing[*]}" >&2
		exit 1
	fi
fi

# promtool out of Debian's package, without the package: that would start a server.
if [ "$1" = test ] && ! command -v promtool >/dev/null && [ ! -x build/tools/promtool ]; then
	dir=$(mktemp -d)
	if ! (cd "$dir" && apt-get -q download prometheus && dpkg-deb -x prometheus_*.deb .) >"$dir/log" 2>&1; then
		tail -n 5 "$dir/log" >&2
		echo "apt-get could not download the package prometheus; the tests need its promtool" >&2
		exit 1
	fi
	mkdir -p build/tools
	mv "$dir/usr/bin/promtool" build/tools/promtool
	rm -rf "$dir"
fi

if [ ! -e /dev/fuse ]; then
	modprobe fuse 2>/dev/null || true
	if [ ! -e /dev/fuse ]; then
		echo "/dev/fuse is missing: the kernel has no FUSE; load the module \"fuse\" or give the container the device" >&2
		exit 1
	fi
fi
