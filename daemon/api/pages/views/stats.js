// Figures of any set of calls: the filters of the call search, whole and cut by one dimension; all of it in the address.
import { h } from '../lib/dom.js';
import { t, word, lang } from '../lib/i18n.js';
import { num, pct, date, dateTime, duration, phone } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { get } from '../lib/api.js';
import { attempt, field, formValues, select, computed, empty, rowName } from '../lib/ui.js';

const BY = ['hour', 'hour_of_day', 'day', 'week', 'campaign', 'agent', 'line', 'outcome', 'status', 'disposition', 'prefix', 'department'];
const PERIODS = ['today', '7d', '30d', 'custom'];
const FILTERS = ['direction', 'campaign_id', 'agent_id', 'numbers', 'status', 'duration_min', 'duration_max'];
const FIGURES = ['calls', 'answered', 'no_answer', 'busy', 'failed', 'in_progress', 'answer_rate', 'duration_s', 'duration_mean_s', 'cost'];
const data = { given: {}, answer: null };

const midnight = (day, plus = 0) => { const [y, m, d] = day.split('-').map(Number); return new Date(y, m - 1, d + plus).toISOString(); };
// What the API is asked for: days of the page as instants.
function query(given) {
  const parts = new URLSearchParams();
  for (const name of FILTERS) if (given[name]) parts.set(name, given[name]);
  if (given.period !== 'custom') return [parts, 'period'];
  if (given.from) parts.set('start', midnight(given.from));
  if (given.to) parts.set('end', midnight(given.to, 1));
  return [parts, ''];
}
export async function enter(route) {
  data.given = { by: 'hour', period: 'today', ...Object.fromEntries(route.query) };
  const [parts, named] = query(data.given);
  if (named) parts.set('period', data.given.period);
  parts.set('by', data.given.by);
  parts.set('zone', Intl.DateTimeFormat().resolvedOptions().timeZone || 'Europe/Paris');
  data.answer = (await attempt(() => get(`/stats/calls?${parts}`))) || data.answer;
  paint();
}
const go = (changes) => {
  const next = Object.entries({ ...data.given, ...changes }).filter(([, v]) => v !== '' && v !== undefined && v !== null);
  location.hash = `#/rapports/appels?${new URLSearchParams(next)}`;
};
function apply(e) { e.preventDefault(); go(formValues(e.target)); }

const KEYS = {
  campaign: (k) => rowName('campaigns', k), agent: (k) => rowName('agents', k), line: (k) => rowName('lines', k), outcome: (k) => word('outcome', k), status: (k) => word('call_status', k),
  hour_of_day: (k) => `${k} h`, hour: (k) => dateTime(k.slice(0, 16)), day: (k) => date(new Date(`${k}T12:00`)), prefix: (k) => phone(k),
};
const key = (k) => (KEYS[data.given.by] ? KEYS[data.given.by](k) : k) || '—';
const shown = { answer_rate: (v) => pct(v, 1), duration_s: duration, duration_mean_s: duration, cost: (v) => num(v, 2) };
const cell = (f, row) => (row[f] === null ? '—' : (shown[f] || num)(row[f]));
const said = { direction: (v) => t(`direction.${v}`), campaign_id: (v) => rowName('campaigns', v), agent_id: (v) => rowName('agents', v), status: (v) => word('call_status', v) };

function chips() {
  const on = FILTERS.filter((f) => data.given[f]);
  return on.length > 0 && h('div', { class: 'toolbar', 'data-chips': true }, on.map((f) => h('button', { 'data-store': true, key: f, class: 'quiet', onclick: () => go({ [f]: '' }) }, `${t(`stats.${f}`)} : ${(said[f] || String)(data.given[f])} ×`)),
    h('button', { 'data-store': true, class: 'quiet', onclick: () => go(Object.fromEntries(FILTERS.map((f) => [f, '']))) }, t('do.clear_all')));
}
function filters() {
  const g = data.given;
  const rows = (table, none) => [['', none], ...Object.values(live.state[table]).map((x) => [x.id, x.name])];
  return h('form', { class: 'form', key: JSON.stringify(g), 'data-stats': true, onsubmit: apply },
    field(t('report.by'), select('by', g.by, BY.map((b) => [b, t(`stats.by_${b}`)]))),
    field(t('stats.period'), select('period', g.period, PERIODS.map((p) => [p, t(`stats.period_${p}`)]))),
    field(t('stats.from'), h('input', { type: 'date', name: 'from', value: g.from || '' })), field(t('stats.to'), h('input', { type: 'date', name: 'to', value: g.to || '' })),
    field(t('stats.direction'), select('direction', g.direction || '', ['', 'out', 'in', 'internal'].map((d) => [d, d ? t(`direction.${d}`) : t('stats.any')]))),
    field(t('stats.campaign_id'), select('campaign_id', g.campaign_id || '', rows('campaigns', t('report.all_campaigns')))),
    field(t('stats.agent_id'), select('agent_id', g.agent_id || '', rows('agents', t('tape.all_agents')))),
    field(t('stats.status'), select('status', g.status || '', ['', 'answered', 'no_answer', 'busy', 'failed', 'in_progress'].map((s) => [s, s ? word('call_status', s) : t('stats.any')]))),
    field(t('stats.numbers'), h('input', { name: 'numbers', value: g.numbers || '', placeholder: '0199001234, …' })),
    field(t('stats.duration_min'), h('input', { type: 'number', name: 'duration_min', min: 0, value: g.duration_min || '' })), field(t('stats.duration_max'), h('input', { type: 'number', name: 'duration_max', min: 0, value: g.duration_max || '' })),
    h('button', { class: 'primary' }, t('stats.show')));
}
export const computedAt = () => data.answer?.computed_at;
export function view() {
  const a = data.answer;
  const [parts] = query(data.given);
  if (a?.start) parts.set('start', a.start);
  if (a?.end) parts.set('end', a.end);
  return h('section', { class: 'card' }, h('h1', null, t('stats.title'), ' ', h('span', { class: 'muted' }, t(`stats.by_${data.given.by || 'hour'}`))),
    h('div', { class: 'toolbar' }, h('a', { class: 'button', href: '#/rapports' }, '‹ ', t('nav.rapports')), h('span', { class: 'grow' }), h('a', { class: 'button', href: `/api/v1/exports/calls?${parts}&language=${lang}` }, 'CSV')),
    filters(), chips(),
    !a ? empty('loading') : h('table', { class: 'grid', title: 'call_sums', 'data-query': 'call_sums' },
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, t(`stats.by_${a.by || 'hour'}`)), FIGURES.map((f) => h('th', { key: f, scope: 'col', class: 'n' }, t(`stats.${f}`))))),
      h('tbody', null, a.rows.map((r) => h('tr', { key: r.key }, h('th', { scope: 'row' }, key(r.key)), FIGURES.map((f) => h('td', { key: f, class: 'n' }, cell(f, r))))),
        h('tr', { key: 'total', 'data-total': true }, h('th', { scope: 'row' }, h('b', null, t('report.total'))), FIGURES.map((f) => h('td', { key: f, class: 'n' }, h('b', null, cell(f, a.total))))))),
    a && h('p', { class: 'muted' }, computed(a.computed_at)));
}
