'use strict';
// powercut.js IMAGE COPY: takes a copy of the image that is one instant of it (FICLONE is atomic
// against the loop driver's writes) and prints the monotonic ms just before.
const { execFileSync } = require('child_process');
const { args, mono } = require('./common.js');

const { rest } = args();
const before = mono();
execFileSync('cp', ['--reflink=always', rest[0], rest[1]]);
console.log(before);
