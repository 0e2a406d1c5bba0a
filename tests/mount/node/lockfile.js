'use strict';
// lockfile.js FILE PROCESSES ROUNDS: read-modify-write of a JSON file in place under the
// npm package proper-lockfile. It makes FILE.lock/, sets its mtime into the
// future, compares it exactly, and throws when it differs.
const { fork } = require('child_process');
const fs = require('fs');
const lockfile = require('proper-lockfile');
const { args, assert, fail, sleep } = require('./common.js');

const { named, rest } = args();
const [file, processes, rounds] = [rest[0], Number(rest[1]), Number(rest[2])];

async function work() {
  for (let i = 0; i < rounds; i++) {
    const release = await lockfile.lock(file, {
      stale: 30000,
      update: 1000,
      retries: { retries: 2000, factor: 1, minTimeout: 5, maxTimeout: 25, randomize: true },
      onCompromised: (error) => fail(`compromised: ${error.message}`),
    });
    assert(await lockfile.check(file), 'the lock that is held is not seen');
    const state = JSON.parse(fs.readFileSync(file, 'utf8'));
    state.count += 1;
    fs.writeFileSync(file, JSON.stringify(state, null, 2), { mode: 0o600 });
    fs.chmodSync(file, 0o600);
    // One lock is held across several of the package's own mtime updates.
    if (i === 0 && named.worker === '0') await sleep(3500);
    await release();
  }
}

async function all() {
  fs.writeFileSync(file, JSON.stringify({ count: 0 }), { mode: 0o600 });
  await Promise.all([...Array(processes).keys()].map((w) => new Promise((resolve) => {
    fork(__filename, [...process.argv.slice(2), `--worker=${w}`]).on('exit', (code, signal) => {
      if (code !== 0) fail(`process ${w} ended with ${signal ?? code}`);
      resolve();
    });
  })));
  const { count } = JSON.parse(fs.readFileSync(file, 'utf8'));
  assert(count === processes * rounds, `${count} of ${processes * rounds} rounds are there`);
  assert(!fs.existsSync(`${file}.lock`), 'the lock is still there');
}

(named.worker === undefined ? all() : work()).catch((error) => fail(error.stack));
