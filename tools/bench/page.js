'use strict';
// bench.html: one page that needs nothing but itself.
const { escape, scatter, latencies, bars } = require('./plots.js');
const { number, cards, verdict, STREAMS, lost } = require('./table.js');

const style = `
:root { --ink: #1c2024; --soft: #5b6570; --faint: #e4e8ec; --paper: #fff; --ours: #1f6feb; --second: #7fb0f5; --base: #d9480f; --other: #8b949e; --bad: #c92a2a; --good: #2b8a3e; --band: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4ae; --faint: #2c333a; --paper: #15191d; --ours: #58a6ff; --second: #2f6db5; --base: #ff8a4c; --other: #7d8790; --bad: #ff6b6b; --good: #69db7c; --band: #1d2329; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 920px; padding: 32px 24px 64px; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 28px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 44px 0 4px; } h3 { font-size: 15px; margin: 24px 0 0; }
p { margin: 6px 0 12px; } .soft { color: var(--soft); font-size: 14px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 12px; margin: 20px 0; }
.fact { background: var(--band); border-radius: 8px; padding: 14px 16px; } .fact b { display: block; font-size: 26px; line-height: 1.2; color: var(--ours); } .fact span { color: var(--soft); font-size: 14px; }
svg { width: 100%; height: auto; display: block; margin: 8px 0; font: 12px system-ui, sans-serif; }
.grid { stroke: var(--faint); } .axis { stroke: var(--soft); } .leader { stroke: var(--soft); stroke-width: .7; } .band { fill: var(--band); }
.tick, .small { fill: var(--soft); font-size: 11px; } .label { fill: var(--soft); } .value { fill: var(--ink); font-variant-numeric: tabular-nums; }
.name { fill: var(--ink); } .name.ours { fill: var(--ours); font-weight: 600; } .name.base { fill: var(--base); font-weight: 600; }
.point { stroke: var(--paper); stroke-width: 1; } .point.ours, .bar.ours { fill: var(--ours); } .point.second, .bar.second { fill: var(--second); } .point.base, .bar.base { fill: var(--base); } .point.other, .bar.other { fill: var(--other); }
.bar { opacity: .75; } .range { stroke-width: 1.5; } .range.ours { stroke: var(--ours); } .range.second { stroke: var(--second); } .range.base { stroke: var(--base); } .range.other { stroke: var(--other); }
.ring { fill: none; stroke: var(--bad); stroke-width: 2; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; margin: 10px 0; }
th, td { text-align: right; padding: 5px 8px; border-bottom: 1px solid var(--faint); white-space: nowrap; } th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; }
tr.ours td:first-child { color: var(--ours); font-weight: 600; } tr.base td:first-child { color: var(--base); font-weight: 600; } td i { color: var(--soft); font-style: normal; } .bad { color: var(--bad); } .ok { color: var(--good); }
code { font: 13px ui-monospace, monospace; background: var(--band); padding: 2px 5px; border-radius: 4px; overflow-wrap: anywhere; }`;

const row = (cells, cls = '', tag = 'td') => `<tr class="${cls}">${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;
const table = (head, rows) => `<div class="scroll"><table>${row(head, '', 'th')}${rows.join('')}</table></div>`;
const against = (value, ratio) => `${number(value)}${ratio === null || ratio === undefined ? '' : ` <i>${number(ratio)}x</i>`}`;
const cls = ({ name }) => (name === 'ext4' ? 'base' : name.startsWith('clawfs') ? 'ours' : '');

// What a visitor wants to know first.
function facts(ours, base) {
  if (!ours || !base) return '';
  const share = (value) => (value === null || value === undefined ? '-' : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)}%`);
  const list = [
    [share(ours.ratios.mb), `of plain ext4's MB: ${number(ours.device.mb)} instead of ${number(base.device.mb)} a minute`],
    [share(ours.ratios.writes), `of its write commands: ${number(ours.device.writes)} instead of ${number(base.device.writes)} a minute`],
    [share(ours.ratios.flushes), `of its cache flushes: ${number(ours.device.flushes)} instead of ${number(base.device.flushes)} a minute`],
  ];
  if (ours.losses) {
    list.push([`${ours.losses.seconds.toFixed(1)} s`, `lost at the worst of ${ours.losses.cuts} power cuts; plain ext4 ${base.losses.everything ? 'lost everything since the mount' : `${base.losses.seconds.toFixed(1)} s`}${base.losses.damage.length > 0 ? ', and damaged files' : ''}`]);
  }
  return `<div class="facts">${list.map(([value, what]) => `<div class="fact"><b>${escape(value)}</b><span>${escape(what)}</span></div>`).join('')}</div>`;
}

