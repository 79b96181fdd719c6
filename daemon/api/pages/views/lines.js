// Lines: the pool with its toggles, the numbers presented, the state of the click-to-call API.
import { h, icon } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num, share, clock, phone } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { all, post, may } from '../lib/api.js';
import { attempt, confirm, field, formValues, request, select, waiting, whyNot, empty, heads, grid, labelled } from '../lib/ui.js';
import * as click2call from './click2call.js';
import { edit } from './edit.js';

const STRATEGIES = ['round_robin', 'least_used', 'priority', 'random'];
const data = { callers: [], campaigns: [], groups: [] };
export async function enter() {
  const [callers, campaigns, groups] = await Promise.all([attempt(() => all('/caller-ids')), attempt(() => all('/campaigns')), attempt(() => all('/groups')), click2call.enter()]);
  Object.assign(data, { callers: callers || [], campaigns: campaigns || [], groups: groups || [] });
  paint();
}

const editLine = (l) => edit({
  path: `/lines/${l.id}`, title: l.name, done: enter, gone: enter,
  fields: [{ name: 'name', label: t('line.name') }, { name: 'endpoint', label: t('line.endpoint'), hint: t('line.endpoint_hint') }, { name: 'capacity', label: t('line.capacity'), min: 1 },
    { name: 'priority', label: t('line.priority_long'), hint: t('line.priority_hint') }, { name: 'minutes_per_month', label: t('line.minutes'), hint: t('line.none_hint') }],
});
const editCaller = (c) => edit({
  path: `/caller-ids/${c.id}`, title: phone(c.e164), done: enter, gone: enter,
  fields: [{ name: 'name', label: t('campaign.name') }, { name: 'pool', label: t('lines.pool') }, { name: 'daily_cap', label: t('lines.daily_cap'), hint: t('line.none_hint') }, { name: 'enabled', label: t('list.active') }],
});
const editGroup = (g) => edit({
  path: `/groups/${g.id}`, title: g.name || g.code, done: enter,
  fields: [{ name: 'name', label: t('campaign.name') }, { name: 'c2c_strategy', label: t('lines.strategy'), choices: STRATEGIES.map((x) => [x, t(`strategy.${x}`)]) }, { name: 'c2c_per_hour', label: t('lines.quota'), min: 0 },
    { name: 'cors_origins', label: t('lines.origins'), hint: t('lines.origins_hint'), max_length: 1000 }],
});

