'use strict';
// log-check.js DIR NAME WHO=COUNT... [--names=both]: the parts of DIR/NAME.log in the order of their numbers
// and then the log itself, plain or compressed, hold the lines 0 .. COUNT-1 of each log-writer.js, each once, whole
// and in order; and there are no others, but with WHO=COUNT+ maybe one. With --names=both each compressed one is read as X.log too and must be the same.
const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const { args, logLine, assert } = require('./common.js');

const { named, rest } = args();
const [dir, name, ...whos] = rest;
const pattern = new RegExp(`^${name}(?:\\.(\\d+))?\\.log(\\.gz)?$`);
const parts = [];
for (const entry of fs.readdirSync(dir)) {
  const m = pattern.exec(entry);
  if (m) parts.push({ entry, number: m[1] ? Number(m[1]) : Infinity, gz: !!m[2] });
}
parts.sort((a, b) => a.number - b.number);
assert(new Set(parts.map((p) => p.number)).size === parts.length, `a part is there twice: ${parts.map((p) => p.entry)}`);
const next = new Map(whos.map((w) => [w.split('=')[0], 0]));
for (const part of parts) {
  const file = path.join(dir, part.entry);
  const text = part.gz ? zlib.gunzipSync(fs.readFileSync(file)) : fs.readFileSync(file);
  if (part.gz && named.names === 'both') {
    const plain = file.slice(0, -3);
    assert(fs.statSync(plain).size === text.length, `${plain}: stat says another size`);
    assert(fs.statSync(plain).mtimeMs === fs.statSync(file).mtimeMs, `${plain}: another mtime`);
    assert(fs.readFileSync(plain).equals(text), `${plain}: other bytes than zcat's`);
  }
  assert(part.number === Infinity || text[text.length - 1] === 10, `${part.entry} does not end at a line end`);
  const lines = text.toString().split('\n');
  assert(lines.pop() === '', `${part.entry} ends within a line`);
  for (const line of lines) {
    const [who, n] = line.split(' ', 2);
    assert(next.has(who), `${part.entry}: a torn line: ${line.slice(0, 60)}`);
    const seed = [...who].reduce((sum, c) => sum + c.charCodeAt(0), 0);
    assert(`${line}\n` === `${who} ${next.get(who)} ${logLine(seed, next.get(who))}`,
      `${part.entry}: expected line ${next.get(who)} of ${who}, got ${line.slice(0, 60)}`);
    next.set(who, Number(n) + 1);
  }
}
for (const w of whos) {
  const [who, count] = w.split('=');
  const more = count.endsWith('+') && next.get(who) === parseInt(count, 10) + 1 ? 1 : 0;
  assert(next.get(who) === parseInt(count, 10) + more, `${next.get(who)} lines of ${who}, expected ${count}`);
}
console.log(`${parts.length} parts`);
