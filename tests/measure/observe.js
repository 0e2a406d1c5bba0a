'use strict';
// observe.js LOWER PID --out=FILE --stop= --started=: what the lower sees, counted by inotify and
// not by clawfs itself, and the daemon's memory, while a load runs.
const fs = require('fs');
const path = require('path');
const { args, sleep } = require('../mount/node/common.js');

const { named, rest } = args();
const [lower, pid] = rest;
const log = path.join(lower, 'logs/gateway.log');
const replaces = [];
const appends = [];
let size = fs.statSync(log).size;
const start = Date.now();

// A rename onto sessions.json is one "rename" event of that name.
fs.watch(path.join(lower, 'agents/main/sessions'), (event, name) => {
  if (event === 'rename' && name === 'sessions.json') replaces.push(Date.now() - start);
});
// A change that makes the log longer; changes of its times alone do not count.
fs.watch(path.join(lower, 'logs'), (_, name) => {
  if (name !== 'gateway.log') return;
  const now = fs.statSync(log).size;
  if (now !== size) appends.push(Date.now() - start);
  size = now;
});

// The most events in any one minute of the run.
function worstMinute(times) {
  let worst = 0;
  for (let i = 0, j = 0; j < times.length; j++) {
    while (times[j] - times[i] >= 60000) i += 1;
    worst = Math.max(worst, j - i + 1);
  }
  return worst;
}

(async () => {
  const peak = { Rss: 0, Pss: 0, Private_Dirty: 0 };
  fs.writeFileSync(named.started, '');
  while (!fs.existsSync(named.stop)) {
    const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    for (const key of Object.keys(peak)) {
      peak[key] = Math.max(peak[key], Number(new RegExp(`^${key}: *(\\d+)`, 'm').exec(text)[1]));
    }
    await sleep(500);
  }
  fs.writeFileSync(named.out, JSON.stringify({
    replaces: replaces.length,
    replaces_worst_minute: worstMinute(replaces),
    appends: appends.length,
    appends_worst_minute: worstMinute(appends),
    kib: peak,
  }));
  process.exit(0);
})();
