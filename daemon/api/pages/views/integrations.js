// Integrations: templates, adding one, trying it step by step with what went over the wire, switching it on, its calls.
import { h } from '../lib/dom.js';
import { has, t } from '../lib/i18n.js';
import { dateTime, num } from '../lib/format.js';
import { paint } from '../lib/live.js';
import { get, may, patch, post, remove, request } from '../lib/api.js';
import { attempt, confirm, field, formValues, select, toast, heads, grid } from '../lib/ui.js';
import * as ovh from './ovh.js';
import * as zadarma from './zadarma.js';

const data = { rows: [], templates: [], chosen: null, steps: [], tried: [], users: null, agents: [], journal: null, key: '' };
const SHOWN_STATES = ['pending', 'sending', 'done', 'doubt', 'held', 'dead', 'skipped'];

async function refresh() {
  const [rows, templates] = await Promise.all(['/crm/integrations', '/crm/templates'].map((p) => attempt(() => get(p))));
  data.rows = rows?.rows || [];
  data.templates = templates?.rows || [];
  if (!data.key && data.templates[0]) data.key = data.templates[0].key;
  if (data.chosen) data.chosen = data.rows.find((r) => r.id === data.chosen.id) || null;
  paint();
}
// Who supervises sees what OVHcloud's lines tell; settings are the administrators'.
export const enter = () => Promise.all(may('administer') ? [refresh(), zadarma.enter(), ovh.enter()] : [ovh.enter()]);

async function choose(row) {
  Object.assign(data, { chosen: row, steps: [], tried: [], users: null, journal: null });
  paint();
  const path = `/crm/integrations/${row.id}`;
  const [steps, users, agents] = await Promise.all([attempt(() => get(`${path}/steps`)), row.template?.features.includes('UserAssociation') && attempt(() => get(`${path}/users`)), attempt(() => get('/agents?limit=500'))]);
  data.steps = steps?.steps || [];
  data.users = users?.rows || null;
  data.agents = agents?.rows || [];
  paint();
}

// ---- adding --------------------------------------------------------------------------------------------------------------
const template = () => data.templates.find((x) => x.key === data.key);
async function add(e) {
  e.preventDefault();
  const v = formValues(e.target);
  const fields = Object.fromEntries(template().fields.map((f) => [f.name, v[`field_${f.name}`] || '']).filter(([, text]) => text));
  const made = await attempt(() => post('/crm/integrations', { name: v.name, template: data.key, fields }));
  if (made) { e.target.reset(); await refresh(); await choose(made); }
}
async function upload(e) {
  const file = e.target.files[0];
  e.target.value = '';
  if (!file) return;
  const kept = await attempt(() => request('POST', '/api/v1/crm/templates', new Blob([file]), { 'Content-Type': 'application/octet-stream' }));
  if (kept) { toast(t('crm.uploaded', { name: kept.data.name, n: num(kept.data.warnings.length) })); data.key = kept.data.key; await refresh(); }
}
async function setLogo(e) {
  const file = e.target.files[0];
  e.target.value = '';
  if (file && await attempt(() => request('PUT', `/api/v1/crm/templates/${data.key}/logo`, new Blob([file]), { 'Content-Type': 'application/octet-stream' }))) await refresh();
}
// The version in the address makes a new picture show at once.
function logo(key) {
  const found = data.templates.find((x) => x.key === key && x.logo);
  return found && h('img', { key: `logo ${key} ${found.logo}`, src: `/api/v1/crm/templates/${key}/logo?v=${found.logo}`, alt: '', width: 40, height: 40, 'data-logo': key });
}
// A shipped template's fields are named in the page's language, known by their English titles; a template of one's own
// speaks for itself.
function title(f) {
  const [name, example] = (f.title || f.name).split(', e.g. ');
  const key = `crm.label.${name.toLowerCase().replace(/[^a-z]+/g, '_')}`;
  const said = has(key) ? t(key) : name;
  return example ? `${said}, ${t('crm.example')} ${example}` : said;
}
const input = (f) => (f.options.length ? select(`field_${f.name}`, f.options[0], f.options.map((o) => [o, o])) : h('input', { name: `field_${f.name}`, type: f.editor === 'password' ? 'password' : 'text', autocomplete: 'off', spellcheck: 'false' }));
const adding = () => h('section', { class: 'card' }, h('h2', null, t('crm.add')),
  h('form', { class: 'form', onsubmit: add },
    field(t('crm.template'), h('select', { name: 'template', value: data.key, onchange: (e) => { data.key = e.target.value; paint(); } }, data.templates.map((x) => h('option', { key: x.key, value: x.key, selected: x.key === data.key }, x.id ? x.name : t('crm.shipped', { name: x.name }))))),
    field(t('crm.name'), h('input', { name: 'name', required: true, maxlength: 120 })),
    template()?.fields.map((f) => h('span', { key: `${data.key} ${f.name}` }, field(title(f), input(f), f.editor === 'password' ? t('crm.secret_hint') : false))),
    h('button', { class: 'primary' }, t('crm.add_verb')), ' ',
    h('label', { class: 'button' }, t('crm.upload'), h('input', { type: 'file', accept: '.xml', class: 'sr', onchange: upload })),
    template()?.id > 0 && h('span', null, logo(data.key), ' ', h('label', { class: 'button' }, t('crm.logo'), h('input', { type: 'file', accept: 'image/png,image/jpeg', class: 'sr', name: 'logo', onchange: setLogo })))));

