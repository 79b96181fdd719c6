// What a campaign takes of the site's rows: its lists; its lines and the numbers it shows. One form each; only what changed
// is sent, in the order it had.
import { h, icon } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num, phone } from '../lib/format.js';
import { live } from '../lib/live.js';
import { may } from '../lib/api.js';
import { field, select, toast, heads } from '../lib/ui.js';
import { changed } from './fields.js';

const own = (row, rows) => (rows || []).filter((r) => r.group_id === row.group_id);
const tick = (name, id, chosen, label) => h('input', { type: 'checkbox', name, value: id, checked: chosen.includes(id), disabled: !may('manage'), 'aria-label': label });
// Ids as they were, those unticked gone, the new ones behind.
function picked(form, name, was) {
  const now = [...form.querySelectorAll(`input[name=${name}]:checked`)].map((el) => Number(el.value));
  return [...was.filter((id) => now.includes(id)), ...now.filter((id) => !was.includes(id))];
}
const saving = (row, names, plain, send) => (e) => {
  e.preventDefault();
  const values = Object.fromEntries([...names.map((name) => [name, picked(e.target, name, row[name])]), ...plain.map((name) => [name, e.target.elements[name].value])]);
  const changes = changed(row, values);
  return Object.keys(changes).length ? send(changes) : toast(t('save.nothing'));
};
const buttons = () => may('manage') && h('div', { class: 'buttons wide' }, h('button', { class: 'primary' }, t('do.save')));

const ORDERS = ['oldest', 'newest', 'random', 'priority', 'attempts', 'list_rank'];
export function lists(row, options, send) {
  const rows = own(row, options.list_ids);
  return h('section', { class: 'card' }, h('form', { class: 'form', key: `lists ${row.id}`, onsubmit: saving(row, ['list_ids'], ['order'], send) },
    rows.length === 0 ? h('p', { class: 'empty wide' }, t('lists.none'), ' ', h('a', { href: '#/listes' }, t('lists.add'))) : h('table', { class: 'grid wide', 'data-picks': 'lists' }, heads('', ['', 'list.name', 'list.state', 'list.rank', ''], ['list.rank']),
      h('tbody', null, rows.map((l) => h('tr', { key: l.id }, h('td', null, tick('list_ids', l.id, row.list_ids, l.name)), h('th', { scope: 'row' }, l.name), h('td', null, l.active ? t('list.active') : h('span', { class: 'muted' }, t('list.inactive'))), h('td', { class: 'n' }, num(l.rank)), h('td', null, may('manage') && h('a', { href: '#/listes/importer' }, t('list.import'))))))),
    field(t('campaign.order'), select('order', row.order, ORDERS.map((o) => [o, t(`choice.${o}`)]), { disabled: !may('manage') }), row.order === 'list_rank' && t('picks.rank')),
    buttons()));
}

const STRATEGIES = ['round_robin', 'least_used', 'priority', 'random'];
export function numbers(row, options, send) {
  const lines = own(row, options.line_ids);
  const callers = own(row, options.caller_id_ids);
  const pools = [...new Set([row.caller_id_pool, ...callers.map((c) => c.pool)].filter(Boolean))].sort();
  const state = (l) => live.state.lines[l.id]?.state;
  return h('section', { class: 'card' }, h('form', { class: 'form', key: `numbers ${row.id}`, onsubmit: saving(row, ['caller_id_ids', 'line_ids'], ['caller_id_pool', 'strategy'], send) },
    h('h2', { class: 'wide' }, t('campaign.caller_id_ids')),
    callers.length === 0 ? h('p', { class: 'empty wide' }, t('picks.no_numbers'), ' ', h('a', { href: '#/lignes' }, t('nav.lignes'))) : h('table', { class: 'grid wide', 'data-picks': 'numbers' }, heads('', ['', 'picks.number', 'campaign.name', 'lines.pool', 'list.state', 'picks.cap'], ['picks.cap']),
      h('tbody', null, callers.map((c) => h('tr', { key: c.id }, h('td', null, tick('caller_id_ids', c.id, row.caller_id_ids, c.e164)), h('th', { scope: 'row', class: 'num', title: c.e164 }, phone(c.e164)), h('td', null, c.name), h('td', null, c.pool || '—', c.pool && c.pool === row.caller_id_pool && h('span', { class: 's-ready' }, ' ', icon('ready'), h('span', { class: 'sr' }, t('picks.by_pool')))), h('td', null, c.enabled ? t('list.active') : h('span', { class: 'muted' }, t('list.inactive'))), h('td', { class: 'n' }, c.daily_cap ? num(c.daily_cap) : '—'))))),
    field(t('campaign.caller_id_pool'), select('caller_id_pool', row.caller_id_pool, [['', '—'], ...pools.map((p) => [p, p])], { disabled: !may('manage') }), t('campaign.caller_id_pool.hint')),
    h('h2', { class: 'wide' }, t('campaign.line_ids')),
    lines.length === 0 ? h('p', { class: 'empty wide' }, t('picks.no_lines'), ' ', h('a', { href: '#/lignes' }, t('first.add_lines'))) : h('table', { class: 'grid wide', 'data-picks': 'lines' }, heads('', ['', 'call.line', 'picks.kind', 'list.state', 'picks.capacity', 'campaign.priority'], ['picks.capacity', 'campaign.priority']),
      h('tbody', null, lines.map((l) => h('tr', { key: l.id }, h('td', null, tick('line_ids', l.id, row.line_ids, l.name)), h('th', { scope: 'row' }, l.name), h('td', null, word('kind', l.kind)), h('td', null, state(l) ? word('line_state', state(l)) : l.enabled ? '—' : t('list.inactive')), h('td', { class: 'n' }, num(l.capacity)), h('td', { class: 'n' }, num(l.priority)))))),
    field(t('campaign.strategy'), select('strategy', row.strategy, STRATEGIES.map((s) => [s, t(`strategy.${s}`)]), { disabled: !may('manage') })),
    buttons()));
}
