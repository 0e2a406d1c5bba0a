'use strict';
// rewrite-state.js FILE COUNT [--gap=MS] [--hold=MS]: rewrites a store in place (O_TRUNC, write,
// close, chmod). With --hold the writer rests twice with the file open: cut to
// nothing, and half written.
const fs = require('fs');
const { args, random, sleep } = require('./common.js');

const { named, rest } = args();
const [file, count] = [rest[0], Number(rest[1])];

(async () => {
  const store = JSON.parse(fs.readFileSync(file, 'utf8'));
  const next = random(7);
  for (let i = 0; i < count; i++) {
    store['writer:0'].saves += 1;
    store.first += 1;
    // Now longer, now shorter.
    store.pad = 'p'.repeat(Math.floor(next() * 20000));
    delete store.last;
    store.last = store.first;
    const text = JSON.stringify(store, null, 2);
    if (named.hold) {
      const fd = fs.openSync(file, 'w', 0o600);
      await sleep(Number(named.hold));
      fs.writeSync(fd, text.slice(0, text.length / 2));
      await sleep(Number(named.hold));
      fs.writeSync(fd, text.slice(text.length / 2));
      fs.closeSync(fd);
    } else {
      fs.writeFileSync(file, text, { mode: 0o600 });
    }
    fs.chmodSync(file, 0o600);
    if (named.gap) await sleep(Number(named.gap));
  }
})();
