'use strict';
// What the reports of the measurements share.
const fs = require('fs');
const path = require('path');

function quantiles(latencies) {
  const sorted = [...latencies].sort((a, b) => a - b);
  const at = (q) => Number(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(3));
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

// Per minute, from NAME.before and NAME.after in `dir`. Fields of /sys/block/X/stat: 4 writes,
// 6 sectors written, 15 flushes.
function device(dir, name, minutes) {
  const [before, after] = ['before', 'after'].map((when) => fs.readFileSync(path.join(dir, `${name}.${when}`), 'utf8')
    .trim().split(/\s+/).map(Number));
  const perMinute = (i) => Number(((after[i] - before[i]) / minutes).toFixed(2));
  return { writes: perMinute(4), mib: Number((perMinute(6) / 2048).toFixed(2)), flushes: perMinute(15) };
}

const row = (label, ...cells) => console.log(label.padEnd(42) + cells.map((cell) => String(cell).padStart(12)).join(''));

module.exports = { quantiles, device, row };
