'use strict';
// many-files.js DIR COUNT: makes COUNT files, then removes the even ones while it reads the
// directory: every odd one must be seen exactly once (POSIX readdir).
const fs = require('fs');
const path = require('path');
const { args, assert } = require('./common.js');

const { rest } = args();
const [dir, count] = [rest[0], Number(rest[1])];

fs.mkdirSync(dir);
for (let n = 0; n < count; n++) {
  const fd = fs.openSync(path.join(dir, `f${n}`), 'wx');
  if (n === count - 1) fs.writeSync(fd, String(n));
  fs.closeSync(fd);
}
assert(fs.readdirSync(dir).length === count, 'not every file is listed');

const seen = new Set();
const handle = fs.opendirSync(dir, { bufferSize: 32 });
for (let entry = handle.readSync(); entry !== null; entry = handle.readSync()) {
  assert(!seen.has(entry.name), `${entry.name} is listed twice`);
  seen.add(entry.name);
  if (Number(entry.name.slice(1)) % 2 === 0) fs.unlinkSync(path.join(dir, entry.name));
}
handle.closeSync();
assert(seen.size === count, `${seen.size} of ${count} were listed while the directory shrank`);
