'use strict';
// The tables that the benchmarks print.

const digits = (value) => (value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 3);
const number = (value) => (value === null || value === undefined ? '-' : value === 0 ? '0' : value.toFixed(digits(value)));
const times = (value) => (value === null || value === undefined ? '' : ` (${number(value)}x)`);

// Columns as wide as they need to be; the first to the left, and the last if it is text.
function table(head, rows, text = false) {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((cells) => cells[i].length)));
  const line = (cells) => cells.map((cell, i) => (i === 0 || (text && i === cells.length - 1) ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ').trimEnd();
  console.log(line(head));
  console.log('-'.repeat(Math.min(120, widths.reduce((sum, width) => sum + width + 2, -2))));
  for (const cells of rows) console.log(line(cells));
}

// null: a goal for somebody else.
const verdict = (holds, yes, no) => (holds === null ? '' : holds ? yes : no);

const STREAMS = [['log', 'log line'], ['transcript', 'transcript'], ['save', 'session save'], ['insert', 'insert'], ['query', 'query']];

// "0", "4.2 s", "all"; with what is damaged.
function lost(of, stream) {
  const { none, seconds, everything, damaged } = of.losses?.streams[stream] ?? { none: true };
  if (none) return '-';
  return `${everything ? 'all' : `${seconds.toFixed(1)} s`}${damaged ? `, ${damaged} damaged` : ''}`;
}

/** What the configurations wrote to, as a line. */
function cards(result) {
  if (result.card) return `Synthetic card: ${result.card.write_ms} ms per write command, ${result.card.mb_per_second} MB/s`;
  if (result.images) return `ext4 images in ${result.images}: a flush is one of the disk below`;
  return 'ext4 images in RAM: a write or a flush costs the card nothing';
}

function print(result) {
  const { configurations } = result;
  console.log(`Mixed load, ${result.seconds} s for each configuration, ${result.machine.cores} cores, Linux ${result.machine.kernel}, ${result.clawfs} (${result.commit})`);
  console.log(cards(result));
  console.log('In brackets: against plain ext4 in this run.\n');

  table(['on the card, a minute', 'MB', 'writes', 'flushes', 'CPU %', 'PSS MiB', 'RSS MiB'], configurations.map((of) => [
    of.title,
    number(of.device.mb) + times(of.ratios?.mb),
    number(of.device.writes) + times(of.ratios?.writes),
    number(of.device.flushes) + times(of.ratios?.flushes),
    number(of.daemon?.cpu_percent), number(of.daemon?.pss_mib), number(of.daemon?.rss_mib),
  ]));
  for (const q of ['p50', 'p99']) {
    console.log();
    table([`latency ${q}, ms`, ...STREAMS.map(([, title]) => title)], configurations.map((of) => [
      of.title, ...STREAMS.map(([op]) => number(of.ops[op][q]) + times(of.ratios?.[`${op}_${q}`])),
    ]));
  }
  for (const of of configurations) {
    if (of.late_ms > 1000) console.log(`${of.title} fell behind the load by ${number(of.late_ms / 1000)} s`);
    if (of.losses?.late_ms > 1000) console.log(`${of.title} fell behind the load by ${number(of.losses.late_ms / 1000)} s in the part with the power cuts`);
  }
  if (configurations.some(({ name }) => name === 'rsync')) {
    console.log("\nlog2ram's own interval is a day, anything-sync-daemon's an hour: they write less than the rsync here, and lose that much.");
  }
  if (configurations.some((of) => of.losses)) {
    console.log();
    table([`lost at the worst of ${result.cuts} power cuts`, 'log lines', 'transcripts', 'saves', 'commits'], configurations.map((of) => [
      of.title, ...['log', 'transcript', 'save', 'insert'].map((stream) => lost(of, stream)),
    ]));
    for (const of of configurations) {
      for (const { stream, cuts, example } of of.losses.damage) console.log(`  ${of.title}: ${stream} in ${cuts} cuts: ${example}`);
    }
  }
  for (const of of configurations.filter(({ bounds }) => bounds)) {
    console.log();
    table([of.name === 'clawfs' ? 'goals' : `${of.title}, beside the goals`, 'measured', 'at most', ''], of.bounds.map(({ what, value, most, holds }) => [
      what, number(value), String(most), verdict(holds, 'ok', 'MISSED'),
    ]));
  }
}

module.exports = { number, times, table, cards, print, verdict, STREAMS, lost };