function toggle(l) {
  const on = l.state === 'off' || l.state === 'resting';
  const send = () => request(`line:${l.id}`, on, () => (live.state.lines[l.id]?.state === 'active') === on, () => post(`/lines/${l.id}/${on ? 'enable' : 'disable'}`));
  const others = Object.values(live.state.lines).some((x) => x.id !== l.id && x.kind === l.kind && x.state === 'active');
  if (!on && !others) {
    confirm({ title: t('lines.last', { name: l.name }), body: t('lines.last_body'), verb: t('lines.switch_off'), act: send });
    return undefined;
  }
  return send();
}
function pool() {
  const rows = Object.values(live.state.lines).sort((a, b) => a.kind.localeCompare(b.kind) || b.priority - a.priority || a.name.localeCompare(b.name));
  if (!rows.length) return empty('lines.none');
  const off = whyNot();
  return grid(heads('line.', ['name', 'kind', 'state', 'in_use', 'priority', 'calls', 'success', 'act'], ['in_use', 'priority', 'calls', 'success']),
    rows.map((l) => {
      const asked = waiting(`line:${l.id}`);
      const full = l.capacity > 0 && l.in_use / l.capacity >= 0.8;
      return h('tr', { key: l.id }, h('th', { scope: 'row' }, l.name), h('td', null, t(`kind.${l.kind}`)),
        h('td', null, h('span', { class: l.state === 'active' ? 's-ready' : l.state === 'off' ? 's-paused' : 'mark watch' }, icon(l.state === 'active' ? 'dot' : l.state === 'off' ? 'off' : 'watch'), ` ${word('line_state', l.state)}`), l.resting_until && ` ${t('lines.until', { at: clock(new Date(l.resting_until), false) })}`, l.reason && h('span', { class: 'muted' }, ` ${l.reason}`), h('span', { class: l.quality?.mos && l.quality.mos < 4 ? 'mark watch' : 'muted' }, ` · ${l.quality?.mos ? t('lines.mos', { mos: num(l.quality.mos, 1), loss: num(l.quality.loss * 100, 1), jitter: num(l.quality.jitter_s * 1000) }) : t('lines.mos_unknown')}`)),
        h('td', { class: 'n' }, full && h('span', { class: 'mark watch' }, icon('watch')), ` ${num(l.in_use)}/${num(l.capacity)}`), h('td', { class: 'n' }, num(l.priority)), h('td', { class: 'n' }, num(l.calls)), h('td', { class: 'n' }, share(l.succeeded, l.calls, (a, b) => t('share.of', { a, b }), 0)),
        h('td', null, asked ? h('span', { class: 'asked slow' }, t('pending.asked')) : may('administer') && h('button', { disabled: Boolean(off), title: off, role: 'switch', 'aria-checked': String(l.state === 'active'), onclick: () => toggle(l) }, t(l.state === 'active' ? 'lines.switch_off' : l.state === 'resting' ? 'lines.put_back' : 'lines.switch_on')), may('administer') && !asked && [' ', h('button', { 'data-store': true, 'aria-label': t('edit.of', { name: l.name }), onclick: () => editLine(l) }, t('do.edit'))]));
    }));
}
async function add(e) {
  e.preventDefault();
  const form = e.target;
  if (await attempt(() => post('/lines', formValues(form)))) form.reset();
}
async function addCaller(e) {
  e.preventDefault();
  const form = e.target;
  const made = await attempt(() => post('/caller-ids', formValues(form)));
  if (made) { data.callers.push(made); form.reset(); paint(); }
}
// What a number is for: shown by campaigns (named, or by its pool), and answered by the one campaign that takes its calls.
const names = (test) => data.campaigns.filter(test).map((c) => c.name).join(', ');
function caller(c) {
  const shown = names((x) => x.group_id === c.group_id && (x.caller_id_ids.includes(c.id) || (c.pool && x.caller_id_pool === c.pool)));
  const takes = names((x) => x.group_id === c.group_id && x.inbound.dids.includes(c.e164));
  return h('tr', { key: c.id }, h('th', { scope: 'row', title: c.e164 }, h('b', null, phone(c.e164)), ` ${c.name}`), h('td', null, c.pool || '—'), h('td', { title: shown }, shown || '—'), h('td', { title: takes }, takes || '—'), h('td', { class: 'n' }, c.daily_cap ? num(c.daily_cap) : '—'),
    h('td', null, t(c.enabled ? 'access.live' : 'access.dead'), may('administer') && [' ', h('button', { 'data-store': true, 'aria-label': t('edit.of', { name: phone(c.e164) }), onclick: () => editCaller(c) }, t('do.edit'))]));
}
export function view() {
  const sites = Object.keys(live.state.links);
  return [
    h('section', { class: 'card' }, h('h1', null, t('nav.lignes')), pool(),
      may('administer') && h('form', { class: 'form', onsubmit: add }, field(t('line.name'), h('input', { name: 'name', required: true })), field(t('campaign.site'), select('site', sites[0], sites.map((s) => [s, s]))), field(t('line.kind'), select('kind', 'trunk', ['trunk', 'extension'].map((k) => [k, t(`kind.${k}`)]))), field(t('line.endpoint'), h('input', { name: 'endpoint', required: true }), t('line.endpoint_hint')), field(t('line.capacity'), h('input', { type: 'number', name: 'capacity', min: 1, value: 1 })), h('button', null, t('lines.add')))),
    h('div', { class: 'columns pools' },
      h('section', { class: 'card' }, h('h2', null, t('lines.caller_ids')), data.callers.length === 0 ? empty('lines.no_caller_ids') : grid(heads('lines.', ['caller_id', 'pool', 'shown_by', 'answered_by', 'cap', 'state'], ['cap']), data.callers.map(caller), { 'data-numbers': true }),
        may('administer') && h('form', { class: 'toolbar', onsubmit: addCaller }, h('input', { name: 'e164', required: true, placeholder: '+33…', 'aria-label': t('lines.caller_id') }), labelled('name', 'campaign.name'), labelled('pool', 'lines.pool', { size: 10 }), h('button', null, t('do.add')))),
      click2call.view(data.groups, editGroup))];
}
