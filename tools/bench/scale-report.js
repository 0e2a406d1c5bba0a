'use strict';
// scale-report.js RAW OUT COMMAND VERSION: the table of scale.sh, and its JSON.
const fs = require('fs');
const os = require('os');
const path = require('path');
const { number, table } = require('./table.js');

const [raw, output, command, version] = process.argv.slice(2);
const factors = fs.readdirSync(raw).map(Number).sort((a, b) => a - b);

function measured(factor) {
  const read = (name) => fs.readFileSync(path.join(raw, String(factor), name), 'utf8').trim();
  const watched = (name) => {
    const [before, after] = ['before', 'after'].map((when) => read(`${name}.${when}`).split(/\s+/).map(Number));
    return { ...JSON.parse(read(name)), device_writes: after[4] - before[4], device_bytes: (after[6] - before[6]) * 512, flushes: after[15] - before[15] };
  };
  return {
    factor,
    names: Number(read('names')),
    first_mount_s: Number(read('first_mount')),
    mount_s: Number(read('mount')),
    idle: watched('idle'),
    walked: watched('walked'),
    resave: watched('resave'),
    run: watched('run'),
    after: watched('after'),
  };
}

const result = factors.map(measured);
fs.writeFileSync(output, `${JSON.stringify({ when: new Date().toISOString(), command, clawfs: version, machine: { kernel: os.release(), cores: os.cpus().length }, result }, null, 1)}\n`);

const mib = (kib) => number(kib / 1024);
const percent = (of) => number(of.daemon.cpu_ms / 10 / of.seconds);
const rows = [
  ['files and directories', (r) => String(r.names)],
  ['first mount, s (databases are put into WAL mode)', (r) => number(r.first_mount_s)],
  ['mount, s', (r) => number(r.mount_s)],
  ['PSS after the mount, MiB', (r) => mib(r.idle.daemon.pss_kib)],
  ['PSS after a walk over everything, MiB', (r) => mib(r.walked.daemon.pss_kib)],
];
for (const [key, when] of [['idle', 'after the mount'], ['walked', 'after a walk'], ['after', 'after the load']]) {
  rows.push([`idle ${result[0][key].seconds} s ${when}: context switches`, (r) => String(r[key].daemon.switches)]);
  rows.push([`  CPU, ms / device writes`, (r) => `${r[key].daemon.cpu_ms} / ${r[key].device_writes}`]);
}
rows.push(['sessions.json, MB', (r) => number(r.resave.bytes / 1e6)]);
rows.push([`saved unchanged ${result[0].resave.save.count} times: bytes to the card`, (r) => String(r.resave.device_bytes)]);
rows.push(['  median save, ms', (r) => number(r.resave.save.p50)]);
rows.push(['  CPU, %', (r) => percent(r.resave)]);
rows.push(['mixed load: CPU, %', (r) => percent(r.run)]);
rows.push(['  PSS, MiB', (r) => mib(r.run.daemon.pss_kib)]);
for (const [op, title] of [['log', 'log line'], ['save', 'session save'], ['insert', 'insert'], ['query', 'query']]) {
  rows.push([`  ${title} p50, ms`, (r) => number(r.run.ops[op].p50)]);
}
console.log(`${os.cpus().length} cores, Linux ${os.release()}, ${version}; 1x: 100 transcripts, 10 MB of logs, 1 database\n`);
table(['', ...factors.map((factor) => `${factor}x`)], rows.map(([what, of]) => [what, ...result.map(of)]));
console.log(`\n${output}`);
