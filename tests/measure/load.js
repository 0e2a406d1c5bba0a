'use strict';
// load.js DIR ACKS OUT MINUTES --log-from=N: the application's load on DIR: 1250 log lines and
// 300 session saves a minute, the saves by four processes, evenly spaced. What
// has been acknowledged stands in ACKS/<name>; latencies go to OUT as JSON.
const { fork } = require('child_process');
const fs = require('fs');
const path = require('path');
const { args, fail, logLine, mono, saveBy, sleep } = require('../mount/node/common.js');

const LINES = 1250;
const SAVES = 300;
const WRITERS = 4;

const { named, rest } = args();
const [dir, acks, out, minutes] = [rest[0], rest[1], rest[2], Number(rest[3])];

// Does `step(n)` `count` times, one every `every` ms after `phase`; its latencies in ms.
async function paced(name, count, every, phase, step) {
  const ack = fs.openSync(path.join(acks, name), 'w');
  const latencies = [];
  const start = mono() + phase;
  for (let n = 0; n < count; n++) {
    const wait = start + n * every - mono();
    if (wait > 0) await sleep(wait);
    const before = mono();
    await step(n);
    latencies.push(mono() - before);
    fs.writeSync(ack, String(n + 1), 0);
  }
  process.send(latencies);
}

function work(role) {
  if (role === 'log') {
    const from = Number(named['log-from']);
    const file = path.join(dir, 'logs/gateway.log');
    return paced('log', LINES * minutes, 60000 / LINES, 0, (n) => fs.appendFileSync(file, logLine(1, from + n)));
  }
  const w = Number(role);
  const every = (60000 * WRITERS) / SAVES;
  const file = path.join(dir, 'agents/main/sessions/sessions.json');
  return paced(`writer-${w}`, (SAVES * minutes) / WRITERS, every, (w * every) / WRITERS, () => saveBy(file, 1, w));
}

async function all() {
  const result = { log: [], save: [] };
  await Promise.all(['log', ...Array(WRITERS).keys()].map((role) => new Promise((resolve) => {
    const child = fork(__filename, [...process.argv.slice(2), `--role=${role}`]);
    child.on('message', (latencies) => result[role === 'log' ? 'log' : 'save'].push(...latencies));
    child.on('exit', (code, signal) => {
      if (code !== 0) fail(`${role} ended with ${signal ?? code}`);
      resolve();
    });
  })));
  fs.writeFileSync(out, JSON.stringify(result));
}

(named.role === undefined ? all() : work(named.role)).then(() => named.role && process.disconnect(),
  (error) => fail(error.stack));
