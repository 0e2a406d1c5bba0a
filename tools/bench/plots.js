'use strict';
// The plots of the page: SVG as text, sized by their viewBox, coloured by the page's style sheet.

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }[c]));
const text = (x, y, content, cls, anchor = 'start') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${cls}" text-anchor="${anchor}">${escape(content)}</text>`;
const line = (x1, y1, x2, y2, cls) => `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" class="${cls}"/>`;
const circle = (x, y, r, cls, title) => `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${r}" class="${cls}"><title>${escape(title)}</title></circle>`;
const rect = (x, y, w, h, cls, title = '') => `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${Math.max(w, 0).toFixed(1)}" height="${h}" class="${cls}"><title>${escape(title)}</title></rect>`;
const svg = (width, height, label, body) => `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(label)}">${body}</svg>`;

const kind = (name) => (name === 'ext4' ? 'base' : name === 'clawfs' ? 'ours' : name.startsWith('clawfs') ? 'ours second' : 'other');

// Powers of ten, and 2 and 5 times them, within [low, high].
function decades(low, high, steps = [1]) {
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
    for (const step of steps) {
      const tick = step * 10 ** e;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(Number(tick.toPrecision(3)));
    }
  }
  return ticks;
}
const logScale = (low, high, from, to) => (value) => from + ((to - from) * Math.log(Math.max(value, low) / low)) / Math.log(high / low);

// Puts a label beside a point where it covers neither a point nor another label.
function placeLabel(x, y, label, taken, bounds) {
  const width = label.length * 7 + 4;
  const spots = [[13, 4, 0], [-13 - width, 4, 0], [-width / 2, -14, 0], [-width / 2, 23, 0]];
  for (const drop of [16, -16, 32, -32, 48]) spots.push([13, 4 + drop, 1], [-13 - width, 4 + drop, 1]);
  const box = ([dx, dy]) => ({ x: x + dx, y: y + dy - 11, w: width, h: 14 });
  const free = (b) => b.x > bounds.x && b.x + b.w < bounds.x + bounds.w && b.y > bounds.y && b.y + b.h < bounds.y + bounds.h
    && taken.every((t) => b.x + b.w < t.x || t.x + t.w < b.x || b.y + b.h < t.y || t.y + t.h < b.y);
  const spot = spots.find((s) => free(box(s))) ?? spots[0];
  taken.push(box(spot));
  return { x: x + spot[0], y: y + spot[1], far: spot[2] === 1 };
}

// MB a minute against what the worst power cut cost.
function scatter(configurations) {
  const shown = configurations.filter(({ losses }) => losses);
  const [width, height] = [860, 460];
  const plot = { x: 70, y: 58, w: width - 95, h: height - 115 };
  const everything = 32; // the y of the band above the scale
  const low = Math.max(0.1, Math.min(...shown.map(({ device }) => device.mb).filter((mb) => mb > 0.1)));
  const left = low / 1.6;
  const high = Math.max(...shown.map(({ device }) => device.mb)) * 1.5;
  const worst = Math.max(10, ...shown.filter(({ losses }) => !losses.everything).map(({ losses }) => losses.seconds)) * 1.4;
  // Nothing written has no place on a logarithmic scale: a strip at its left.
  const none = shown.some(({ device }) => device.mb < left) ? 60 : 0;
  const x = logScale(left, high, plot.x + none, plot.x + plot.w);
  const least = Math.max(0.1, Math.min(...shown.map(({ losses }) => losses.seconds).filter((s) => s > 0.1), 1) / 2);
  const y = logScale(least, worst, plot.y + plot.h, plot.y);
  const px = (mb) => (mb < left ? plot.x + none / 2 : x(mb));
  const parts = [rect(plot.x, everything - 14, plot.w, 28, 'band')];
  parts.push(text(plot.x + plot.w - 6, everything + 4, 'everything since the mount', 'small', 'end'));
  for (const tick of decades(left, high, [1, 2, 5])) {
    parts.push(line(x(tick), plot.y, x(tick), plot.y + plot.h, 'grid'), text(x(tick), plot.y + plot.h + 18, tick, 'tick', 'middle'));
  }
  if (none) parts.push(text(plot.x + none / 2, plot.y + plot.h + 18, '0', 'tick', 'middle'), line(plot.x + none, plot.y, plot.x + none, plot.y + plot.h, 'axis'));
  for (const tick of decades(least, worst, [1, 2, 5])) {
    parts.push(line(plot.x, y(tick), plot.x + plot.w, y(tick), 'grid'), text(plot.x - 8, y(tick) + 4, tick, 'tick', 'end'));
  }
  parts.push(line(plot.x, plot.y + plot.h, plot.x + plot.w, plot.y + plot.h, 'axis'));
  parts.push(text(plot.x + plot.w, plot.y + plot.h + 42, 'MB written to the card per minute (less is better)', 'label', 'end'));
  parts.push(`<text transform="translate(18 ${plot.y + plot.h / 2}) rotate(-90)" class="label" text-anchor="middle">seconds lost at the worst power cut</text>`);

  // Ours last, so that they lie on top.
  const order = [...shown].sort((a, b) => a.name.startsWith('clawfs') - b.name.startsWith('clawfs') || (a.name < b.name ? 1 : -1));
  const points = order.map((of) => ({ of, x: px(of.device.mb), y: of.losses.everything ? everything : y(of.losses.seconds) }));
  const taken = points.map((p) => ({ x: p.x - 10, y: p.y - 10, w: 20, h: 20 }));
  if (shown.some(({ losses }) => losses.everything)) taken.push({ x: plot.x + plot.w - 190, y: everything - 10, w: 190, h: 20 });
  for (const { of, x: cx, y: cy } of points) {
    const damaged = of.losses.damage.length > 0;
    parts.push(circle(cx, cy, 6, `point ${kind(of.name)}${damaged ? ' damaged' : ''}`,
      `${of.title}: ${of.device.mb.toFixed(1)} MB a minute, ${of.losses.everything ? 'everything' : `${of.losses.seconds.toFixed(1)} s`} lost${damaged ? ', files damaged' : ''}`));
    if (damaged) parts.push(circle(cx, cy, 10, 'ring', 'files damaged'));
    const at = placeLabel(cx, cy, of.title, taken, { x: 40, y: 0, w: width - 42, h: height });
    if (at.far) parts.push(line(cx, cy, at.x < cx ? at.x + of.title.length * 7 : at.x - 2, at.y - 4, 'leader'));
    parts.push(text(at.x, at.y, of.title, `name ${kind(of.name)}`));
  }
  return svg(width, height, 'MB written per minute against seconds lost at a power cut', parts.join(''));
}

