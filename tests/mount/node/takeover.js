'use strict';
// takeover.js KIND DIR [--stop=FILE --started=FILE]: one kind of work in DIR, over
// and over, while the process that serves it is killed (P6). Every call must succeed the first
// time, every effect must be there exactly once, every byte as it was written.
const fs = require('fs');
const path = require('path');
const { args, mono, assert, logLine, words } = require('./common');

const { named, rest } = args();
const [kind, dir] = rest;
const at = (name) => path.join(dir, name);
let longest = 0;

// A call, timed; what it throws ends the program with its name.
function call(what, f) {
  const begin = mono();
  try {
    return f();
  } catch (e) {
    assert(false, `${kind}: ${what}: ${e.message}`);
  } finally {
    longest = Math.max(longest, mono() - begin);
  }
}

function refused(what, code, f) {
  const begin = mono();
  let got = 'success';
  try {
    f();
  } catch (e) {
    got = e.code;
  }
  longest = Math.max(longest, mono() - begin);
  assert(got === code, `${kind}: ${what}: ${got}, not ${code}`);
}

const kinds = {
  // Lines by a handle that stays open, and by one for each line.
  log() {
    const fd = call('open', () => fs.openSync(at('open.log'), 'a'));
    return {
      step(n) {
        const line = logLine(5, n);
        assert(call('write', () => fs.writeSync(fd, line)) === line.length, 'a short write');
        call('append', () => fs.appendFileSync(at('each.jsonl'), line));
      },
      end(count) {
        const want = Array.from({ length: count }, (_, n) => logLine(5, n)).join('');
        for (const name of ['open.log', 'each.jsonl'])
          assert(fs.readFileSync(at(name), 'utf8') === want, `${name} is not the ${count} lines that were written`);
        fs.closeSync(fd);
      },
    };
  },

  // As the application saves: a temporary file and a rename, and in place.
  save() {
    return {
      step(n) {
        const text = JSON.stringify({ n, text: words(n, 500 + (n % 7) * 3000) });
        call('write', () => fs.writeFileSync(at(`sessions.json.${n}.tmp`), text));
        call('rename', () => fs.renameSync(at(`sessions.json.${n}.tmp`), at('sessions.json')));
        call('rewrite', () => fs.writeFileSync(at('config.json'), text));
        for (const name of ['sessions.json', 'config.json'])
          assert(call('read', () => fs.readFileSync(at(name), 'utf8')) === text, `${name} is not what was saved as ${n}`);
      },
      end() {},
    };
  },

  // Names made, moved and removed: twice would be an error.
  names() {
    return {
      step(n) {
        const d = at(`d${n}`);
        const kinds = ['f.json', 'f.log', 'f.txt', 'f.lock'];
        call('mkdir', () => fs.mkdirSync(d));
        for (const name of kinds) {
          call(`create ${name}`, () => fs.closeSync(fs.openSync(path.join(d, name), 'wx')));
          refused(`create ${name} again`, 'EEXIST', () => fs.openSync(path.join(d, name), 'wx'));
          call(`rename ${name}`, () => fs.renameSync(path.join(d, name), path.join(d, `moved-${name}`)));
        }
        call('symlink', () => fs.symlinkSync('f.txt', path.join(d, 'symlink')));
        call('link', () => fs.linkSync(path.join(d, 'moved-f.txt'), path.join(d, 'second')));
        assert(call('stat', () => fs.statSync(path.join(d, 'second'))).nlink === 2, 'a second name is not counted');
        call('mkdir lock', () => fs.mkdirSync(path.join(d, 'x.lock')));
        call('rename dir', () => fs.renameSync(d, `${d}.b`));
        const want = [...kinds.map((k) => `moved-${k}`), 'second', 'symlink', 'x.lock'].sort().join();
        const have = call('readdir', () => fs.readdirSync(`${d}.b`)).sort().join();
        assert(have === want, `names: ${have}`);
        call('rmdir lock', () => fs.rmdirSync(path.join(`${d}.b`, 'x.lock')));
        for (const name of [...kinds.map((k) => `moved-${k}`), 'second', 'symlink'])
          call(`unlink ${name}`, () => fs.unlinkSync(path.join(`${d}.b`, name)));
        call('rmdir', () => fs.rmdirSync(`${d}.b`));
        refused('rmdir again', 'ENOENT', () => fs.rmdirSync(`${d}.b`));
      },
      end() {
        assert(fs.readdirSync(dir).every((n) => !/^d\d/.test(n)), 'a directory came back');
      },
    };
  },

  // Files that have no name any more, held open all the time, one of each class.
  nameless() {
    const open = ['a.log', 'b.json', 'c.txt', 'd.lock', 'e.jsonl'].map((name) => {
      const fd = fs.openSync(at(name), 'wx+');
      fs.writeSync(fd, `${name}\n`);
      if (name === 'e.jsonl') fs.fsyncSync(fd);
      fs.unlinkSync(at(name));
      return { name, fd, text: `${name}\n` };
    });
    return {
      step(n) {
        for (const f of open) {
          const line = `${n} ${f.name}\n`;
          call('write', () => fs.writeSync(f.fd, line, f.text.length));
          f.text += line;
          const back = Buffer.alloc(f.text.length + 1);
          const got = call('read', () => fs.readSync(f.fd, back, 0, back.length, 0));
          assert(back.toString('utf8', 0, got) === f.text, `nameless ${f.name} is not what was written`);
          assert(call('fstat', () => fs.fstatSync(f.fd)).nlink === 0, `${f.name} has a name`);
        }
      },
      end() {
        for (const f of open) fs.closeSync(f.fd);
      },
    };
  },

  // A thousand names, in one go and a few at a time.
  list() {
    fs.mkdirSync(at('many'));
    for (let i = 0; i < 1000; i++) fs.writeFileSync(at(`many/name ${i}.${['txt', 'lock', 'json'][i % 3]}`), '');
    const want = fs.readdirSync(at('many')).sort().join();
    assert(want.split(',').length === 1000, 'the thousand names');
    return {
      step() {
        assert(call('readdir', () => fs.readdirSync(at('many'))).sort().join() === want, 'names are missing or twice');
        const d = call('opendir', () => fs.opendirSync(at('many'), { bufferSize: 8 }));
        const have = [];
        for (let e; (e = call('readdir', () => d.readSync())); ) have.push(e.name);
        call('closedir', () => d.closeSync());
        assert(have.sort().join() === want, 'names are missing or twice, a few at a time');
      },
      end() {},
    };
  },
};

assert(kinds[kind], `no kind "${kind}"`);
fs.mkdirSync(dir, { recursive: true });
const work = kinds[kind]();
fs.writeFileSync(named.started, '');
let count = 0;
while (!fs.existsSync(named.stop)) work.step(count++);
work.end(count);
console.log(`${kind}: ${count} rounds, longest call ${longest.toFixed(0)} ms`);
assert(count > 0, 'nothing was done');
