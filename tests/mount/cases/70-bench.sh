#!/bin/bash
# timeout: 100
# tools/bench/run.sh, seconds of it: it measures, says no more of a power cut than P4 and
# P3 allow, and leaves nothing when it ends or is interrupted.
. "$TESTS/lib.sh"

ROOT=$(cd "$TESTS/../.." && pwd)
BUILD=$(dirname "$CLAWFS")
export BENCH_RAM=$SHM_DIR
# A job in the background of a script ignores SIGINT otherwise.
bench=(env --default-signal=INT "$ROOT/tools/bench/run.sh" "$BUILD" --rows=200 --out="$CASE_DIR")
nothing_left() {
	refute test -n "$(find "$SHM_DIR" -mindepth 1 -maxdepth 1)"
	refute grep -q "$SHM_DIR/" /proc/self/mountinfo
	refute grep -q "$SHM_DIR/" <(losetup -n -l -O BACK-FILE)
}

"${bench[@]}" --seconds=2 --cuts=1 --cut-seconds=4 ext4 clawfs >"$CASE_DIR/bench.out" 2>&1 ||
	fail "it failed: $(cat "$CASE_DIR/bench.out")"
nothing_left
result() { node "$NODE/get.js" "$1" <"$CASE_DIR/bench.json"; }
for i in 0 1; do
	assert_eq "$(result configurations.$i.ops.save.count)" 10
	assert_eq "$(result configurations.$i.losses.cuts)" 1
done
assert_eq "$(result configurations.1.losses.damage.length)" 0
# Much less than ext4 even in two seconds.
node -e 'process.exit(Number(process.argv[1]) < 0.7 * Number(process.argv[2]) ? 0 : 1)' \
	"$(result configurations.1.device.writes)" "$(result configurations.0.device.writes)" ||
	fail "no fewer writes than ext4: $(cat "$CASE_DIR/bench.out")"
assert grep -q 'session save p50 / ext4' "$CASE_DIR/bench.out"
assert grep -q '</svg>' "$CASE_DIR/bench.html"

# Interrupted in the load.
"${bench[@]}" --seconds=60 --cuts=0 clawfs >"$CASE_DIR/bench.out" 2>&1 &
pid=$!
loading() { grep -q . "$SHM_DIR"/clawfs-bench.*/raw/clawfs/before; }
wait_until loading
kill -INT "$pid"
status=0
wait "$pid" || status=$?
assert_eq "$status" 130
nothing_left