// ---- one of them -----------------------------------------------------------------------------------------------------------
async function change(row, body) {
  const done = await attempt(() => patch(`/crm/integrations/${row.id}`, body, `"${row.version}"`));
  await refresh();
  return done;
}
async function tryStep(step) {
  const phone = document.querySelector('[name=crm_phone]')?.value.trim();
  const user = data.users?.find((u) => u.agent_id)?.crm_id || data.users?.[0]?.crm_id || '';
  const found = await attempt(() => post(`/crm/integrations/${data.chosen.id}/try`, { step, user, ...(phone ? { phone } : {}) }));
  if (found) data.tried = [...data.tried.filter((x) => x.step !== step), found];
  paint();
}
async function authorize() {
  const to = await attempt(() => post(`/crm/integrations/${data.chosen.id}/authorize`));
  if (to) window.open(to.url, '_blank', 'noopener');
}
async function users(verb) {
  const path = `/crm/integrations/${data.chosen.id}/users`;
  const said = await attempt(() => post(`${path}/${verb}`));
  if (said && verb === 'associate') toast(t('crm.associated', { n: num(said.associated) }));
  data.users = (await attempt(() => get(path)))?.rows || data.users;
  paint();
}
async function assign(user, id) {
  await attempt(() => post(`/crm/integrations/${data.chosen.id}/users/${user.id}`, { agent_id: Number(id) }));
  data.users = (await attempt(() => get(`/crm/integrations/${data.chosen.id}/users`)))?.rows || data.users;
  paint();
}
async function journal() {
  data.journal = (await attempt(() => get(`/crm/integrations/${data.chosen.id}/journal?limit=50`)))?.rows || [];
  paint();
}
async function replay(states) {
  const done = await attempt(() => post(`/crm/integrations/${data.chosen.id}/journal/replay`, { states }));
  if (done) { toast(t('crm.replayed', { n: num(done.count) })); await journal(); }
}
const drop = (row) => confirm({ title: t('crm.remove', { name: row.name }), body: t('crm.remove_body'), verb: t('crm.remove_verb'), act: async () => { if (await attempt(() => remove(`/crm/integrations/${row.id}`, `"${row.version}"`))) data.chosen = null; await refresh(); } });

const lines = (text) => h('pre', { class: 'wire' }, text);
const exchange = (x, n) => h('details', { key: n }, h('summary', null, `${x.method} ${x.url} → ${x.status || '—'}`), lines(Object.entries(x.headers).map(([k, v]) => `${k}: ${v}`).join('\n')), x.body && lines(x.body), lines(x.error ? `${x.error}\n${x.answer}` : x.answer));
function outcome(step) {
  const found = data.tried.find((x) => x.step === step);
  if (!found) return null;
  const said = found.ok ? Object.entries(found.found).filter(([, v]) => v).map(([k, v]) => `${k}: ${v}`).join(', ') || t('crm.done') : found.error;
  return h('div', { 'data-step': step }, h('p', { class: found.ok ? 's-ready' : 'mark act', role: 'status' }, said), found.exchanges.map(exchange));
}
const trying = () => h('section', { class: 'card' }, h('h2', null, t('crm.try')), h('p', { class: 'muted' }, t('crm.try_hint')),
  field(t('crm.phone'), h('input', { name: 'crm_phone', placeholder: '+33123456789' })),
  h('ol', { class: 'list' }, data.steps.map((step) => h('li', { key: step }, h('b', null, t(`crm.step.${step}`)), ' ', h('button', { onclick: () => tryStep(step) }, t('crm.try_verb')), outcome(step)))));
