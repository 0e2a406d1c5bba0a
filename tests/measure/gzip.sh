#!/bin/bash
# tests/measure/gzip.sh PROGRAM [BYTES]: a day's log of 100 MB (BYTES), compressed by
# PROGRAM (`make build/measure/gzip`) and read back through the view. Prints CPU seconds
# and peak memory; fails when it does not come under 12 % or a byte differs.
set -euo pipefail

[ $# -ge 1 ] || {
	echo "usage: tests/measure/gzip.sh PROGRAM [BYTES]" >&2
	exit 2
}
program=$(realpath "$1")
bytes=${2:-100000000}
work=$(mktemp -d /dev/shm/clawfs-gzip.XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"

"$program" lines "$bytes" log
head -n 3 log
printf '%-22s %12s %8s %8s %8s\n' '' bytes 'user s' 'sys s' 'KiB'
"$program" idle
"$program" write log log.gz
"$program" verify log.gz
"$program" sequential log.gz log
"$program" random log.gz log 1000

zcat log.gz | cmp - log
plain=$(stat -c %s log)
packed=$(stat -c %s log.gz)
awk -v a="$plain" -v b="$packed" 'BEGIN { printf "%d of %d bytes: %.1f %%, ratio %.2f\n", b, a, 100 * b / a, a / b }'
if [ $((packed * 100)) -gt $((plain * 12)) ]; then
	echo "more than 12 %" >&2
	exit 1
fi
