'use strict';
// powercut-writer.js DIR ACKS KIND --stop=: writes until stopped and notes in the file ACKS, after
// each call has returned, when that was and how far it had come. KIND: log, append,
// sessions (locked saves) or state (in-place rewrites).
const fs = require('fs');
const path = require('path');
const { args, logLine, mono, readIfThere, saveBy, sleep } = require('./common.js');

const { named, rest } = args();
const [dir, acks, kind] = rest;
const at = (name) => path.join(dir, name);
const ack = fs.openSync(acks, 'a');

// Goes on after the lines that are there.
const logs = { log: at('logs/gateway.log'), append: at('agents/main/sessions/s.jsonl') };
let lines = kind in logs ? String(readIfThere(logs[kind]) ?? '').split('\n').length - 1 : 0;

// Each returns how far it has come: lines, or the store's version.
function append() {
  fs.appendFileSync(logs[kind], logLine(1, lines));
  return (lines += 1);
}
const steps = {
  log: append,
  append,
  sessions: async () => JSON.parse(await saveBy(at('agents/main/sessions/sessions.json'), 1, 0)).last,
  state() {
    const store = JSON.parse(fs.readFileSync(at('auth-profiles.json'), 'utf8'));
    store['writer:0'].saves += 1;
    store.first += 1;
    store.last = store.first;
    fs.writeFileSync(at('auth-profiles.json'), JSON.stringify(store, null, 2), { mode: 0o600 });
    return store.last;
  },
};

(async () => {
  while (!fs.existsSync(named.stop)) {
    const far = await steps[kind]();
    fs.writeSync(ack, `${mono()} ${far}\n`);
    await sleep(kind === 'sessions' ? 60 : 15);
  }
})();
