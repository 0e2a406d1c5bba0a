// openmetrics.js FILE: the rules that promtool does not judge (sets of samples in one piece, no counter below 0, buckets
// that grow, +Inf and count that agree), and that nothing is there twice. Exits 1 with a reason.
'use strict';
const fs = require('fs');
const lines = fs.readFileSync(process.argv[2], 'utf8').split('\n');
const values = new Map();
const families = new Map();
let family = null;
const die = (why) => {
  console.error(why);
  process.exit(1);
};

for (const line of lines) {
  if (line === '' || line === '# EOF') continue;
  const type = line.match(/^# TYPE (\S+) (\S+)$/);
  if (type) {
    if (families.has(type[1])) die(`${type[1]} comes twice`);
    family = { name: type[1], type: type[2] };
    families.set(type[1], family);
    continue;
  }
  if (line.startsWith('# ')) {
    if (!line.match(new RegExp(`^# (HELP|UNIT) ${family.name} `))) die(`out of place: ${line}`);
    continue;
  }
  const sample = line.match(/^([a-z_]+)(\{[^}]*\})? (\S+)$/);
  if (!sample || Number.isNaN(Number(sample[3]))) die(`no sample: ${line}`);
  const key = sample[1] + (sample[2] || '');
  if (values.has(key)) die(`${key} comes twice`);
  if (!sample[1].startsWith(family.name)) die(`${key} is not of ${family.name}`);
  values.set(key, Number(sample[3]));
}
if (lines[lines.length - 2] !== '# EOF') die('no # EOF at the end');
if (families.size < 30) die(`only ${families.size} families`);
let histograms = 0;
for (const [key, value] of values) {
  if (value < 0) die(`${key} is ${value}`);
  const m = key.match(/^(.*)_count(\{.*)\}$/);
  if (!m) continue;
  histograms++;
  let before = 0;
  for (const [k, v] of values)
    if (k.startsWith(`${m[1]}_bucket${m[2]},`)) {
      if (v < before) die(`${k} is below the one before`);
      before = v;
    }
  if (values.get(`${m[1]}_bucket${m[2]},le="+Inf"}`) !== value) die(`${key} and +Inf differ`);
}
if (histograms < 5) die(`only ${histograms} histograms`);
