'use strict';
// report.js RAW OUT: puts the pieces that run.sh left in RAW together: OUT/bench.json, OUT/bench.html, and a
// table on stdout. Exit status 0 also when a bound is missed: it is a measurement.
const fs = require('fs');
const os = require('os');
const path = require('path');
const { page } = require('./page.js');
const { print } = require('./table.js');

const [raw, out] = process.argv.slice(2);
const read = (...names) => fs.readFileSync(path.join(raw, ...names), 'utf8');
const exists = (...names) => fs.existsSync(path.join(raw, ...names));
const tabbed = (name) => read(name).trim().split('\n').map((line) => line.split('\t'));

// Per minute of load. Fields of /sys/block/X/stat: 4 writes, 6 sectors written, 15 flushes.
function device(name, minutes) {
  const [before, after] = ['before', 'after'].map((when) => read(name, when).trim().split(/\s+/).map(Number));
  const perMinute = (i) => (after[i] - before[i]) / minutes;
  return { writes: perMinute(4), mb: (perMinute(6) * 512) / 1e6, flushes: perMinute(15) };
}

// What the class counters of clawfs say was asked and done, per minute.
function classes(name, minutes) {
  if (!exists(name, 'stats.after.json')) return null;
  const [before, after] = ['before', 'after'].map((when) => JSON.parse(read(name, `stats.${when}.json`)).classes);
  const result = {};
  for (const [cls, values] of Object.entries(after)) {
    const of = {};
    for (const key of ['app_writes', 'app_bytes', 'lower_writes', 'lower_bytes']) {
      if (typeof values[key] === 'number') of[key] = (values[key] - (before[cls]?.[key] ?? 0)) / minutes;
    }
    result[cls] = of;
  }
  return result;
}

// Of each stream the worst of all cuts, and what was damaged.
function losses(name) {
  if (!exists(name, 'cuts')) return null;
  const cuts = read(name, 'cuts').trim().split('\n').map((line) => JSON.parse(line));
  const { late_ms: late } = JSON.parse(read(name, 'cuts.load.json'));
  const result = { cuts: cuts.length, seconds: 0, late_ms: late, streams: {}, damage: [] };
  for (const stream of ['log', 'save', 'insert', 'transcript']) {
    const all = cuts.map((cut) => cut[stream]);
    const damaged = all.filter(({ damage }) => damage !== null);
    result.streams[stream] = {
      seconds: Math.max(...all.map(({ seconds }) => seconds)),
      lost: Math.max(...all.map(({ lost }) => lost)),
      none: all.every(({ acked }) => acked === 0),
      everything: all.every(({ present }) => present === 0),
      damaged: damaged.length,
    };
    if (damaged.length > 0) result.damage.push({ stream, cuts: damaged.length, example: damaged[0].damage });
    result.seconds = Math.max(result.seconds, result.streams[stream].seconds);
  }
  result.everything = Object.values(result.streams).every(({ none, everything }) => none || everything);
  return result;
}

const ratio = (value, base) => (base > 0 ? value / base : null);

// Against plain ext4 in the same run.
function ratios(of, base) {
  const result = {};
  for (const key of ['writes', 'mb', 'flushes']) result[key] = ratio(of.device[key], base.device[key]);
  for (const [op, values] of Object.entries(of.ops)) {
    for (const q of ['p50', 'p99']) result[`${op}_${q}`] = ratio(values[q], base.ops[op][q]);
  }
  return result;
}

// The project's goals: [what, value, at most]. Those for latencies are for the kernel's passthrough, and on a
// card in RAM or on a synthetic one.
function bounds(of, slow) {
  const { ratios: r, losses: l } = of;
  const latencies = slow
    ? [['insert p50 / ext4', r.insert_p50, 0.02], ['session save p99 / ext4', r.save_p99, 0.5]]
    : [['log append p50 / ext4', r.log_p50, 2.5], ['session save p50 / ext4', r.save_p50, 1.2], ['session save p99 / ext4', r.save_p99, 1],
      ['insert p50 / ext4', r.insert_p50, 0.25], ['query p50 / ext4', r.query_p50, 1.2]];
  const writes = slow ? [] : [['MB a minute / ext4', r.mb, 0.32], ['device writes / ext4', r.writes, 0.1], ['flushes / ext4', r.flushes, 0.07]];
  const process = [['PSS, MiB', of.daemon.pss_mib, 16], ['CPU, % of one core', of.daemon.cpu_percent, 3]];
  const windows = l ? [['log lost at a power cut, s', l.streams.log.seconds, 5], ['transcripts lost, s', l.streams.transcript.seconds, 2],
    ['session saves lost, s', l.streams.save.seconds, 5], ['commits lost, s', l.streams.insert.seconds, 5], ['damaged files', l.damage.length, 0]] : [];
  const judge = ([what, value, most]) => ({ what, value, most, holds: value !== null && value <= most });
  const state = ([what, value, most]) => ({ what, value, most, holds: null });
  // They are for the load at its default rates.
  if (run.plan !== '') return [...writes, ...latencies, ...process, ...windows].map(state);
  return [...writes.map(judge), ...latencies.map(of.name === 'clawfs' ? judge : state), ...process.map(judge), ...windows.map(judge)];
}

const run = Object.fromEntries(tabbed('run').map(([key, value]) => [key, value ?? '']));
const minutes = Number(run.seconds) / 60;
const slow = run.card_ms !== '';
const configurations = tabbed('configurations').map(([name, title]) => {
  const load = JSON.parse(read(name, 'load.json'));
  return {
    name,
    title,
    device: device(name, minutes),
    ops: load.ops,
    late_ms: load.late_ms,
    daemon: load.daemon.processes === 0 ? null : {
      processes: load.daemon.processes,
      cpu_percent: load.daemon.cpu_ms / 10 / load.seconds,
      rss_mib: load.daemon.rss_kib / 1024,
      pss_mib: load.daemon.pss_kib / 1024,
    },
    losses: losses(name),
    classes: classes(name, minutes),
  };
});
const base = configurations.find(({ name }) => name === 'ext4');
if (base) {
  for (const of of configurations) {
    of.ratios = ratios(of, base);
    if (of.name.startsWith('clawfs')) of.bounds = bounds(of, slow);
  }
}

const result = {
  when: new Date().toISOString(),
  command: run.command,
  machine: { kernel: os.release(), cpu: os.cpus()[0].model, cores: os.cpus().length, memory_mib: Math.round(os.totalmem() / 2 ** 20) },
  clawfs: run.clawfs,
  commit: run.commit,
  seconds: Number(run.seconds),
  cuts: Number(run.cuts),
  cut_seconds: Number(run.cut_seconds),
  card: slow ? { write_ms: Number(run.card_ms), mb_per_second: Number(run.card_mbps) } : null,
  images: run.images,
  plan: run.plan,
  configurations,
};
fs.writeFileSync(path.join(out, 'bench.json'), `${JSON.stringify(result, null, 2)}\n`);
fs.writeFileSync(path.join(out, 'bench.html'), page(result));
print(result);
console.log(`\n${path.join(out, 'bench.json')}, ${path.join(out, 'bench.html')}`);
