'use strict';
// visibility.js DIR MS: P1. One process changes files of every class, another that has some
// of them open already looks after each change: bytes, size, times, names,
// inode numbers. The case flushes all the while.
const { fork } = require('child_process');
const fs = require('fs');
const path = require('path');
const { args, assert, fail, random, words } = require('./common.js');

const { named, rest } = args();
const [dir, ms] = [rest[0], Number(rest[1])];
const names = ['logs/v.log', 'v.jsonl', 'agents/main/sessions/sessions.json', 'v.json', 'v.lock', 'v.tmp', 'workspace/v.txt',
  'v.sqlite'];
const at = (name) => path.join(dir, name);

// The other process: says what it sees.
const open = new Map();
function look(name) {
  const file = at(name);
  const fd = open.get(name);
  const seen = { exists: fs.existsSync(file) };
  if (seen.exists) {
    seen.text = fs.readFileSync(file, 'utf8');
    const [l, s] = [fs.lstatSync(file, { bigint: true }), fs.statSync(file, { bigint: true })];
    assert(l.ino === s.ino && l.dev === s.dev, `${name}: lstat and stat name different inodes`);
    Object.assign(seen, { size: Number(s.size), ino: String(s.ino), mtime: String(s.mtimeNs), mode: Number(s.mode) & 0o7777 });
    if (fd !== undefined) {
      const f = fs.fstatSync(fd, { bigint: true });
      if (f.ino === s.ino) {
        const buffer = Buffer.alloc(Number(f.size));
        const got = fs.readSync(fd, buffer, 0, buffer.length, 0);
        seen.held = buffer.toString('utf8', 0, got);
        assert(f.mtimeNs === s.mtimeNs && f.size === s.size, `${name}: fstat and stat differ`);
      } else {
        fs.closeSync(fd);
        open.delete(name);
      }
    }
    if (!open.has(name)) open.set(name, fs.openSync(file, 'r'));
  } else if (fd !== undefined) {
    fs.closeSync(fd);
    open.delete(name);
  }
  return seen;
}

async function write() {
  const reader = fork(__filename, [...process.argv.slice(2), '--reader']);
  const ask = (name) => new Promise((resolve) => {
    reader.once('message', resolve);
    reader.send(name);
  });
  reader.on('exit', (code) => code !== 0 && fail('the reader failed'));
  const next = random(Number(named.seed ?? 1));
  const content = new Map();
  const inode = new Map();
  const end = Date.now() + ms;
  let rounds = 0;
  const times = new Map();
  const changes = {
    append(name, text) {
      fs.appendFileSync(at(name), text);
      content.set(name, (content.get(name) ?? '') + text);
    },
    rewrite(name, text) {
      fs.writeFileSync(at(name), text);
      content.set(name, text);
    },
    overwrite(name, text) {
      if (!content.has(name)) return;
      const old = content.get(name);
      const offset = Math.floor(next() * (old.length + 1));
      const fd = fs.openSync(at(name), 'r+');
      fs.writeSync(fd, text, offset);
      fs.closeSync(fd);
      content.set(name, old.slice(0, offset) + text + old.slice(offset + text.length));
    },
    truncate(name) {
      if (!content.has(name)) return;
      const length = Math.floor(next() * content.get(name).length);
      fs.truncateSync(at(name), length);
      content.set(name, content.get(name).slice(0, length));
    },
    replace(name, text) {
      fs.writeFileSync(at(`${name}.x.tmp`), text);
      fs.renameSync(at(`${name}.x.tmp`), at(name));
      content.set(name, text);
      inode.delete(name);
    },
    chmod(name) {
      if (!content.has(name)) return;
      fs.chmodSync(at(name), next() < 0.5 ? 0o600 : 0o644);
    },
    utimes(name) {
      if (!content.has(name)) return;
      const time = 1700000000 + Math.floor(next() * 1e6) + 0.125; // exact in a double
      fs.utimesSync(at(name), time, time);
      times.set(name, time);
    },
    unlink(name) {
      if (!content.has(name)) return;
      fs.unlinkSync(at(name));
      content.delete(name);
      inode.delete(name);
    },
  };
  // Appends are what most files live by.
  const kinds = [...Object.keys(changes), 'append', 'append', 'append', 'append', 'rewrite', 'replace'];
  while (Date.now() < end) {
    const name = names[Math.floor(next() * names.length)];
    const kind = kinds[Math.floor(next() * kinds.length)];
    const text = `${words(rounds, 1 + Math.floor(next() * 3000))}\n`;
    const say = `round ${rounds}: ${kind} ${name}`;
    times.delete(name);
    changes[kind](name, text);
    const seen = await ask(name);
    const wanted = content.get(name);
    assert(seen.exists === (wanted !== undefined), `${say}: existence`);
    if (wanted !== undefined) {
      assert(seen.text === wanted, `${say}: ${seen.text.length} bytes that are not the ${wanted.length} written`);
      assert(seen.size === wanted.length, `${say}: size ${seen.size}, not ${wanted.length}`);
      assert(seen.held === undefined || seen.held === wanted, `${say}: other bytes through a descriptor that was open`);
      assert(!inode.has(name) || inode.get(name) === seen.ino, `${say}: the inode number changed`);
      inode.set(name, seen.ino);
      assert(seen.mode === (fs.statSync(at(name)).mode & 0o7777), `${say}: mode`);
      if (times.has(name)) {
        assert(BigInt(seen.mtime) / 1000000n === BigInt(Math.round(times.get(name) * 1000)), `${say}: mtime ${seen.mtime}`);
      }
    }
    rounds += 1;
  }
  reader.disconnect();
  console.log(`${rounds} rounds`);
  assert(rounds > 100, 'hardly a round was made');
}

if (named.reader) process.on('message', (name) => process.send(look(name)));
else write().catch((error) => fail(error.stack));