// One operation: for each configuration p5 to p99 as a line, p25 to p75 as a bar, p50 as a dot.
function latencies(configurations, op, low, high) {
  const [width, row, left, right, top] = [860, 22, 215, 150, 26];
  const shown = configurations.filter(({ ops }) => ops[op].count > 0);
  const height = top + shown.length * row + 30;
  const x = logScale(low, high, left, width - right);
  const parts = [];
  for (const tick of decades(low, high)) {
    parts.push(line(x(tick), top - 8, x(tick), height - 26, 'grid'), text(x(tick), height - 8, `${tick} ms`, 'tick', 'middle'));
  }
  parts.push(text(width - right + 60, top - 12, 'p50', 'small', 'end'), text(width - 10, top - 12, 'p99, ms', 'small', 'end'));
  shown.forEach((of, i) => {
    const q = of.ops[op];
    const cy = top + i * row + row / 2;
    const title = `${of.title}: p50 ${q.p50} ms, p95 ${q.p95} ms, p99 ${q.p99} ms, max ${q.max} ms, ${q.count} times`;
    parts.push(text(left - 12, cy + 4, of.title, `name ${kind(of.name)}`, 'end'));
    parts.push(line(x(q.p5), cy, x(q.p99), cy, `range ${kind(of.name)}`), line(x(q.p99), cy - 5, x(q.p99), cy + 5, `range ${kind(of.name)}`));
    parts.push(rect(x(q.p25), cy - 4, x(q.p75) - x(q.p25), 8, `bar ${kind(of.name)}`, title), circle(x(q.p50), cy, 4, `point ${kind(of.name)}`, title));
    parts.push(text(width - right + 60, cy + 4, q.p50.toPrecision(2), 'value', 'end'), text(width - 10, cy + 4, q.p99.toPrecision(2), 'value', 'end'));
  });
  return svg(width, height, `latency of ${op}`, parts.join(''));
}

// One quantity per configuration.
function bars(configurations, title, unit, of) {
  const [width, row, left, right, top] = [860, 22, 215, 130, 8];
  const values = configurations.map((c) => ({ c, value: of(c) })).filter(({ value }) => value !== null && value !== undefined);
  const high = Math.max(...values.map(({ value }) => value), 1e-9);
  const base = values.find(({ c }) => c.name === 'ext4')?.value;
  const parts = values.map(({ c, value }, i) => {
    const y = top + i * row;
    const length = ((width - left - right) * value) / high;
    const against = base > 0 && c.name !== 'ext4' ? ` (${(value / base).toPrecision(2)}x)` : '';
    const said = value === 0 ? '0' : value >= 100 ? value.toFixed(0) : value.toPrecision(3);
    return text(left - 12, y + 15, c.title, `name ${kind(c.name)}`, 'end') + rect(left, y + 4, Math.max(length, 1), 14, `bar ${kind(c.name)}`, `${c.title}: ${said} ${unit}`)
      + text(left + length + 7, y + 15, `${said}${against}`, 'value');
  });
  return svg(width, top + values.length * row + 8, title, parts.join(''));
}

module.exports = { escape, scatter, latencies, bars };
