'use strict';
// watch-names.js DIR... --stop= --started= --deny=REGEX: inotify on each DIR (of the
// lower); fails if a name that matches ever comes into being there, be it for a moment.
const fs = require('fs');
const { args, assert, fail, sleep } = require('./common.js');

const { named, rest } = args();
const deny = new RegExp(named.deny);
const seen = new Set();

const watchers = rest.map((dir) => fs.watch(dir, (_, name) => seen.add(name)));
watchers.forEach((w) => w.on('error', (error) => fail(`inotify: ${error.message}`)));
fs.writeFileSync(named.started, '');

(async () => {
  while (!fs.existsSync(named.stop)) await sleep(50);
  // The last events are in the queue already.
  await sleep(200);
  watchers.forEach((w) => w.close());
  const bad = [...seen].filter((name) => deny.test(name));
  assert(bad.length === 0, `touched the card: ${bad.join(', ')}`);
  console.log(`names that changed on the card: ${[...seen].join(', ')}`);
})();
