'use strict';
// verify.js DIR ACKS --base-lines=N --base-version=N --stop= --started=: at any moment, through the
// mount, every byte that was acknowledged is there and right: the log is a
// prefix of what is written and has every acknowledged line, the store is one
// complete version and none before the acknowledged ones.
const fs = require('fs');
const path = require('path');
const { args, assert, logText, readIfThere, storeVersion, watch } = require('../mount/node/common.js');

const { named, rest } = args();
const [dir, acks] = rest;
const baseLines = Number(named['base-lines']);
const baseVersion = Number(named['base-version']);
const acked = (name) => Number(readIfThere(path.join(acks, name)) ?? 0);
let lines = 4000;
let reference = logText(1, lines);
let looks = 0;

watch(named, () => {
  const wantedLines = baseLines + acked('log');
  const log = fs.readFileSync(path.join(dir, 'logs/gateway.log'));
  while (reference.length < log.length) reference = logText(1, (lines *= 2));
  assert(log.equals(reference.subarray(0, log.length)), `the log of ${log.length} bytes is not what was written`);
  let got = 0;
  for (let at = log.indexOf(10); at >= 0; at = log.indexOf(10, at + 1)) got += 1;
  assert(got >= wantedLines, `the log has ${got} lines, ${wantedLines} were acknowledged`);

  let wantedVersion = baseVersion;
  for (let w = 0; w < 4; w++) wantedVersion += acked(`writer-${w}`);
  const version = storeVersion(fs.readFileSync(path.join(dir, 'agents/main/sessions/sessions.json'), 'utf8'));
  assert(version >= wantedVersion, `the store has version ${version}, ${wantedVersion} was acknowledged`);
  looks += 1;
}).then(() => fs.writeFileSync(named.out, JSON.stringify({ looks })));
