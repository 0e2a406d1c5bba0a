'use strict';
// What the programs of the mount tier share: content that
// depends on a seed and a number alone, so that anybody can say what must be
// where, and the application's own sequences of system calls.
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

// "--name=value" and "--name" into named, the rest in order.
function args() {
  const named = {};
  const rest = [];
  for (const arg of process.argv.slice(2)) {
    const m = /^--([a-z-]+)(?:=(.*))?$/s.exec(arg);
    if (m) named[m[1]] = m[2] ?? '1';
    else rest.push(arg);
  }
  return { named, rest };
}

// CLOCK_MONOTONIC in ms: the same in every process.
const mono = () => Number(process.hrtime.bigint()) / 1e6;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function fail(message) {
  console.log(`${path.basename(process.argv[1])}: ${message}`);
  process.exit(1);
}

function assert(condition, message) {
  if (!condition) fail(message);
}

// mulberry32
function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Text without meaning of exactly `length` bytes.
function words(seed, length) {
  const next = random(seed);
  let text = '';
  while (text.length < length) text += Math.floor(next() * 2 ** 32).toString(36) + ' ';
  return text.slice(0, length);
}

// Line `n` of a log: 150-400 bytes of JSON.
function logLine(seed, n) {
  const time = new Date(1767225600000 + n * 48).toISOString();
  const head = `{"time":"${time}","level":"info","subsystem":"gateway","n":${n},"msg":"`;
  const length = 150 + Math.floor(random(seed * 7919 + n)() * 250);
  return `${head}${words(seed + n, Math.max(8, length - head.length - 3))}"}\n`;
}

// Every byte of lines 0 .. count - 1.
function logText(seed, count) {
  const lines = [];
  for (let n = 0; n < count; n++) lines.push(logLine(seed, n));
  return Buffer.from(lines.join(''));
}

// A session store of about `bytes` in pretty JSON, for `writers` writers. "first" and
// "last" hold the version, so that a torn file is seen even if it parses.
function newStore(seed, writers, bytes) {
  const store = { first: 0 };
  for (let w = 0; w < writers; w++) store[`writer:${w}`] = { saves: 0, note: '' };
  for (let i = 0; JSON.stringify(store, null, 2).length < bytes - 64; i++) {
    store[`agent:main:session-${i}`] = {
      sessionId: crypto.createHash('sha256').update(`${seed}.${i}`).digest('hex').slice(0, 32),
      updatedAt: 1767225600000 + i,
      systemPromptReport: words(seed + i, Math.min(1500, Math.max(16, bytes / 8))),
    };
  }
  store.last = 0;
  return store;
}

// Version of the store in `text`; throws when it is not one complete version.
function storeVersion(text) {
  const store = JSON.parse(text);
  let sum = 0;
  for (const key of Object.keys(store)) if (key.startsWith('writer:')) sum += store[key].saves;
  if (store.first !== store.last || store.first !== sum) {
    throw new Error(`versions ${store.first}, ${store.last} and ${sum} in one file`);
  }
  return sum;
}

async function takeLock(lock) {
  for (;;) {
    let handle;
    try {
      handle = await fs.promises.open(lock, 'wx');
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      // Others read who holds it, at once; it may be gone or just made.
      const text = await fs.promises.readFile(lock, 'utf8').catch((e) => {
        if (e.code !== 'ENOENT') throw e;
        return '';
      });
      if (text !== '') assert(JSON.parse(text).pid > 0, `strange lock file: ${text}`);
      await sleep(5 + Math.random() * 10);
      continue;
    }
    await handle.writeFile(JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
    return handle;
  }
}

// One save of a session store, call by call as the application does it.
// `mutate(store)` makes the new version; the text is returned.
async function saveStore(file, mutate) {
  const fsp = fs.promises;
  await fsp.mkdir(path.dirname(file), { recursive: true });
  fs.realpathSync.native(path.dirname(file));
  const lock = `${file}.lock`;
  const handle = await takeLock(lock);
  try {
    const before = await fsp.stat(file, { bigint: true });
    const old = await fsp.readFile(file, 'utf8');
    const after = await fsp.stat(file, { bigint: true });
    assert(before.mtimeNs === after.mtimeNs && before.ino === after.ino, `${file} changed under the lock`);
    const store = JSON.parse(old);
    mutate(store);
    const text = JSON.stringify(store, null, 2);
    const temporary = `${file}.${process.pid}.${crypto.randomUUID()}.tmp`;
    await fsp.writeFile(temporary, text, { mode: 0o600 });
    await fsp.rename(temporary, file);
    await fsp.chmod(file, 0o600);
    await fsp.lstat(temporary).then(
      () => fail(`${temporary} is still there after its rename`),
      (error) => assert(error.code === 'ENOENT', `lstat ${temporary}: ${error.code}`),
    );
    const now = await fsp.stat(file, { bigint: true });
    assert(now.mtimeNs >= after.mtimeNs, `mtime of ${file} went back from ${after.mtimeNs} to ${now.mtimeNs}`);
    return text;
  } finally {
    await handle.close();
    await fsp.unlink(lock);
  }
}

// One save by writer `w`: counts, and leaves a note that depends on the count.
function saveBy(file, seed, w) {
  return saveStore(file, (store) => {
    const mine = store[`writer:${w}`];
    mine.saves += 1;
    mine.note = words(seed + w * 100003 + mine.saves, 64);
    store.first += 1;
    store.last = store.first;
  });
}

// Calls `look` until the file named by --stop appears, and once more after: every
// --pause ms, without it as often as it can.
async function watch(named, look) {
  fs.writeFileSync(named.started, '');
  let last = false;
  for (let n = 0; ; n++) {
    look(n);
    if (last) return;
    last = fs.existsSync(named.stop);
    if (named.pause) await sleep(Number(named.pause));
    else if (n % 16 === 0) await sleep(1);
  }
}

// The file's bytes, or null while there is none.
function readIfThere(file) {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

module.exports = {
  args, mono, sleep, fail, assert, random, words, logLine, logText, newStore, storeVersion, takeLock, saveStore, saveBy,
  watch, readIfThere,
};
