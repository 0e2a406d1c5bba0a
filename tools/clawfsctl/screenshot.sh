#!/bin/bash
# tools/clawfsctl/screenshot.sh BUILD OUT.svg: mounts a directory of its own, lets a gateway-like writer into it for a while, and
# draws a frame of `clawfsctl top` as an SVG.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: tools/clawfsctl/screenshot.sh BUILD OUT.svg" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "$1")
work=$(mktemp -d)
dir=$work/.secureclaw
mkdir "$dir"
clean_up() {
	touch "$work/stop"
	wait
	"$build/clawfsctl" umount --force "$dir" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap clean_up EXIT
"${CC:-cc}" -O1 -D_GNU_SOURCE "$here/../../tests/boot/writer.c" -o "$work/writer" -lsqlite3
"$build/clawfs" "$dir" -o "logfile=$work/log"
"$work/writer" "$dir" "$work/acks" "$work/stop" &
sleep "${SECONDS_OF_LOAD:-70}"
"$build/clawfsctl" top --once "$dir" | sed "s|$work|/home/pi|g" >"$work/frame"
awk -v rows="$(wc -l <"$work/frame")" '
	BEGIN {
		line = 18; width = 860; height = rows * line + 24
		printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\">\n", width, height
		printf "<rect width=\"100%%\" height=\"100%%\" rx=\"6\" fill=\"#1e1e1e\"/>\n"
		printf "<g font-family=\"monospace\" font-size=\"13\" fill=\"#d8d8d8\" xml:space=\"preserve\">\n"
	}
	{ gsub(/&/, "\\&amp;"); gsub(/</, "\\&lt;"); printf "<text x=\"14\" y=\"%d\">%s</text>\n", NR * line + 8, $0 }
	END { print "</g>\n</svg>" }' "$work/frame" >"$2"
cat "$work/frame"
