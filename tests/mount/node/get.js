'use strict';
// get.js KEY.KEY...: one value out of the JSON on stdin.
let value = JSON.parse(require('fs').readFileSync(0, 'utf8'));
for (const key of process.argv[2].split('.')) {
  if (typeof value !== 'object' || value === null || !(key in value)) {
    console.error(`get.js: no "${key}" of ${process.argv[2]}`);
    process.exit(1);
  }
  value = value[key];
}
console.log(typeof value === 'object' ? JSON.stringify(value) : String(value));
