'use strict';
// poll-prefix.js FILE --stop= --started= [--seed=N]: P2. At every look FILE is
// a prefix of append.js's lines, and it only grows.
const { args, assert, logText, readIfThere, watch } = require('./common.js');

const { named, rest } = args();
const seed = Number(named.seed ?? 1);
let reference = logText(seed, 2000);
let lines = 2000;
let known = 0;
let looks = 0;
const sizes = new Set();

watch(named, () => {
  const bytes = readIfThere(rest[0]) ?? Buffer.alloc(0);
  looks += 1;
  while (reference.length < bytes.length) reference = logText(seed, (lines *= 2));
  assert(bytes.length >= known, `shrank from ${known} to ${bytes.length} bytes`);
  if (bytes.length === known) return;
  if (!bytes.equals(reference.subarray(0, bytes.length))) {
    let at = 0;
    while (bytes[at] === reference[at]) at += 1;
    assert(false, `of ${bytes.length} bytes, the one at ${at} is not what was written there`);
  }
  known = bytes.length;
  sizes.add(known);
}).then(() => console.log(`${looks} looks, ${sizes.size} sizes, ${known} bytes at the end`));
