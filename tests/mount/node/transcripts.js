'use strict';
// transcripts.js DIR LINES [--seed=N]: the life of transcripts as the application leads it:
// header in place, one append a line, the whole file read back when a session
// is opened, rewritten in place on migration, cut to "", archived, repaired.
const fs = require('fs');
const path = require('path');
const { args, assert, logLine, takeLock } = require('./common.js');

const { named, rest } = args();
const [dir, lines] = [rest[0], Number(rest[1])];
const seed = Number(named.seed ?? 1);
const header = (id) => `${JSON.stringify({ type: 'session', version: 1, id })}\n`;

function same(file, text, when) {
  const got = fs.readFileSync(file, 'utf8');
  assert(got === text, `${path.basename(file)} ${when}: ${got.length} bytes, not the ${text.length} written`);
  assert(fs.statSync(file).size === Buffer.byteLength(text), `${path.basename(file)} ${when}: size`);
}

function write(id, count) {
  const file = path.join(dir, `${id}.jsonl`);
  let text = header(id);
  fs.writeFileSync(file, text);
  for (let n = 0; n < count; n++) {
    const line = logLine(seed, n);
    fs.appendFileSync(file, line);
    text += line;
    if (n % 16 === 0) same(file, text, `after line ${n}`);
  }
  same(file, text, 'at the end');
  return { file, text };
}

(async () => {
  // Kept: compared by the case after unmount.
  write('kept', lines);

  // Under its lock, as a turn does.
  const locked = path.join(dir, 'locked.jsonl');
  const handle = await takeLock(`${locked}.lock`);
  const turn = write('locked', 5);
  await handle.close();
  fs.unlinkSync(`${locked}.lock`);
  same(locked, turn.text, 'after its lock');

  // Version migration: the whole file in place, shorter and longer.
  const migrated = write('migrated', 20);
  for (const text of [header('migrated').replace('1', '2'), migrated.text + migrated.text]) {
    fs.writeFileSync(migrated.file, text);
    same(migrated.file, text, 'after migration');
    fs.appendFileSync(migrated.file, 'x\n');
    same(migrated.file, `${text}x\n`, 'after migration and a line');
  }

  // Cut to nothing, then begun anew.
  const cut = write('cut', 8);
  fs.writeFileSync(cut.file, '');
  same(cut.file, '', 'after the cut');
  fs.appendFileSync(cut.file, header('cut'));
  same(cut.file, header('cut'), 'begun anew');

  // Archived by rename, and a new one in its place.
  const archived = write('archived', 8);
  const old = `${archived.file}.deleted.1767225600000`;
  fs.renameSync(archived.file, old);
  same(old, archived.text, 'archived');
  fs.writeFileSync(archived.file, header('archived'));
  same(archived.file, header('archived'), 'after its archive');
  same(old, archived.text, 'beside its successor');

  // Repaired: backup, temporary, mode, rename over.
  const broken = write('repaired', 8);
  const temporary = `${broken.file}.repair-${process.pid}.tmp`;
  fs.appendFileSync(broken.file, '{"torn');
  fs.writeFileSync(`${broken.file}.bak-${process.pid}-1`, fs.readFileSync(broken.file));
  fs.writeFileSync(temporary, broken.text);
  fs.chmodSync(temporary, fs.statSync(broken.file).mode & 0o777);
  fs.renameSync(temporary, broken.file);
  same(broken.file, broken.text, 'repaired');
  fs.appendFileSync(broken.file, 'y\n');
  same(broken.file, `${broken.text}y\n`, 'repaired, and a line');

  // An audit log: not a symlink, appended with 0600, chmod each time.
  const audit = path.join(dir, 'security-coach-audit.jsonl');
  let all = '';
  for (let n = 0; n < 20; n++) {
    if (n > 0) assert(!fs.lstatSync(audit).isSymbolicLink(), 'audit is a symlink');
    fs.appendFileSync(audit, logLine(seed, n), { mode: 0o600 });
    fs.chmodSync(audit, 0o600);
    all += logLine(seed, n);
  }
  same(audit, all, 'audit');
  assert((fs.statSync(audit).mode & 0o7777) === 0o600, 'mode of audit');
})();