function goals(configurations) {
  return configurations.filter(({ bounds }) => bounds).map((of) => `<h3>${escape(of.title)}</h3>${table(['', 'measured', 'at most', ''],
    of.bounds.map(({ what, value, most, holds }) => row([escape(what), number(value), most, verdict(holds, '<span class="ok">ok</span>', '<span class="bad">missed</span>')])))}`).join('');
}

function page(result) {
  const { configurations } = result;
  const base = configurations.find(({ name }) => name === 'ext4');
  const ours = configurations.find(({ name }) => name === 'clawfs');
  const every = configurations.flatMap(({ ops }) => Object.values(ops)).filter(({ count }) => count > 0);
  const low = 10 ** Math.floor(Math.log10(Math.max(1e-4, Math.min(...every.map(({ p5 }) => p5)))));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...every.map(({ p99 }) => p99))));
  const cut = configurations.some(({ losses }) => losses);
  const parts = [`<h1>What reaches the card, and what a power cut costs</h1>
<p class="soft">The mixed load of an AI gateway (log lines, saves of sessions.json, inserts and queries of a SQLite database, transcripts), ${result.seconds} s on each configuration.
${escape(result.clawfs)} (${escape(result.commit)}), ${result.machine.cores} cores (${escape(result.machine.cpu)}), Linux ${escape(result.machine.kernel)}, ${escape(result.when.slice(0, 16).replace('T', ' '))} UTC.
${cards(result)}.</p>`, facts(ours, base)];
  if (cut) {
    parts.push(`<h2>Written against lost</h2><p class="soft">Down and to the left is better; both scales are logarithmic. A red ring: files were damaged (torn, empty, NUL bytes, or a database that SQLite refuses).</p>`, scatter(configurations));
    parts.push(table([`Lost at the worst of ${result.cuts} cuts`, 'log lines', 'transcripts', 'session saves', 'commits'], configurations.filter(({ losses }) => losses).map((of) => row([escape(of.title),
      ...['log', 'transcript', 'save', 'insert'].map((stream) => (of.losses.streams[stream].damaged ? `<span class="bad">${lost(of, stream)}</span>` : lost(of, stream)))], cls(of)))));
    parts.push(`<p class="soft">The age of the oldest acknowledged operation that was missing. A cut is an instantaneous copy of the image while the load runs, mounted as after a power cut; a card that loses what it has said to have written would lose more.</p>`);
  }
  parts.push('<h2>On the card, per minute</h2>');
  if (configurations.some(({ name }) => name === 'rsync')) {
    parts.push("<p class=\"soft\">log2ram's own interval is a day, anything-sync-daemon's an hour: they write less than the rsync here, and lose that much.</p>");
  }
  for (const [title, unit, of] of [['MB written', 'MB', (c) => c.device.mb], ['Write commands', 'writes', (c) => c.device.writes], ['Cache flushes', 'flushes', (c) => c.device.flushes]]) {
    parts.push(`<h3>${title}</h3>`, bars(configurations, title, unit, of));
  }
  parts.push('<h2>What the application waits for</h2><p class="soft">Dot: median. Bar: the middle half. Line: from the 5th to the 99th percentile, marked at its end.</p>');
  for (const [op, title] of STREAMS) parts.push(`<h3>${escape(title[0].toUpperCase() + title.slice(1))}</h3>`, latencies(configurations, op, low, high));
  if (configurations.some(({ daemon }) => daemon)) {
    parts.push('<h2>The processes that serve it</h2>', table(['', 'processes', 'CPU, % of one core', 'PSS MiB', 'RSS MiB'], configurations.filter(({ daemon }) => daemon)
      .map((of) => row([escape(of.title), of.daemon.processes, number(of.daemon.cpu_percent), number(of.daemon.pss_mib), number(of.daemon.rss_mib)], cls(of)))));
  }
  if (base) parts.push('<h2>Goals</h2><p class="soft">Those for latencies are for the kernel\'s passthrough (Linux 6.9, as root).</p>', goals(configurations));
  parts.push('<h2>All figures</h2>');
  parts.push(table(['A minute', 'MB', 'writes', 'flushes'], configurations.map((of) => row([escape(of.title), ...['mb', 'writes', 'flushes'].map((key) => against(of.device[key], of.ratios?.[key]))], cls(of)))));
  for (const q of ['p50', 'p99']) {
    parts.push(table([`${q}, ms`, ...STREAMS.map(([, title]) => title)], configurations.map((of) => row([escape(of.title), ...STREAMS.map(([op]) => against(of.ops[op][q], of.ratios?.[`${op}_${q}`]))], cls(of)))));
  }
  parts.push(`<p class="soft">x: against plain ext4 in this run. To repeat it: <code>tools/bench/${escape(result.command)}</code></p>`);
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>clawfs: the mixed load</title><style>${style}</style></head>\n<body>\n${parts.join('\n')}\n</body></html>\n`;
}

module.exports = { page };
