// Reports as a curve: one column by hour or by day as bars, the period before it as a grey line on the same scale. Shape
// tells them apart, not colour alone; hours without calls are zeros for counts and gaps for rates and means.
import { h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { live } from '../lib/live.js';
import { select, empty } from '../lib/ui.js';

const [W, LEFT, FOOT, TOP] = [900, 46, 16, 12];
const HEIGHT = { screen: 150, paper: 64 }; // a day by hour with its two lines of comparison is one sheet
const HOUR = 3600000;
const DAY = 24 * HOUR;

// Slots of the period: [{key, label, tick}], `key` as the rows have it (an hour as an instant, a day as its date).
export function slots(kind, start, end) {
  const found = [];
  const at = new Date(start);
  while (at < end && found.length < 800) {
    const [two, hour] = [(n) => String(n).padStart(2, '0'), at.getHours()];
    const day = `${two(at.getDate())}/${two(at.getMonth() + 1)}`;
    if (kind === 'by_hour') found.push({ key: at.getTime(), label: `${day} ${hour} h`, hour, day });
    else found.push({ key: `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`, label: day, hour: 0, day });
    if (kind === 'by_hour') at.setTime(at.getTime() + HOUR); else at.setDate(at.getDate() + 1);
  }
  return found;
}
// The column's value in each slot; a slot without a row is 0 for a count, unknown for the rest. `until`: nothing is known later.
export function values(kind, rows, found, column, isCount, until) {
  const by = new Map(rows.map((r) => [kind === 'by_hour' ? Date.parse(r.hour) : r.day, r[column]]));
  const from = (key) => (kind === 'by_hour' ? key : new Date(`${key}T00:00`).getTime());
  return found.map(({ key }) => (from(key) >= until ? null : by.get(key) ?? (isCount ? 0 : null)));
}

function ticks(found, kind) {
  const whole = kind === 'by_hour' && found.length > 30;
  const step = whole ? DAY / HOUR : Math.max(1, Math.ceil(found.length / 16));
  return found.map((s, i) => [s, i]).filter(([s, i]) => (whole ? s.hour === 0 : i % step === 0)).map(([s, i]) => [i, kind === 'by_hour' && !whole ? `${s.hour} h` : s.day]);
}
// `now`, `before`: values by slot; `format` writes one. `named`: [this period, the one before] in words.
export function curve({ kind, found, now, before, label, format, named, columns, column, pick }) {
  const known = [...now, ...before].filter((v) => v !== null);
  const high = Math.max(...known, 0) || 1;
  const H = live.printing ? HEIGHT.paper : HEIGHT.screen;
  const step = (W - LEFT - 4) / Math.max(1, found.length);
  const x = (i) => LEFT + i * step;
  const y = (v) => H - FOOT - (v / high) * (H - FOOT - TOP);
  const runs = [];
  before.forEach((v, i) => { if (v === null) return; if (i && before[i - 1] !== null) runs.at(-1).push([i, v]); else runs.push([[i, v]]); });
  const most = (list) => { const told = list.filter((v) => v !== null); return told.length ? format(Math.max(...told)) : '—'; };
  return h('figure', { class: 'curve', 'data-curve': column },
    h('figcaption', null, h('b', null, t(kind === 'by_hour' ? 'curve.by_hour' : 'curve.by_day', { column: label })), h('span', { class: 'key now' }, named[0]), h('span', { class: 'key before' }, named[1]),
      h('span', { class: 'toolbar right' }, select('column', column, columns, { 'aria-label': t('curve.column'), onchange: (e) => pick(e.target.value) }))),
    known.length === 0 ? empty('report.none') : h('svg', { class: 'plot', viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': t('curve.said', { column: label, now: most(now), before: most(before) }) },
      h('line', { class: 'grid-line', x1: LEFT, x2: W - 4, y1: y(0), y2: y(0) }), h('text', { x: LEFT - 6, y: y(0), 'text-anchor': 'end' }, '0'), h('text', { x: LEFT - 6, y: y(high) + 8, 'text-anchor': 'end' }, format(high)),
      now.map((v, i) => v !== null && h('rect', { key: `n${i}`, class: 'column', x: x(i) + step * 0.1, y: y(v), width: Math.max(1, step * 0.8), height: Math.max(0, y(0) - y(v)) }, h('title', null, `${found[i].label} : ${format(v)}`))),
      runs.map((run, k) => h('polyline', { key: `b${k}`, class: 'before', points: (run.length > 1 ? run.map(([i, v]) => `${(x(i) + step / 2).toFixed(1)},${y(v).toFixed(1)}`) : [[0.2, 0.8].map((part) => `${(x(run[0][0]) + step * part).toFixed(1)},${y(run[0][1]).toFixed(1)}`)].flat()).join(' ') })),
      ticks(found, kind).map(([i, text]) => h('text', { key: `t${i}`, x: x(i) + step / 2, y: H - 3, 'text-anchor': 'middle' }, text))));
}
