'use strict';
// report.js DIR OUT MINUTES STRACE_MINUTES: puts the pieces in DIR together: a table on stdout,
// JSON in OUT, exit status 1 when a bound of the issue does not hold.
const fs = require('fs');
const path = require('path');
const { args } = require('../mount/node/common.js');
const { quantiles, device, row } = require('./common.js');

const BOUND = 15; // session replaces, and log flushes, a minute

const { rest } = args();
const [dir, out, minutes, straceMinutes] = [rest[0], rest[1], Number(rest[2]), Number(rest[3])];
const json = (name) => JSON.parse(fs.readFileSync(path.join(dir, name), 'utf8'));

function stats(cls) {
  const [before, after] = ['before', 'after'].map((when) => json(`stats.${when}.json`).classes[cls]);
  const delta = (key) => after[key] - before[key];
  return {
    app_writes: delta('app_writes'), app_bytes: delta('app_bytes'), lower_writes: delta('lower_writes'),
    lower_bytes: delta('lower_bytes'), flush_ms: after.flush_ms, errors: delta('errors'),
  };
}

function straced() {
  const lines = fs.readFileSync(path.join(dir, 'strace'), 'utf8').split('\n');
  const count = (pattern) => lines.filter((line) => pattern.test(line)).length;
  return {
    minutes: straceMinutes,
    // Into a directory of the card: the application's own renames happen in the upper.
    replaces: count(/rename(at2?)?\(.*<[^>]*\/card\/[^>]*>, "sessions\.json"(?:, [A-Z_0-9|]+)?(?:\)| <unf)/),
    appends: count(/write(64|v|v2)?\(\d+<[^>]*\/card\/data\/logs\/gateway\.log>/),
    fdatasyncs: count(/ f(data)?sync\(/),
  };
}

const clawfs = json('clawfs.json');
const plain = json('plain.json');
const result = {
  minutes,
  log_append_ms: { clawfs: quantiles(clawfs.log), plain: quantiles(plain.log) },
  session_save_ms: { clawfs: quantiles(clawfs.save), plain: quantiles(plain.save) },
  device_per_minute: { clawfs: device(dir, 'card', minutes), plain: device(dir, 'plain', minutes) },
  stats: { log: stats('log'), snapshot: stats('snapshot') },
  inotify: json('observe.json'),
  strace: straced(),
  daemon_peak_kib: json('observe.json').kib,
  byte_checks_through_the_mount: json('verify.json').looks,
};
delete result.inotify.kib;

const bounds = {
  'session replaces a minute (stats)': result.stats.snapshot.lower_writes / minutes,
  'session replaces, worst minute (inotify)': result.inotify.replaces_worst_minute,
  'session replaces a minute (strace)': result.strace.replaces / straceMinutes,
  'log flushes a minute (stats)': result.stats.log.lower_writes / minutes,
  'log flushes, worst minute (inotify)': result.inotify.appends_worst_minute,
  'log flushes a minute (strace)': result.strace.appends / straceMinutes,
};
const broken = Object.entries(bounds).filter(([, value]) => !(value > 0 && value <= BOUND));
result.bounds = bounds;
result.passed = broken.length === 0;
fs.writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);

row(`${minutes} min, 1250 lines and 300 saves a minute`, 'clawfs', 'plain ext4');
for (const [label, key] of [['log append', 'log_append_ms'], ['session save', 'session_save_ms']]) {
  for (const q of ['p50', 'p95', 'p99']) row(`${label} ${q}, ms`, result[key].clawfs[q], result[key].plain[q]);
}
const { clawfs: card, plain: other } = result.device_per_minute;
row('device writes a minute', card.writes, other.writes);
row('MiB written a minute', card.mib, other.mib);
row('cache flushes a minute', card.flushes, other.flushes);
row('daemon, peak RSS / PSS / private KiB', Object.values(result.daemon_peak_kib).join(' / '));
console.log();
row('by the stats', 'app writes', 'lower writes');
row('log lines', result.stats.log.app_writes, result.stats.log.lower_writes);
row('session store', result.stats.snapshot.app_writes, result.stats.snapshot.lower_writes);
console.log();
for (const [label, value] of Object.entries(bounds)) row(label, value, value > 0 && value <= BOUND ? 'ok' : `NOT 1..${BOUND}`);
row('byte checks through the mount', result.byte_checks_through_the_mount, 'ok');
process.exit(result.passed ? 0 : 1);
