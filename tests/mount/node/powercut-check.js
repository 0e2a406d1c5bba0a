'use strict';
// powercut-check.js DIR ACKDIR CUT WINDOW [--mount]: what a power cut at CUT (monotonic ms) left
// in DIR. P2: logs are prefixes without NULs. P3: stores are complete. P4: what was
// acknowledged more than WINDOW ms before the cut is there. With --mount DIR is no
// card but a mount, which may well show locks.
const fs = require('fs');
const path = require('path');
const { args, assert, logText, storeVersion } = require('./common.js');

const { named, rest } = args();
const [dir, ackDir, cut, window] = [rest[0], rest[1], Number(rest[2]), Number(rest[3])];

function acknowledged(kind) {
  const old = fs.readFileSync(path.join(ackDir, kind), 'utf8').split('\n').slice(0, -1)
    .map((line) => line.split(' ').map(Number)).filter(([time]) => time < cut - window);
  return old.length === 0 ? 0 : old[old.length - 1][1];
}

const report = [];
for (const [kind, name] of [['log', 'logs/gateway.log'], ['append', 'agents/main/sessions/s.jsonl']]) {
  const bytes = fs.existsSync(path.join(dir, name)) ? fs.readFileSync(path.join(dir, name)) : Buffer.alloc(0);
  assert(!bytes.includes(0), `${name} holds NULs`);
  const lines = bytes.toString().split('\n').length - 1;
  assert(logText(1, lines + 1).subarray(0, bytes.length).equals(bytes), `${name} is no prefix of what was written (P2)`);
  const wanted = acknowledged(kind);
  assert(lines >= wanted, `${name}: ${lines} lines; ${wanted} were acknowledged ${window} ms before the cut (P4)`);
  report.push(`${kind} ${lines}/${wanted}`);
}
for (const [kind, name] of [['sessions', 'agents/main/sessions/sessions.json'], ['state', 'auth-profiles.json']]) {
  const text = fs.readFileSync(path.join(dir, name), 'utf8');
  let version;
  try {
    version = storeVersion(text);
  } catch (error) {
    assert(false, `${name}, ${text.length} bytes, is no complete version (P3): ${error.message}`);
  }
  const wanted = acknowledged(kind);
  assert(version >= wanted, `${name}: version ${version}; ${wanted} was acknowledged ${window} ms before the cut (P4)`);
  report.push(`${kind} ${version}/${wanted}`);
}
if (!named.mount) {
  for (const name of fs.readdirSync(dir, { recursive: true })) {
    assert(!/(\.lock|[0-9a-f]\.tmp)$/.test(name), `${name} reached the card`);
  }
}
console.log(report.join(', '));
