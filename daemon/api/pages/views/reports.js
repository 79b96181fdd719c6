// Reports: each figure comes from one named query; the CSV is exactly the table shown.
import { h } from '../lib/dom.js';
import { t, word, has, lang } from '../lib/i18n.js';
import { num, pct, clock, date, day, duration, dateTime } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { get, all } from '../lib/api.js';
import { attempt, select, computed, empty } from '../lib/ui.js';
import { curve, slots, values } from './curve.js';
import * as stats from './stats.js';

const KINDS = ['by_hour', 'by_day', 'by_agent', 'by_campaign', 'by_line', 'by_status', 'by_outcome'];
const SUMS = new Set(['attempts', 'in_progress', 'answered', 'live', 'connected', 'abandoned', 'machines', 'sales', 'refusals', 'talk_s', 'calls', 'count']);
const NAMES = { agent_id: 'agents', campaign_id: 'campaigns', line_id: 'lines' };
const data = { rows: [], before: [], at: '', span: null, names: {}, kind: 'by_hour', period: 'today', campaign: '', from: '', to: '', column: 'attempts' };

// The period as two instants, `back` periods of its length ago: what is under way ends now, the one before at the same time
// of its own last day. By the calendar, so that a change of the clocks moves no day. Third: whether it is under way.
function range(back = 0) {
  const midnight = (days) => { const d = new Date(); d.setHours(0, 0, 0, 0); d.setDate(d.getDate() - days); return d; };
  const day = (text, plus) => { const [y, m, d] = text.split('-').map(Number); return new Date(y, m - 1, d + plus); };
  const ago = (date, days) => { const d = new Date(date); d.setDate(d.getDate() - days); return d; };
  if (data.period === 'custom') {
    const [start, end] = [data.from ? day(data.from, 0) : midnight(30), data.to ? day(data.to, 1) : new Date()];
    const days = Math.max(1, Math.round((end - start) / 86400000)) * back;
    return [ago(start, days), ago(end, days), !back && end > Date.now()];
  }
  const [first, days] = { today: [0, 1], yesterday: [1, 1], week: [7, 7], month: [30, 30] }[data.period];
  return [midnight(first + days * back), data.period === 'yesterday' ? midnight(days * back) : ago(new Date(), days * back), !back && data.period !== 'yesterday'];
}
function query(format, [start, end, open] = range()) {
  const parts = new URLSearchParams({ start: start.toISOString(), ...(open ? {} : { end: end.toISOString() }), ...(data.campaign ? { campaign_id: data.campaign } : {}), ...(format ? { format, language: lang } : {}) });
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
  data.column = route.query.get('col') || 'attempts';
  if (data.kind === 'by_agent' && !data.names.agent_id) data.names.agent_id = Object.fromEntries(((await attempt(() => all('/agents'))) || []).map((a) => [a.id, a.name]));
  const span = [range(), range(1)];
  const [found, before] = await Promise.all([attempt(() => get(query('', span[0]))), get(query('', span[1])).catch(() => null)]);
  if (found) Object.assign(data, { rows: found.rows, at: found.computed_at, before: before?.rows || [], span });
  paint();
}
const go = (changes) => {
  const { kind, period, campaign, column, from, to } = { ...data, ...changes };
  const parts = new URLSearchParams({ p: period, ...(period === 'custom' ? { du: from, au: to } : {}), ...(campaign ? { c: campaign } : {}), ...(column === 'attempts' ? {} : { col: column }) });
  location.hash = `#/rapports/${kind}?${parts}`;
};
function cell(name, value) {
  if (value === null || value === undefined) return '—';
  if (NAMES[name]) return data.names[name]?.[value] || live.state[NAMES[name]]?.[value]?.name || value;
  if (name === 'hour' || name.endsWith('_at')) return dateTime(value);
  if (name === 'day') return date(new Date(`${value}T12:00`));
  if (name.endsWith('rate')) return pct(value);
  if (name.endsWith('_s')) return duration(value);
  if (name === 'outcome') return word('outcome', value);
  return typeof value === 'number' ? num(value) : String(value);
}
const label = (name) => (has(`report.${name}`) ? t(`report.${name}`) : name);
const isNumber = (c) => SUMS.has(c) || /(_s|rate)$/.test(c);
// How the page names the period, and the one before it: days, and the time of day where it ends within one.
function spanName([start, end]) {
  const last = new Date(end - 1);
  const [from, to] = [day(start), day(last)];
  const days = from === to ? from : `${from} → ${to}`;
  return end.getHours() || end.getMinutes() ? t('curve.until', { days, at: clock(end, false) }) : days;
}
function plot(columns) {
  if (!['by_hour', 'by_day'].includes(data.kind) || !data.span || !(data.rows.length || data.before.length)) return null;
  const numbers = columns.filter(isNumber);
  const column = numbers.includes(data.column) ? data.column : 'attempts';
  const shape = (rows, [start, end]) => { const found = slots(data.kind, start, end); return [found, values(data.kind, rows, found, column, SUMS.has(column), Date.now())]; };
  const [[found, now], [, before]] = [shape(data.rows, data.span[0]), shape(data.before, data.span[1])];
  const named = data.span.map(spanName);
  if (!data.before.length) { before.fill(null); named[1] = t('curve.nothing', { period: named[1] }); }
  return curve({ kind: data.kind, found, now, before: before.slice(0, found.length), label: label(column), format: (v) => cell(column, v), named, columns: numbers.map((c) => [c, label(c)]), column, pick: (c) => go({ column: c }) });
}
function chosenDays(e) { e.preventDefault(); const f = new FormData(e.target); go({ period: 'custom', from: f.get('du'), to: f.get('au') }); }
const sum = (rows, name) => rows.reduce((n, r) => n + (r[name] || 0), 0);
// Totals are computed from counts, never averaged.
function totalOf(rows, name) {
  if (SUMS.has(name)) return sum(rows, name);
  const made = name === 'answer_rate' ? sum(rows, 'attempts') : 0;
  return made ? sum(rows, 'answered') / made : undefined;
}
const shownTotal = (name, value) => (value === undefined ? '' : cell(name, value));
function change(name) {
  const [now, before] = [totalOf(data.rows, name), totalOf(data.before, name)];
  if (now === undefined || before === undefined) return '';
  const by = now - before;
  const sign = by > 0 ? '+' : by < 0 ? '−' : '=';
  if (by === 0) return sign;
  return name.endsWith('rate') ? t('curve.points', { points: `${sign}${num(Math.abs(by) * 100, 1)}` }) : `${sign}${cell(name, Math.abs(by))}`;
}
// The period before, and what changed since: only where it had anything.
function comparison(columns) {
  if (!data.before.length || !data.rows.length) return null;
  const line = (name, title, head, shown) => h('tr', { key: name, 'data-compare': name }, columns.map((c, i) => h(i ? 'td' : 'th', { key: c, scope: i ? false : 'row', class: isNumber(c) ? 'n' : '', title: i ? false : title }, i ? shown(c) : head)));
  return h('tfoot', null, line('before', spanName(data.span[1]), t('curve.before'), (c) => shownTotal(c, totalOf(data.before, c))), line('change', false, t('curve.change'), change));
}
export const computedAt = () => (appels ? stats.computedAt() : data.at);
export function view() {
  if (appels) return stats.view();
  const columns = Object.keys(data.rows[0] || data.before[0] || {});
  const campaigns = Object.values(live.state.campaigns).map((c) => [c.id, c.name]);
  return h('section', { class: 'card' },
    h('h1', null, t('nav.rapports'), ' ', h('span', { class: 'muted' }, t(`report.${data.kind}`))),
    h('div', { class: 'toolbar' },
      ['today', 'yesterday', 'week', 'month'].map((p) => h('button', { 'data-store': true, key: p, class: 'quiet', 'aria-pressed': String(data.period === p), onclick: () => go({ period: p }) }, t(`period.${p}`))),
      h('form', { class: 'toolbar', onsubmit: chosenDays }, h('input', { type: 'date', name: 'du', value: data.from, 'aria-label': t('stats.from'), required: true }), h('input', { type: 'date', name: 'au', value: data.to, 'aria-label': t('stats.to'), required: true }), h('button', { class: 'quiet', 'aria-pressed': String(data.period === 'custom') }, t('period.custom'))),
      select('kind', data.kind, KINDS.map((k) => [k, t(`report.${k}`)]), { 'aria-label': t('report.by'), onchange: (e) => go({ kind: e.target.value }) }),
      select('campaign', data.campaign, [['', t('report.all_campaigns')], ...campaigns], { 'aria-label': t('col.campaign'), onchange: (e) => go({ campaign: e.target.value }) }),
      h('span', { class: 'grow' }), h('a', { class: 'button', href: '#/rapports/appels' }, t('stats.title')), h('a', { class: 'button', href: '#/enregistrements' }, t('nav.enregistrements')), h('a', { class: 'button', href: `/api/v1${query('csv')}` }, 'CSV'), h('button', { onclick: () => print() }, t('do.print')), h('button', { 'data-store': true, onclick: () => enter({ rest: [data.kind], query: new URLSearchParams(location.hash.split('?')[1] || '') }) }, t('do.refresh'))),
    plot(columns),
    data.rows.length === 0 ? empty('report.none') : h('table', { class: 'grid', 'data-query': `${data.kind}.sql` },
      h('thead', null, h('tr', null, columns.map((c) => h('th', { key: c, scope: 'col', class: isNumber(c) ? 'n' : '' }, label(c))))),
      h('tbody', null, data.rows.map((r, i) => h('tr', { key: i }, columns.map((c) => h('td', { key: c, class: isNumber(c) ? 'n' : '' }, cell(c, r[c]))))),
        h('tr', { key: 'total' }, columns.map((c, i) => h('td', { key: c, class: isNumber(c) ? 'n' : '' }, h('b', null, i === 0 ? t('report.total') : shownTotal(c, totalOf(data.rows, c))))))), comparison(columns)),
    h('p', { class: 'muted' }, computed(data.at), ` · ${data.kind}.sql`));
}
