'use strict';
// poll-ram.js STATS.JSON UPPER --stop= --started=: P11. At every look RAM used is at most
// ram_max, by the daemon's count; and by the file system's, page rounding allowed for.
const { execFileSync } = require('child_process');
const fs = require('fs');
const { args, assert, watch } = require('./common.js');

const { named, rest } = args();
let peak = 0;
let peakBlocks = 0;
let looks = 0;

watch(named, (n) => {
  const stats = JSON.parse(fs.readFileSync(rest[0], 'utf8'));
  looks += 1;
  peak = Math.max(peak, stats.ram_used);
  assert(stats.ram_used <= stats.ram_max, `ram_used is ${stats.ram_used}, ram_max ${stats.ram_max}`);
  if (n % 16 === 0) {
    // Files come and go under du's hands; what it complains about is not there.
    let out;
    try {
      out = execFileSync('du', ['-s', '--block-size=1', rest[1]], { stdio: ['ignore', 'pipe', 'ignore'] });
    } catch (error) {
      out = error.stdout;
    }
    peakBlocks = Math.max(peakBlocks, parseInt(out, 10));
    assert(peakBlocks <= 2 * stats.ram_max, `the upper tree takes ${peakBlocks} bytes of RAM`);
  }
}).then(() => console.log(`${looks} looks, at most ${peak} bytes by the stats, ${peakBlocks} by du`));
