#!/bin/bash
# tools/bench/passthrough-ll.sh OUT: builds libfuse's own passthrough_ll, the least that a FUSE file system can
# cost, to OUT. No Debian package has it, so it comes from the source package of the installed libfuse. Nothing of
# apt's own lists and sources is touched.
set -euo pipefail

[ $# -eq 1 ] || {
	echo "usage: tools/bench/passthrough-ll.sh OUT" >&2
	exit 2
}
out=$(realpath -m "$1")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/lists" "$tmp/source"
. /etc/os-release
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keyring] http://deb.debian.org/debian $VERSION_CODENAME main" >"$tmp/sources.list"
apt=(apt-get -q -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$tmp/lists"
	-o Acquire::Retries=2 -o APT::Sandbox::User=root)
cd "$tmp/source"
if ! { "${apt[@]}" update && "${apt[@]}" source --download-only fuse3; } >"$tmp/log" 2>&1; then
	tail -n 3 "$tmp/log" >&2
	echo "passthrough-ll.sh: the source package fuse3 could not be fetched; put a passthrough_ll at $out yourself" >&2
	exit 1
fi
tar xf fuse3_*.orig.tar.?z --strip-components=1 --wildcards '*/example/passthrough_*.[ch]'
: >example/config.h
mkdir -p "$(dirname "$out")"
# shellcheck disable=SC2046
${CC:-cc} -O2 -w -Iexample -o "$out" example/passthrough_ll.c $(pkg-config --cflags --libs fuse3)
