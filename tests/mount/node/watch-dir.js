'use strict';
// watch-dir.js DIR: inotify reports what is made, changed, renamed and removed in DIR.
const fs = require('fs');
const path = require('path');
const { args, fail, sleep } = require('./common.js');

const { rest } = args();
const seen = new Set();
const watcher = fs.watch(rest[0], (event, name) => seen.add(`${event} ${name}`));

(async () => {
  const at = (name) => path.join(rest[0], name);
  fs.writeFileSync(at('made.txt'), 'x');
  fs.appendFileSync(at('made.txt'), 'y');
  fs.renameSync(at('made.txt'), at('renamed.json'));
  fs.unlinkSync(at('renamed.json'));
  const wanted = ['rename made.txt', 'change made.txt', 'rename renamed.json'];
  const end = Date.now() + 10000;
  while (!wanted.every((event) => seen.has(event))) {
    if (Date.now() > end) fail(`events: ${[...seen].join(', ')}`);
    await sleep(20);
  }
  watcher.close();
})();
