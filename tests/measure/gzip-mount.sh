#!/bin/bash
# tests/measure/gzip-mount.sh CLAWFS GZIP [BYTES]: what it takes on a real mount to compress a log of a day (100 MB of
# JSON lines, made by GZIP, build/measure/gzip) and to read it back by both names. As root.
set -euo pipefail
clawfs=$(realpath "$1")
program=$(realpath "$2")
bytes=${3:-100000000}
work=$(mktemp -d)
shm=$(mktemp -d /dev/shm/clawfs-gzip.XXXXXX)
trap 'fusermount3 -u "$work/mnt" 2>/dev/null || true; wait; rm -rf "$work" "$shm"' EXIT
mkdir -p "$work/low/logs" "$work/mnt"
"$program" lines "$bytes" "$work/log"
cp "$work/log" "$work/low/logs/day.log"
"$clawfs" "$work/low" "$work/mnt" -f -o "upper=$shm,log_gzip_age_ms=0" >"$work/said" 2>&1 &
until grep -q "$work/mnt fuse" /proc/self/mounts && cat "$work/mnt/.clawfs/stats.json" >/dev/null 2>&1; do sleep 0.1; done
stat_of() { node -p "JSON.parse(require('fs').readFileSync('$work/mnt/.clawfs/stats.json')).$1"; }
worker=$(stat_of worker)
peak() { awk '/^VmHWM/ { print $2 }' "/proc/$worker/status"; }
cpu() { awk '{ print ($14 + $15) / 100 }' "/proc/$worker/stat"; }
echo "before: peak $(peak) KiB, CPU $(cpu) s"
until [ -e "$work/low/logs/day.log.gz" ] && [ ! -e "$work/low/logs/day.log" ]; do sleep 0.2; done
sleep 0.5
echo "compressed: peak $(peak) KiB, CPU $(cpu) s, of the compressing thread $(stat_of logs.gzip_cpu_ms) ms"
echo 5 >"/proc/$worker/clear_refs"
before=$(cpu)
zcat "$work/mnt/logs/day.log.gz" | cmp - "$work/log"
cmp "$work/mnt/logs/day.log" "$work/log"
echo "read back by both names: peak $(peak) KiB, CPU $before to $(cpu) s"
plain=$(stat -c %s "$work/log")
packed=$(stat -c %s "$work/low/logs/day.log.gz")
awk -v a="$plain" -v b="$packed" 'BEGIN { printf "%d of %d bytes: %.1f %%, ratio %.2f\n", b, a, 100 * b / a, a / b }'
[ $((packed * 100)) -le $((plain * 12)) ]
