'use strict';
// fsync.js MOUNT LOWER: P5. When a call that asks for durability has returned, the lower has
// the bytes, whatever the class; also through a descriptor that wrote nothing.
const fs = require('fs');
const path = require('path');
const { args, assert, fail, words } = require('./common.js');

const { rest } = args();
const [mount, lower] = rest;
const { O_WRONLY, O_CREAT, O_APPEND, O_TRUNC, O_SYNC, O_DSYNC, O_RDONLY, O_DIRECTORY } = fs.constants;
const names = ['logs/gateway.log', 'run.jsonl', 'agents/main/sessions/sessions.json', 'auth-profiles.json', '.env',
  'agents/main/sessions/sessions.json.1.abc.tmp', 'workspace/notes.md', 'index.sqlite'];

const ways = {
  fsync: { sync: (fd) => fs.fsyncSync(fd) },
  fdatasync: { sync: (fd) => fs.fdatasyncSync(fd) },
  O_SYNC: { flags: O_SYNC },
  O_DSYNC: { flags: O_DSYNC },
  'fsync by another': {
    other(file) {
      const fd = fs.openSync(file, O_RDONLY);
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    },
  },
};

function expectLower(name, text, how) {
  let got;
  try {
    got = fs.readFileSync(path.join(lower, name), 'utf8');
  } catch (error) {
    fail(`${how}: ${error.message}`);
  }
  assert(got === text, `${how}: the lower has ${got.length} bytes, not the ${text.length} written`);
}

let seed = 0;
for (const name of names) {
  const file = path.join(mount, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  for (const [way, { flags = 0, sync, other }] of Object.entries(ways)) {
    let text = '';
    // Appends, two in a row; an unfinished last line counts as well.
    const fd = fs.openSync(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | flags, 0o600);
    for (const piece of [`${words((seed += 1), 200)}\n`, words(seed, 77)]) {
      fs.writeSync(fd, piece);
      text += piece;
      if (sync) sync(fd);
      if (other) other(file);
      expectLower(name, text, `${name}, append, ${way}`);
    }
    fs.closeSync(fd);
    // The whole file anew.
    const again = fs.openSync(file, O_WRONLY | O_TRUNC | flags);
    text = words((seed += 1), 5000);
    fs.writeSync(again, text);
    if (sync) sync(again);
    if (other) other(file);
    expectLower(name, text, `${name}, rewrite, ${way}`);
    // In the middle.
    fs.writeSync(again, 'middle', 1000);
    text = `${text.slice(0, 1000)}middle${text.slice(1006)}`;
    if (sync) sync(again);
    if (other) other(file);
    expectLower(name, text, `${name}, middle, ${way}`);
    fs.closeSync(again);
  }
}

// The careful program's replace: temporary file, fsync, rename, fsync of the directory.
const final = path.join(mount, 'careful.json');
fs.writeFileSync(final, 'old');
fs.writeFileSync(`${final}.tmp`, 'new');
const fd = fs.openSync(`${final}.tmp`, 'r+');
fs.fsyncSync(fd);
fs.closeSync(fd);
fs.renameSync(`${final}.tmp`, final);
const dir = fs.openSync(mount, O_RDONLY | O_DIRECTORY);
fs.fsyncSync(dir);
expectLower('careful.json', 'new', 'rename and fsync of the directory');
fs.closeSync(dir);
assert(!fs.existsSync(path.join(lower, 'careful.json.tmp')), 'the temporary name is still on the lower');
