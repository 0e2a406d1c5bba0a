'use strict';
// copyfile.js DIR: Node's copyFile (open without O_TRUNC, ftruncate(0), fchmod,
// copy_file_range) between classes, onto nothing, onto longer and shorter files.
const fs = require('fs');
const path = require('path');
const { args, assert, words } = require('./common.js');

const { rest } = args();
const at = (name) => path.join(rest[0], name);
const sources = ['cron/jobs.json', 'workspace/notes.md', 'agents/main/sessions/sessions.json', 'logs/gateway.log'];
const targets = ['cron/jobs.json.bak', 'cron/copy.json', 'workspace/copy.bin', 'logs/copy.log', 'copy.jsonl', 'copy.tmp',
  'agents/main/sessions/sessions.json.bak.1'];

function check(from, to, text) {
  const got = fs.readFileSync(at(to), 'utf8');
  assert(got === text, `${from} -> ${to}: ${got.length} bytes, not the ${text.length} copied`);
  assert(fs.statSync(at(to)).size === text.length, `${from} -> ${to}: size`);
}

(async () => {
  for (const name of [...sources, ...targets]) fs.mkdirSync(path.dirname(at(name)), { recursive: true });
  let seed = 0;
  for (const from of sources) {
    for (const to of targets) {
      // Onto nothing, onto something shorter, onto something longer.
      for (const length of [5000, 300000, 70]) {
        const text = words((seed += 1), length);
        fs.writeFileSync(at(from), text);
        if (seed % 2 === 0) fs.copyFileSync(at(from), at(to));
        else await fs.promises.copyFile(at(from), at(to));
        check(from, to, text);
      }
    }
  }
  for (const to of targets) {
    assert((() => {
      try {
        fs.copyFileSync(at(sources[0]), at(to), fs.constants.COPYFILE_EXCL);
      } catch (error) {
        return error.code === 'EEXIST';
      }
      return false;
    })(), `COPYFILE_EXCL onto ${to}`);
  }
  // The mode comes along when the target is made.
  fs.chmodSync(at('cron/jobs.json'), 0o640);
  fs.copyFileSync(at('cron/jobs.json'), at('cron/new.json'));
  assert((fs.statSync(at('cron/new.json')).mode & 0o7777) === 0o640, 'mode of a copy');
})();
