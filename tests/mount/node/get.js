'use strict';
// get.js KEY.KEY... [KEY...]: one value out of the JSON on stdin. Dots divide the first argument
// into keys; the others are one key each.
let value = JSON.parse(require('fs').readFileSync(0, 'utf8'));
for (const key of [...process.argv[2].split('.'), ...process.argv.slice(3)]) {
  if (typeof value !== 'object' || value === null || !(key in value)) {
    console.error(`get.js: no "${key}" of ${process.argv.slice(2).join(' ')}`);
    process.exit(1);
  }
  value = value[key];
}
console.log(typeof value === 'object' ? JSON.stringify(value) : String(value));
