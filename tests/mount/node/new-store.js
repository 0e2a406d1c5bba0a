'use strict';
// new-store.js FILE WRITERS BYTES [--seed=N]: version 0 of a store, mode 0600.
const fs = require('fs');
const { args, newStore } = require('./common.js');

const { named, rest } = args();
const store = newStore(Number(named.seed ?? 1), Number(rest[1]), Number(rest[2]));
fs.writeFileSync(rest[0], JSON.stringify(store, null, 2), { mode: 0o600 });
