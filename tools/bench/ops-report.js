'use strict';
// ops-report.js IN OUT COMMAND VERSION: the table of ops.sh, and its JSON with the machine in it.
const fs = require('fs');
const os = require('os');
const { number, table } = require('./table.js');

const [input, output, command, version] = process.argv.slice(2);
const ops = JSON.parse(fs.readFileSync(input, 'utf8'));
const names = Object.keys(ops[0].targets);
const machine = { kernel: os.release(), cpu: os.cpus()[0].model, cores: os.cpus().length };
fs.writeFileSync(output, `${JSON.stringify({ when: new Date().toISOString(), command, clawfs: version, machine, ops }, null, 1)}\n`);

// MB/s where bytes are moved, over all calls but the slowest hundredth, which on a shared machine is somebody else's; else the
// median in ms.
const value = (op, name) => (op.bytes ? op.bytes / 1e3 / op.targets[name].mean99 : op.targets[name].p50);
// How many times as long as `base`.
const longer = (op, name, base) => (names.includes(base) ? (op.bytes ? value(op, base) / value(op, name) : value(op, name) / value(op, base)) : null);

function cell(op, name) {
  const against = name === 'ext4' ? '' : ` (${number(longer(op, name, 'ext4'))}${name === 'passthrough_ll' ? '' : ` ${number(longer(op, name, 'passthrough_ll'))}`})`;
  return `${number(value(op, name))}${against}`;
}

console.log(`${machine.cores} cores, Linux ${machine.kernel}, ${version}`);
console.log('In brackets: times as long as on plain ext4, and as on passthrough_ll, in this run.\n');
const short = ops.filter(({ bytes }) => !bytes);
if (short.length > 0) table(['median, ms', ...names], short.map((op) => [op.name, ...names.map((name) => cell(op, name))]));
const moving = ops.filter(({ bytes }) => bytes);
if (moving.length > 0) {
  console.log();
  table(['MB/s, cached', ...names], moving.map((op) => [op.name, ...names.map((name) => cell(op, name))]));
}

// The project's goals, for the kernel's passthrough: [operation, times as long as on ext4 at most].
const goals = [['write to an open log', 1.5], ['read 1 MiB, sequential', 1 / 0.9], ['write 1 MiB, sequential', 1 / 0.9]]
  .map(([name, most]) => ({ op: ops.find((op) => op.name === name), most })).filter(({ op }) => op && names.includes('clawfs') && names.includes('ext4'));
if (goals.length > 0) {
  console.log();
  table(['goals, times as long as on ext4', 'clawfs', 'at most', ''], goals.map(({ op, most }) => {
    const value = longer(op, 'clawfs', 'ext4');
    return [op.name, number(value), number(most), value <= most ? 'ok' : 'MISSED'];
  }));
}

const fuse = names.filter((name) => ops.some(({ requests }) => requests?.[name] && Object.keys(requests[name]).length > 0));
if (fuse.length === 0) {
  console.log('\nFUSE requests are not counted: this kernel has no tracepoint fuse_request_send (Linux 6.11). Of clawfs, see .clawfs/stats.');
} else {
  console.log();
  const spell = (requests) => {
    const parts = Object.entries(requests ?? {}).filter(([, count]) => count >= 0.01).sort(([, a], [, b]) => b - a)
      .map(([opcode, count]) => (count === 1 ? opcode : `${opcode} ${number(count)}`));
    return parts.length > 0 ? parts.join(', ') : 'none';
  };
  const rows = [];
  for (const op of ops.filter(({ requests }) => requests)) {
    for (const name of fuse) {
      const total = Object.values(op.requests[name] ?? {}).reduce((sum, count) => sum + count, 0);
      rows.push([name === fuse[0] ? op.name : '', name, number(total), spell(op.requests[name])]);
    }
  }
  table(['FUSE requests for one', '', 'all', ''], rows, true);
}
console.log(`\n${output}`);
