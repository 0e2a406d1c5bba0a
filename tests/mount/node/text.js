'use strict';
// text.js COUNT [--seed=N]: lines 0 .. count - 1 on stdout, as append.js writes them.
const { args, logText } = require('./common.js');

const { named, rest } = args();
process.stdout.write(logText(Number(named.seed ?? 1), Number(rest[0])));
