'use strict';
// watch-config.js FILE: the npm package chokidar, set up as the application sets it up,
// sees every change of its configuration: atomic replace (config/io.ts), in-place
// rewrite, removal and return. Each must be seen before the next is made.
const fs = require('fs');
const path = require('path');
const chokidar = require('chokidar');
const { args, assert, fail, sleep } = require('./common.js');

const { rest } = args();
const file = rest[0];
let events = [];

const watcher = chokidar.watch(file, {
  ignoreInitial: true,
  awaitWriteFinish: { stabilityThreshold: 200, pollInterval: 50 },
});
watcher.on('all', (event, name) => {
  if (path.resolve(name) === path.resolve(file)) events.push(event);
});
watcher.on('error', (error) => fail(`chokidar: ${error.message}`));

async function expect(wanted, what) {
  const end = Date.now() + 15000;
  while (!events.some((event) => wanted.includes(event))) {
    if (Date.now() > end) fail(`${what}: no ${wanted.join(' or ')} within 15 s; events: ${events.join(', ') || 'none'}`);
    await sleep(20);
  }
  // Let late ones of this change arrive before the next is judged.
  await sleep(500);
  events = [];
}

function replace(text) {
  const temporary = `${file}.${process.pid}.abc.tmp`;
  fs.writeFileSync(temporary, text, { mode: 0o600 });
  for (let i = 4; i >= 1; i--) {
    const from = i === 1 ? `${file}.bak` : `${file}.bak.${i - 1}`;
    if (fs.existsSync(from)) fs.renameSync(from, `${file}.bak.${i}`);
  }
  fs.copyFileSync(file, `${file}.bak`);
  fs.renameSync(temporary, file);
}

watcher.on('ready', async () => {
  for (let round = 0; round < 3; round++) {
    replace(JSON.stringify({ round, how: 'replaced', pad: 'x'.repeat(round * 100) }));
    await expect(['change', 'add'], `atomic replace ${round}`);
    fs.writeFileSync(file, JSON.stringify({ round, how: 'in place', pad: 'y'.repeat(round * 200) }));
    await expect(['change'], `in-place rewrite ${round}`);
  }
  fs.unlinkSync(file);
  await expect(['unlink'], 'removal');
  fs.writeFileSync(file, '{"how":"returned"}');
  await expect(['add', 'change'], 'return');
  assert(fs.readFileSync(file, 'utf8') === '{"how":"returned"}', 'content');
  await watcher.close();
});