const people = () => data.users && h('section', { class: 'card' }, h('h2', null, t('crm.users')),
  h('p', null, h('button', { 'data-store': true, onclick: () => users('refresh') }, t('crm.users_refresh')), ' ', h('button', { 'data-store': true, onclick: () => users('associate') }, t('crm.users_associate'))),
  grid(heads('crm.col.', ['user', 'email', 'agent']),
    data.users.map((u) => h('tr', { key: u.id }, h('th', { scope: 'row' }, `${u.first_name} ${u.last_name}`), h('td', null, u.email), h('td', null, h('select', { 'aria-label': t('crm.col.agent'), value: u.agent_id, onchange: (e) => assign(u, e.target.value) }, h('option', { value: 0 }, '—'), data.agents.map((a) => h('option', { key: a.id, value: a.id, selected: a.id === u.agent_id }, `${a.extension} ${a.name}`))))))));
const told = () => h('section', { class: 'card' }, h('h2', null, t('crm.journal')),
  h('p', null, SHOWN_STATES.filter((s) => data.chosen.journal[s]).map((s) => h('span', { key: s, class: s === 'held' || s === 'dead' ? 'mark watch' : 'chip' }, `${t(`crm.state.${s}`)} ${num(data.chosen.journal[s].count)}`)), ' ',
    h('button', { 'data-store': true, onclick: journal }, t('crm.journal_show')), ' ', (data.chosen.journal.held || data.chosen.journal.dead) && h('button', { 'data-store': true, onclick: () => replay(['held', 'dead']) }, t('crm.replay'))),
  data.journal && h('table', { class: 'grid' }, h('tbody', null, data.journal.map((r) => h('tr', { key: r.attempt_id }, h('th', { scope: 'row' }, num(r.number)), h('td', null, dateTime(r.at)), h('td', null, t(`crm.state.${r.state}`)), h('td', null, r.error || r.journal_id))))));
const state = (r) => h('span', { class: { connected: 's-ready', off: 'muted' }[r.status.state] || 'mark watch' }, t(`crm.is.${r.status.state}`));
const chosen = (r) => [
  h('section', { class: 'card' }, h('h1', null, r.name, ' ', state(r)), r.status.last_error && h('p', { class: 'mark watch' }, r.status.last_error),
    h('p', null, h('button', { 'data-store': true, class: r.enabled ? '' : 'primary', onclick: () => change(r, { enabled: !r.enabled }) }, t(r.enabled ? 'crm.disable' : 'crm.enable')), ' ',
      r.template?.auth === 'oauth2' && h('button', { 'data-store': true, onclick: authorize }, t('crm.authorize')), ' ', h('button', { 'data-store': true, onclick: () => change(r, { template: r.template.key }) }, t('crm.apply')), ' ',
      h('button', { 'data-store': true, class: 'danger', onclick: () => drop(r) }, t('crm.remove_dots')), ' ', h('button', { class: 'quiet', onclick: () => { data.chosen = null; paint(); } }, t('do.close')))),
  trying(), people(), told()];

export function view() {
  if (!may('administer')) return h('section', null, ovh.view());
  return [
    h('section', { class: 'card' }, h('h1', null, t('nav.integrations')),
      data.rows.length === 0 && h('p', { class: 'muted' }, t('crm.none')),
      h('ul', { class: 'list' }, data.rows.map((r) => h('li', { key: r.id }, logo(r.template?.key), h('button', { class: 'quiet', onclick: () => choose(r) }, h('b', null, r.name)), ` ${r.template?.name || ''} `, state(r))))),
    data.chosen ? chosen(data.chosen) : adding(), zadarma.view(), ovh.view()];
}
