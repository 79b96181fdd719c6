// What agents choose from and for whom is called: statuses, pause codes, clients. Each row opens in a drawer, where a change
// made by somebody else meanwhile is shown and never overwritten unseen.
import { h, icon } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { num } from '../lib/format.js';
import { paint } from '../lib/live.js';
import { all, may, post } from '../lib/api.js';
import { attempt, formValues, empty, heads, grid, labelled } from '../lib/ui.js';
import { edit } from './edit.js';

const FLAGS = ['sale', 'machine', 'callback', 'not_interested', 'final', 'not_workable'];
const act = (name, onclick) => may('manage') && h('button', { 'data-store': true, 'aria-label': t('edit.of', { name }), onclick }, t('do.edit'));
const named = (name, label, more = {}) => labelled(name, label, { required: true, ...more });
async function add(e, path, body, done) {
  e.preventDefault();
  const form = e.target;
  if (await attempt(() => post(path, body(formValues(form))))) { form.reset(); await done(); }
}

// `of`: the campaign whose tab this is; `rows`: statuses of it and of its group; `again`: read them anew.
export function statuses(of, rows, again) {
  const change = (s) => edit({
    path: `/statuses/${s.id}`, title: `${s.code} ${s.name}`, done: again, gone: again,
    fields: [{ name: 'name', label: t('status.name') }, { name: 'category', label: t('status.category') }, { name: 'sort', label: t('status.sort'), hint: t('status.sort_hint') }, ...FLAGS.map((f) => ({ name: f, label: t(`status.${f}`) }))],
  });
  return h('section', { class: 'card' }, rows.length === 0 ? empty('status.none') : grid(heads('', ['status.code', 'status.name', 'status.category', ...FLAGS.map((f) => `status.${f}`), 'list.act']),
    rows.map((s) => h('tr', { key: s.id }, h('th', { scope: 'row' }, s.code), h('td', null, s.name), h('td', null, s.category), FLAGS.map((f) => h('td', { key: f }, s[f] ? icon('ready') : '', h('span', { class: 'sr' }, s[f] ? t('status.yes') : t('status.no')))), h('td', null, act(s.code, () => change(s))))), { 'data-statuses': true }),
    may('manage') && h('form', { class: 'toolbar', onsubmit: (e) => add(e, '/statuses', (v) => ({ ...v, group_id: of.group_id, code: v.code.toUpperCase(), campaign_id: of.id }), again) },
      named('code', 'status.code', { minlength: 2, maxlength: 12 }), named('name', 'status.name'), FLAGS.map((f) => h('label', { key: f }, h('input', { type: 'checkbox', name: f }), ` ${t(`status.${f}`)}`)), h('button', null, t('do.add'))));
}

export function pauses(of, rows, again) {
  const change = (p) => edit({
    path: `/pause-codes/${p.id}`, title: `${p.code} ${p.name}`, done: again, gone: again,
    fields: [{ name: 'name', label: t('status.name') }, { name: 'expected_s', label: t('pauses.expected'), unit: 60, min: 1 }],
  });
  return h('section', { class: 'card' }, rows.length === 0 ? empty('pauses.none') : grid(heads('', ['status.code', 'status.name', 'pauses.expected', 'list.act'], ['pauses.expected']),
    rows.map((p) => h('tr', { key: p.id }, h('th', { scope: 'row' }, p.code), h('td', null, p.name), h('td', { class: 'n' }, t('pauses.minutes', { n: num(Math.round(p.expected_s / 60)) })), h('td', null, act(p.code, () => change(p))))), { 'data-pauses': true }),
    may('manage') && h('form', { class: 'toolbar', onsubmit: (e) => add(e, '/pause-codes', (v) => ({ group_id: of.group_id, code: v.code.toUpperCase(), name: v.name, expected_s: v.minutes * 60 }), again) },
      named('code', 'status.code'), named('name', 'status.name'), h('input', { type: 'number', name: 'minutes', min: 1, value: 10, 'aria-label': t('pauses.expected') }), h('button', null, t('do.add'))));
}

// ---- on whose behalf is called: the law counts attempts and oppositions for each of them -----------------------------------
let rows = [];
export async function enterClients() {
  rows = (await attempt(() => all('/clients'))) || rows;
  paint();
}
export function clients() {
  const change = (c) => edit({ path: `/clients/${c.id}`, title: c.name, fields: [{ name: 'name', label: t('campaign.name') }], done: enterClients, gone: enterClients });
  return h('section', { class: 'card', 'data-clients': true }, h('h2', null, t('campaign.client_id')), h('p', { class: 'muted' }, t('clients.hint')),
    rows.length === 0 ? empty('clients.none') : h('ul', { class: 'list' }, rows.map((c) => h('li', { key: c.id }, c.name, h('span', { class: 'right' }, act(c.name, () => change(c)))))),
    may('manage') && h('form', { class: 'toolbar', onsubmit: (e) => add(e, '/clients', (v) => v, enterClients) }, named('name', 'campaign.name', { maxlength: 120 }), h('button', null, t('do.add'))));
}
