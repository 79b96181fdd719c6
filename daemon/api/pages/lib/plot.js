// Small plots in SVG: y from 0, direct labels, lost data is a gap (null), a sentence for those who can't see them.
import { h } from './dom.js';
import { t } from './i18n.js';
import { clock } from './format.js';
import { paint } from './live.js';
import { empty, grid } from './ui.js';

const W = 360;
const H = 110;
const FOOT = 16;

// The numbers behind a plot, for those who cannot see it or want one of them; made only while it stands open.
const opened = new Set();
const table = (name, head, rows) => h('details', { class: 'numbers', open: opened.has(name), ontoggle: (e) => { if (e.target.open !== opened.has(name)) { opened[e.target.open ? 'add' : 'delete'](name); paint(); } } },
  h('summary', null, t('plot.table'), h('span', { class: 'sr' }, ` ${name}`)),
  opened.has(name) && h('div', { class: 'numbers-rows', tabindex: '0' }, grid(h('thead', null, h('tr', null, head.map((x) => h('th', { key: x, scope: 'col' }, x)))), rows.map(([key, shown]) => h('tr', { key }, h('th', { scope: 'row' }, key), h('td', { class: 'n' }, shown))))));

// points: [[ms, value|null], …] in time order; a null is a gap, hatched. `marks`: [[ms, what was changed], …].
export function line(points, { top, unit, format, marks = [] }) {
  const known = points.filter(([, v]) => v !== null);
  if (known.length < 2) return empty('plot.none');
  const [from, to] = [points[0][0], points[points.length - 1][0]];
  const high = Math.max(top || 0, ...known.map(([, v]) => v)) * 1.1 || 1;
  const x = (at) => 38 + ((at - from) / Math.max(1, to - from)) * (W - 44);
  const y = (v) => H - FOOT - (v / high) * (H - FOOT - 8);
  const runs = [];
  const gaps = [];
  let run = [];
  points.forEach(([at, v], i) => {
    if (v !== null) { run.push(`${x(at).toFixed(1)},${y(v).toFixed(1)}`); return; }
    if (run.length) runs.push(run);
    run = [];
    if (i > 0 && points[i - 1][1] === null) gaps[gaps.length - 1][1] = at; else gaps.push([points[Math.max(0, i - 1)][0], at]);
  });
  if (run.length) runs.push(run);
  const values = known.map(([, v]) => v);
  const said = t('plot.said', { low: format(Math.min(...values)), high: format(Math.max(...values)), last: format(values[values.length - 1]) });
  return [h('svg', { class: 'plot', viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': `${unit}. ${said}` },
    h('line', { class: 'grid-line', x1: 38, x2: W - 6, y1: y(0), y2: y(0) }), h('text', { x: 34, y: y(0), 'text-anchor': 'end' }, '0'), h('text', { x: 34, y: y(high / 1.1) + 8, 'text-anchor': 'end' }, format(high / 1.1)),
    gaps.map(([a, b], i) => h('rect', { key: `g${i}`, class: 'gap', x: x(a), y: 8, width: Math.max(1, x(b) - x(a)), height: H - FOOT - 8 })),
    marks.filter(([at]) => at > from && at < to).map(([at, what]) => h('line', { key: `m${at}`, class: 'change', x1: x(at), x2: x(at), y1: 8, y2: H - FOOT }, h('title', null, what))),
    runs.map((r, i) => h('polyline', { key: i, class: 'series', points: r.join(' ') })),
    h('text', { x: 38, y: H - 3 }, clock(new Date(from), false)), h('text', { x: W - 6, y: H - 3, 'text-anchor': 'end' }, clock(new Date(to), false))),
  table(unit, [t('plot.at'), unit], points.map(([at, v]) => [clock(new Date(at)), v === null ? '?' : format(v)]).reverse())];
}

// bars: [{label, rate|null, events}]; under 30 events a bar is hollow. The ceiling is a line with its label.
export function bars(rows, ceiling, format) {
  if (!rows.length) return empty('plot.none');
  const high = Math.max(ceiling * 1.3, ...rows.map((r) => r.rate || 0));
  const y = (v) => H - FOOT - (v / high) * (H - FOOT - 8);
  const width = (W - 44) / Math.max(rows.length, 6);
  const top = Math.max(...rows.map((r) => r.rate || 0));
  return [h('svg', { class: 'plot', viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': t('plot.hour_said', { n: rows.length, high: format(top) }) },
    h('line', { class: 'grid-line', x1: 38, x2: W - 6, y1: y(0), y2: y(0) }), h('text', { x: 34, y: y(0), 'text-anchor': 'end' }, '0'),
    rows.map((r, i) => [h('rect', { key: `b${i}`, class: r.events < 30 ? 'hollow' : 'column', x: 40 + i * width, y: y(r.rate || 0), width: Math.max(2, width - 4), height: Math.max(0, y(0) - y(r.rate || 0)) }), h('text', { key: `t${i}`, x: 40 + i * width + width / 2, y: H - 3, 'text-anchor': 'middle' }, r.label)]),
    h('line', { class: 'limit', x1: 38, x2: W - 6, y1: y(ceiling), y2: y(ceiling) }), h('text', { x: W - 6, y: y(ceiling) - 3, 'text-anchor': 'end' }, t('plot.ceiling', { ceiling: (ceiling * 100).toFixed(0) }))),
  table(t('plot.abandon'), [t('report.hour'), t('plot.abandon')], rows.map((r) => [`${r.label} h`, r.rate === null ? '—' : format(r.rate)]))];
}
