'use strict';
// append.js FILE COUNT [--seed=N] [--from=N] [--gap=MS] [--batch=LINES]: appends lines
// from .. from + count - 1 as the application does: open with O_APPEND, one
// write, close; with --batch as its buffered builds do.
const fs = require('fs');
const { args, logLine, sleep } = require('./common.js');

const { named, rest } = args();
const [file, count] = [rest[0], Number(rest[1])];
const seed = Number(named.seed ?? 1);
const from = Number(named.from ?? 0);
const batch = Number(named.batch ?? 1);

(async () => {
  for (let n = from; n < from + count; n += batch) {
    let text = '';
    for (let i = n; i < Math.min(n + batch, from + count); i++) text += logLine(seed, i);
    fs.appendFileSync(file, text);
    if (named.gap) await sleep(Number(named.gap));
  }
})();
