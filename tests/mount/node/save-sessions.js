'use strict';
// save-sessions.js FILE WRITERS SAVES [--seed=N] [--gap=MS]: that many processes save
// that often each, under the application's lock. No save may be lost.
const { fork } = require('child_process');
const fs = require('fs');
const { args, assert, fail, saveBy, sleep, storeVersion } = require('./common.js');

const { named, rest } = args();
const [file, writers, saves] = [rest[0], Number(rest[1]), Number(rest[2])];
const seed = Number(named.seed ?? 1);

async function write(w) {
  for (let i = 0; i < saves; i++) {
    await saveBy(file, seed, w);
    if (named.gap) await sleep(Number(named.gap));
  }
}

async function all() {
  const before = storeVersion(fs.readFileSync(file, 'utf8'));
  await Promise.all([...Array(writers).keys()].map((w) => new Promise((resolve) => {
    const child = fork(__filename, [...process.argv.slice(2), `--writer=${w}`]);
    child.on('exit', (code, signal) => {
      if (code !== 0) fail(`writer ${w} ended with ${signal ?? code}`);
      resolve();
    });
  })));
  const now = storeVersion(fs.readFileSync(file, 'utf8'));
  assert(now === before + writers * saves, `${now - before} of ${writers * saves} saves are there`);
  assert((fs.statSync(file).mode & 0o7777) === 0o600, 'mode is not 0600');
}

(named.writer === undefined ? all() : write(Number(named.writer))).catch((error) => fail(error.stack));
