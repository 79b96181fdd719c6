// Compliance: may I call this person, what was refused today and by which rule, the red list, what the law may cost.
import { h, icon } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num, clock, dateTime } from '../lib/format.js';
import { live, paint, serverNow } from '../lib/live.js';
import { all, get, post, may } from '../lib/api.js';
import { attempt, formValues, select } from '../lib/ui.js';
import { redList } from './lists.js';

const data = { refusals: [], clients: [], verdict: null, at: null };
export async function enter() {
  const from = new Date(serverNow());
  from.setHours(0, 0, 0, 0);
  const found = await attempt(() => get(`/reports/refusals_by_day?start=${from.toISOString()}`));
  Object.assign(data, { refusals: found?.rows || [], at: found?.computed_at, clients: (await attempt(() => all('/clients'))) || [] });
  paint();
}
async function check(e) {
  e.preventDefault();
  const values = formValues(e.target);
  data.verdict = await attempt(() => post('/compliance/check', { campaign_id: Number(values.campaign_id), number: values.number }));
  paint();
}
export function view() {
  const campaigns = Object.values(live.state.campaigns).map((c) => [c.id, c.name]);
  const v = data.verdict;
  const sum = data.refusals.reduce((n, r) => n + r.refusals, 0);
  return [
    h('section', { class: 'card' }, h('h1', null, t('compliance.may_call')), h('form', { class: 'toolbar', onsubmit: check }, select('campaign_id', campaigns[0]?.[0], campaigns, { 'aria-label': t('col.campaign') }), h('input', { name: 'number', required: true, inputmode: 'tel', 'data-search': true, placeholder: '0199001234', 'aria-label': t('dnc.number') }), h('button', { class: 'primary' }, t('compliance.ask'))),
      v && h('p', { role: 'status', class: v.allowed ? 's-ready' : 'mark act' }, icon(v.allowed ? 'ready' : 'alert'), ' ', v.allowed ? t('compliance.yes', { rules: v.rule_set }) : t('compliance.no', { rule: word('rule', v.rule), clause: v.clause, until: v.until ? dateTime(v.until) : t('compliance.never') }))),
    h('div', { class: 'columns' },
      h('section', { class: 'card' }, h('h2', null, t('compliance.refused', { n: num(sum) }), h('span', { class: 'right muted', title: 'refusals_by_day.sql' }, t('report.computed', { at: data.at ? clock(new Date(data.at)) : '—' }))),
        data.refusals.length === 0 ? h('p', { class: 'empty' }, t('compliance.none')) : h('table', { class: 'grid' }, h('thead', null, h('tr', null, ['rule', 'campaign', 'rules', 'n'].map((n) => h('th', { key: n, scope: 'col', class: n === 'n' ? 'n' : '' }, t(`compliance.col_${n}`))))), h('tbody', null, data.refusals.map((r, i) => h('tr', { key: i }, h('th', { scope: 'row' }, word('rule', r.rule)), h('td', null, live.state.campaigns[r.campaign_id]?.name || r.campaign_id), h('td', null, r.rule_set), h('td', { class: 'n' }, num(r.refusals))))))),
      h('section', { class: 'card' }, h('h2', null, t('tab.rouge')), may('manage') ? redList(data.clients) : h('p', { class: 'empty' }, t('compliance.manager')), h('p', { class: 'muted' }, t('compliance.fines'))))];
}
