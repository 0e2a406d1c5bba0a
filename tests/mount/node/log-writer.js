'use strict';
// log-writer.js FILE COUNT --who=NAME [--mode=append|plain|reopen] [--gap=MS] [--burst=N] [--ack=FILE]: numbered lines of
// one writer, each in one write call. append: one descriptor with O_APPEND; plain: one without, as a shell's ">"
// leaves it; reopen: open, write, close for each line. With --ack it ends well when a call fails, and leaves there how
// many lines were acknowledged.
const fs = require('fs');
const { args, logLine, sleep } = require('./common.js');

const { named, rest } = args();
const [file, count] = [rest[0], Number(rest[1])];
const mode = named.mode ?? 'append';
const burst = Number(named.burst ?? 20);
const seed = [...(named.who ?? 'a')].reduce((sum, c) => sum + c.charCodeAt(0), 0);

(async () => {
  const flags = mode === 'plain' ? fs.constants.O_WRONLY | fs.constants.O_CREAT : 'a';
  const held = mode === 'reopen' ? undefined : fs.openSync(file, flags);
  for (let n = 0; n < count; n++) {
    try {
      const fd = held ?? fs.openSync(file, 'a');
      fs.writeSync(fd, `${named.who ?? 'a'} ${n} ${logLine(seed, n)}`);
      if (named.ack) fs.writeFileSync(named.ack, String(n + 1));
      if (held === undefined) fs.closeSync(fd);
    } catch (error) {
      if (!named.ack) throw error;
      return;
    }
    if (named.gap && n % burst === burst - 1) await sleep(Number(named.gap));
  }
  if (held !== undefined) fs.closeSync(held);
})();
