'use strict';
// sqlite-report.js DIR OUT MINUTES BULK: puts the pieces in DIR together: a table on stdout, JSON in
// OUT, exit status 1 when a bound does not hold.
const fs = require('fs');
const path = require('path');
const { args } = require('../mount/node/common.js');
const { quantiles, device, row } = require('./common.js');

const { rest } = args();
const [dir, out, minutes, bulk] = [rest[0], rest[1], Number(rest[2]), Number(rest[3])];
const lines = (name) => fs.readFileSync(path.join(dir, name), 'utf8').trim().split('\n');
const latencies = (name) => quantiles(lines(`${name}.latencies`).map(Number));
const ratio = (a, b) => Number((a / b).toFixed(3));

// Per part the best of its rounds: what else runs on the machine only ever adds.
function bulkOf(name) {
  if (!fs.existsSync(path.join(dir, `bulk.${name}`))) return null;
  const parts = {};
  for (const line of lines(`bulk.${name}`)) {
    const [part, ms] = line.split(' ');
    (parts[part] ??= []).push(Number(ms));
  }
  const best = {};
  for (const [part, times] of Object.entries(parts)) best[part] = Math.min(...times);
  best.total = Number(Object.values(best).reduce((sum, ms) => sum + ms, 0).toFixed(1));
  return best;
}

const insert = { clawfs: latencies('card'), plain: latencies('plain') };
const devices = { clawfs: device(dir, 'card', minutes), plain: device(dir, 'plain', minutes) };
// 10^6, as cards are sold.
for (const d of Object.values(devices)) d.mb = Number((d.mib * 1.048576).toFixed(2));
const bulks = { plain: bulkOf('plain'), 'plain, WAL': bulkOf('plain-wal') };
for (const how of ['auto', 'off', 'none']) {
  const of = bulkOf(`clawfs-${how}`);
  if (of) bulks[`passthrough=${how}`] = of;
}

const bounds = [
  ['device writes a minute', devices.clawfs.writes, 340],
  ['cache flushes a minute', devices.clawfs.flushes, 60],
  ['MB a minute', devices.clawfs.mb, 24],
  ['insert p50, clawfs/plain', ratio(insert.clawfs.p50, insert.plain.p50), 0.25],
];
for (const [how, most] of [['auto', 1.25], ['off', 2], ['none', 2]]) {
  const of = bulks[`passthrough=${how}`];
  for (const part of Object.keys(of ?? {})) {
    bounds.push([`bulk ${part}, passthrough=${how}/plain`, ratio(of[part], bulks.plain[part]), most]);
  }
}
const stats = JSON.parse(fs.readFileSync(path.join(dir, 'stats.json'), 'utf8')).sqlite?.['memory/main.sqlite'] ?? null;
const result = {
  minutes,
  insert_ms: insert,
  device_per_minute: devices,
  bulk_rows: bulk,
  bulk_ms: bulks,
  stats,
  bounds: bounds.map(([what, value, most]) => ({ what, value, most, holds: value <= most })),
};
result.passed = result.bounds.every(({ holds }) => holds);
fs.writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);

row(`${minutes} min, 125 chunks a minute`, 'clawfs', 'plain ext4');
for (const q of ['p50', 'p95', 'p99', 'max']) row(`insert ${q}, ms`, insert.clawfs[q], insert.plain[q]);
for (const [label, key] of [['device writes a minute', 'writes'], ['MB written a minute', 'mb'], ['cache flushes a minute', 'flushes']]) {
  row(label, devices.clawfs[key], devices.plain[key]);
}
if (stats) row('fsyncs asked / done / elided', `${stats.fsyncs_asked} / ${stats.fsyncs_done} / ${stats.fsyncs_elided}`);
console.log();
row(`bulk, ${bulk} rows, ms`, ...Object.keys(bulks.plain));
for (const [name, of] of Object.entries(bulks)) row(name, ...Object.values(of));
console.log();
for (const { what, value, most, holds } of result.bounds) row(what, value, holds ? 'ok' : `NOT <= ${most}`);
process.exit(result.passed ? 0 : 1);
