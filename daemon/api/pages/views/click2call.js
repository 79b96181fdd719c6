// Click-to-call on the page of the lines: what is left of each group's hour, and the last 24 h by phone of the pool, with what
// failed and what usually mends it (C2C-11).
import { h } from '../lib/dom.js';
import { t, lang } from '../lib/i18n.js';
import { num, pct, clock, dateTime } from '../lib/format.js';
import { fresh, paint } from '../lib/live.js';
import { get, may } from '../lib/api.js';
import { levelMark, scale, empty, heads, grid } from '../lib/ui.js';

const AGAIN_MS = 30000; // the quota is looked at while people call
const FAILED = { watch: 0.1, act: 0.3 };
const QUOTA = { watch: 0.8, act: 1 };
let figures = null;
let asked = 0;
export async function enter() {
  asked = Date.now();
  figures = (await get('/stats/click2call').catch(() => null)) || figures;
  paint();
}

const level = (part, limits) => (part >= limits.act ? 'act' : part >= limits.watch ? 'watch' : '');
function quota(group) {
  const q = figures?.quotas.find((x) => x.group_id === group.id);
  if (!q) return h('p', null, t('access.quota', { n: num(group.c2c_per_hour) }));
  const part = q.limit ? q.used / q.limit : 0;
  const at = level(part, QUOTA);
  const [used, limit] = [num(q.used), num(q.limit)];
  return h('p', { 'data-quota': group.id, class: 'abreast', title: t('lines.api_quota_tip') }, h('span', { class: `meter ${at}` }, scale(part, t('lines.api_quota_said', { used, limit }))),
    h('span', null, t('lines.api_quota', { used, limit, at: clock(new Date(q.reset_at), false) })), levelMark(at, true));
}
export function view(groups, editGroup) {
  if (fresh() && Date.now() - asked > AGAIN_MS) setTimeout(enter);
  const a = figures;
  const ms = (v) => (v === null ? '—' : `${num(v)} ms`);
  const failing = a && a.calls >= 30 ? level(a.failed / a.calls, FAILED) : ''; // of fewer a rate says nothing
  return h('section', { class: 'card', 'data-api': true }, h('h2', null, t('lines.api')),
    groups.map((g) => h('div', { key: g.id }, h('p', { class: 'abreast' }, h('b', null, g.name || g.code), t(`strategy.${g.c2c_strategy}`), may('administer') && h('button', { 'data-store': true, class: 'right', 'aria-label': t('edit.of', { name: g.name || g.code }), onclick: () => editGroup(g) }, t('do.edit'))), quota(g))),
    !a || a.calls === 0 ? empty('lines.api_none') : [
      h('p', { title: 'api_calls.sql' }, t('lines.api_day', { calls: num(a.calls), ok: num(a.succeeded), rate: pct(a.success_rate, 1), ms: ms(a.response_mean_ms) }), ' ', levelMark(failing, true)),
      grid(heads('lines.api_', ['phone', 'calls', 'success', 'mean', 'last'], ['calls', 'success', 'mean', 'last']),
        a.lines.map((l) => h('tr', { key: l.line }, h('th', { scope: 'row' }, l.line || t('lines.no_phone')), h('td', { class: 'n' }, num(l.calls)), h('td', { class: 'n' }, pct(l.success_rate, 1)), h('td', { class: 'n' }, ms(l.response_mean_ms)), h('td', { class: 'n num' }, l.last_at ? dateTime(l.last_at) : '—'))), { title: 'api_calls_by_line.sql', 'data-query': 'api_calls_by_line.sql' }),
      a.errors.length > 0 && h('ul', { class: 'list', title: 'api_errors.sql' }, a.errors.map((x, i) => h('li', { key: i }, h('b', { class: 'num' }, num(x.calls)), h('span', null, ` ${x.error} `, h('span', { class: 'muted' }, lang === 'fr' ? x.advice_fr : x.advice_en)))))]);
}
