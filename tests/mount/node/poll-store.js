'use strict';
// poll-store.js FILE --stop= --started= [--deny=REGEX] [--max=N]: P3. At every look
// FILE is one complete version of a store (common.js), never an older one
// than before; no name beside it matches --deny; at most --max versions are seen.
const fs = require('fs');
const path = require('path');
const { args, assert, fail, readIfThere, storeVersion, watch } = require('./common.js');

const { named, rest } = args();
const deny = named.deny && new RegExp(named.deny);
let newest = -1;
let versions = 0;
let looks = 0;

watch(named, () => {
  const bytes = readIfThere(rest[0]);
  looks += 1;
  if (deny) {
    for (const name of fs.readdirSync(path.dirname(rest[0]))) {
      assert(!deny.test(name), `${name} is on the card`);
    }
  }
  if (bytes === null) {
    assert(newest < 0, `${rest[0]} vanished`);
    return;
  }
  let version;
  try {
    version = storeVersion(bytes.toString());
  } catch (error) {
    fail(`${bytes.length} bytes are no complete version: ${error.message}`);
  }
  assert(version >= newest, `version went back from ${newest} to ${version}`);
  if (version > newest) versions += 1;
  newest = version;
}).then(() => {
  console.log(`${looks} looks, ${versions} versions, ${newest} the last`);
  if (named.max) assert(versions <= Number(named.max), `${versions} versions reached the card`);
});
