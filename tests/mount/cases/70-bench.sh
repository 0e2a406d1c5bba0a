#!/bin/bash
# timeout: 100
# tools/bench/run.sh, seconds of it: it measures, says no more of a power cut than P4 and
# P3 allow, and leaves nothing when it ends or is interrupted. And its judge sees what is lost or damaged.
. "$TESTS/lib.sh"

ROOT=$(cd "$TESTS/../.." && pwd)
BUILD=$(dirname "$CLAWFS")
export BENCH_RAM=$SHM_DIR
# A job in the background of a script ignores SIGINT otherwise.
bench=(env --default-signal=INT "$ROOT/tools/bench/run.sh" "$BUILD" --rows=200 --out="$CASE_DIR")
nothing_left() {
	refute test -n "$(find "$SHM_DIR" -mindepth 1 -maxdepth 1)"
	refute grep -q "$SHM_DIR/" /proc/self/mountinfo
	refute grep -q -e "$SHM_DIR/" -e "$CASE_DIR/" <(losetup -n -l -O BACK-FILE)
	refute compgen -G "$CASE_DIR/clawfs-bench.*"
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

# Interrupted in the load, with the image on a disk.
"${bench[@]}" --seconds=60 --images="$CASE_DIR" clawfs >"$CASE_DIR/bench.out" 2>&1 &
pid=$!
loading() { grep -q . "$SHM_DIR"/clawfs-bench.*/raw/clawfs/before; }
wait_until loading
assert grep -q "$CASE_DIR/clawfs-bench" <(losetup -n -l -O BACK-FILE)
kill -INT "$pid"
status=0
wait "$pid" || status=$?
assert_eq "$status" 130
nothing_left

# The judge. Where nothing is wrong it finds nothing; then what we break.
load=$BUILD/bench/load
data=$CASE_DIR/data
options=(--rows=50 --seconds=2)
mkdir "$CASE_DIR/acks"
"$load" setup "$data" "${options[@]}"
"$load" run "$data" "$CASE_DIR/acks" "${options[@]}" >"$CASE_DIR/load.json"
judge() {
	local status=0
	"$load" check "$data" "$CASE_DIR/acks" "$("$load" now)" "${options[@]}" >"$CASE_DIR/judged" || status=$?
	echo "$status"
}
judged() { node "$NODE/get.js" "$1" <"$CASE_DIR/judged"; }
assert_eq "$(judge)" 0
assert_eq "$(judged log.acked)" 41
log=$data/logs/gateway.log
cp "$log" "$CASE_DIR/whole"
head -n -3 "$CASE_DIR/whole" >"$log"
assert_eq "$(judge)" 3
assert_eq "$(judged log.lost) $(judged log.damage)" '3 null'
truncate -s +100 "$log"
assert_eq "$(judge) $(judged log.lost) $(judged log.damage)" '3 3 NUL bytes, 100 bytes'
head -c -10 "$CASE_DIR/whole" >"$log"
judge
assert grep -q 'half a line at the end' <(judged log.damage)
cp "$CASE_DIR/whole" "$log"
store=$data/agents/main/sessions/sessions.json
cp "$store" "$CASE_DIR/whole"
head -c 50000 "$CASE_DIR/whole" >"$store"
assert_eq "$(judge) $(judged save.damage)" '3 torn'
: >"$store"
assert_eq "$(judge) $(judged save.damage)" '3 empty'
cp "$CASE_DIR/whole" "$store"
sqlite3 "$data/memory/main.sqlite" 'delete from chunks where updated_at = 20'
assert_eq "$(judge)" 3
assert grep -q 'no prefix' <(judged insert.damage)
dd if=/dev/urandom of="$data/memory/main.sqlite" bs=4096 seek=2 count=20 conv=notrunc status=none
assert_eq "$(judge)" 3
refute test null = "$(judged insert.damage)"
