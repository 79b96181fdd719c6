// Reports: each figure comes from one named query; the CSV is exactly the table shown.
import { h } from '../lib/dom.js';
import { t, word, has, lang } from '../lib/i18n.js';
import { num, pct, clock, duration, dateTime } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { get, all } from '../lib/api.js';
import { attempt, select } from '../lib/ui.js';
import * as stats from './stats.js';

const KINDS = ['by_hour', 'by_day', 'by_agent', 'by_campaign', 'by_line', 'by_status', 'by_outcome'];
const SUMS = new Set(['attempts', 'in_progress', 'answered', 'live', 'connected', 'abandoned', 'machines', 'sales', 'refusals', 'talk_s', 'calls', 'count']);
const NAMES = { agent_id: 'agents', campaign_id: 'campaigns', line_id: 'lines' };
const data = { rows: [], at: '', names: {}, kind: 'by_hour', period: 'today', campaign: '', from: '', to: '' };

function range() {
  const midnight = (back) => { const d = new Date(); d.setHours(0, 0, 0, 0); d.setDate(d.getDate() - back); return d.toISOString(); };
  const day = (text, plus) => { const [y, m, d] = text.split('-').map(Number); return new Date(y, m - 1, d + plus).toISOString(); };
  const custom = [data.from ? day(data.from, 0) : midnight(30), data.to ? day(data.to, 1) : ''];
  return { today: [midnight(0), ''], yesterday: [midnight(1), midnight(0)], week: [midnight(7), ''], month: [midnight(30), ''], custom }[data.period];
}
function query(format) {
  const [start, end] = range();
  const parts = new URLSearchParams({ start, ...(end ? { end } : {}), ...(data.campaign ? { campaign_id: data.campaign } : {}), ...(format ? { format, language: lang } : {}) });
  return `/reports/${data.kind}?${parts}`;
}
let appels = false;
export async function enter(route) {
  appels = route.rest[0] === 'appels';
  if (appels) { await stats.enter(route); return; }
  data.kind = KINDS.includes(route.rest[0]) ? route.rest[0] : 'by_hour';
  data.period = route.query.get('p') || 'today';
  data.campaign = route.query.get('c') || '';
  [data.from, data.to] = [route.query.get('du') || '', route.query.get('au') || ''];
  if (data.kind === 'by_agent' && !data.names.agent_id) data.names.agent_id = Object.fromEntries(((await attempt(() => all('/agents'))) || []).map((a) => [a.id, a.name]));
  const found = await attempt(() => get(query()));
  if (found) Object.assign(data, { rows: found.rows, at: found.computed_at });
  paint();
}
const go = (kind, period, campaign) => { location.hash = `#/rapports/${kind}?p=${period}${period === 'custom' ? `&du=${data.from}&au=${data.to}` : ''}${campaign ? `&c=${campaign}` : ''}`; };
function cell(name, value) {
  if (value === null || value === undefined) return '—';
  if (NAMES[name]) return data.names[name]?.[value] || live.state[NAMES[name]]?.[value]?.name || value;
  if (name === 'hour' || name.endsWith('_at')) return dateTime(value);
  if (name.endsWith('rate')) return pct(value);
  if (name.endsWith('_s')) return duration(value);
  if (name === 'outcome') return word('outcome', value);
  return typeof value === 'number' ? num(value) : String(value);
}
const label = (name) => (has(`report.${name}`) ? t(`report.${name}`) : name);
function plot() {
  if (data.kind !== 'by_hour' || data.rows.length < 2) return null;
  const top = Math.max(...data.rows.map((r) => r.attempts), 1);
  const w = 600 / data.rows.length;
  return h('svg', { class: 'plot', viewBox: '0 0 600 120', role: 'img', 'aria-label': t('report.plot', { n: num(top) }) },
    h('line', { class: 'grid-line', x1: 0, x2: 600, y1: 104, y2: 104 }),
    data.rows.map((r, i) => [h('rect', { key: `r${i}`, class: r.answered < 30 ? 'hollow' : 'column', x: i * w + 2, y: 104 - (r.attempts / top) * 96, width: Math.max(2, w - 4), height: (r.attempts / top) * 96 }), h('text', { key: `t${i}`, x: i * w + w / 2, y: 117, 'text-anchor': 'middle' }, String(new Date(r.hour).getHours()))]));
}
function chosenDays(e) { e.preventDefault(); const f = new FormData(e.target); location.hash = `#/rapports/${data.kind}?p=custom&du=${f.get('du')}&au=${f.get('au')}${data.campaign ? `&c=${data.campaign}` : ''}`; }
export const computedAt = () => (appels ? stats.computedAt() : data.at);
export function view() {
  if (appels) return stats.view();
  const columns = data.rows.length ? Object.keys(data.rows[0]) : [];
  const isNumber = (c) => SUMS.has(c) || /(_s|rate)$/.test(c);
  const campaigns = Object.values(live.state.campaigns).map((c) => [c.id, c.name]);
  return h('section', { class: 'card' },
    h('h1', null, t('nav.rapports'), ' ', h('span', { class: 'muted' }, t(`report.${data.kind}`))),
    h('div', { class: 'toolbar' },
      ['today', 'yesterday', 'week', 'month'].map((p) => h('button', { key: p, class: 'quiet', 'aria-pressed': String(data.period === p), onclick: () => go(data.kind, p, data.campaign) }, t(`period.${p}`))),
      h('form', { class: 'toolbar', onsubmit: chosenDays }, h('input', { type: 'date', name: 'du', value: data.from, 'aria-label': t('stats.from'), required: true }), h('input', { type: 'date', name: 'au', value: data.to, 'aria-label': t('stats.to'), required: true }), h('button', { class: 'quiet', 'aria-pressed': String(data.period === 'custom') }, t('period.custom'))),
      select('kind', data.kind, KINDS.map((k) => [k, t(`report.${k}`)]), { 'aria-label': t('report.by'), onchange: (e) => go(e.target.value, data.period, data.campaign) }),
      select('campaign', data.campaign, [['', t('report.all_campaigns')], ...campaigns], { 'aria-label': t('col.campaign'), onchange: (e) => go(data.kind, data.period, e.target.value) }),
      h('span', { class: 'grow' }), h('a', { class: 'button', href: '#/rapports/appels' }, t('stats.title')), h('a', { class: 'button', href: '#/enregistrements' }, t('nav.enregistrements')), h('a', { class: 'button', href: `/api/v1${query('csv')}` }, 'CSV'), h('button', { onclick: () => print() }, t('do.print')), h('button', { onclick: () => enter({ rest: [data.kind], query: new URLSearchParams(location.hash.split('?')[1] || '') }) }, t('do.refresh'))),
    plot(),
    data.rows.length === 0 ? h('p', { class: 'empty' }, t('report.none')) : h('table', { class: 'grid', 'data-query': `${data.kind}.sql` },
      h('thead', null, h('tr', null, columns.map((c) => h('th', { key: c, scope: 'col', class: isNumber(c) ? 'n' : '' }, label(c))))),
      h('tbody', null, data.rows.map((r, i) => h('tr', { key: i }, columns.map((c) => h('td', { key: c, class: isNumber(c) ? 'n' : '' }, cell(c, r[c]))))),
        h('tr', { key: 'total' }, columns.map((c, i) => h('td', { key: c, class: isNumber(c) ? 'n' : '' }, h('b', null, i === 0 ? t('report.total') : SUMS.has(c) ? cell(c, data.rows.reduce((n, r) => n + (r[c] || 0), 0)) : c === 'answer_rate' ? rate() : '')))))),
    h('p', { class: 'muted' }, t('report.computed', { at: data.at ? clock(new Date(data.at)) : '—' }), ` · ${data.kind}.sql`));
}
const rate = () => { const a = data.rows.reduce((n, r) => n + r.attempts, 0); return a ? pct(data.rows.reduce((n, r) => n + r.answered, 0) / a) : '—'; };
