// Zadarma's link: credentials that go in and never come out, the address to give it, whose extension is whose, its calls.
import { h } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { dateTime, duration, num, phone } from '../lib/format.js';
import { paint } from '../lib/live.js';
import { all, get, patch, post, remove } from '../lib/api.js';
import { attempt, field, formValues, select, toast, empty } from '../lib/ui.js';

const data = { ready: false, link: null, agents: [], lists: [], users: [], free: null, tested: '', refused: false, calls: null };
const OPTIONS = ['create_lead', 'redirect', 'show_name', 'call_back', 'blacklist'];
const BLANK = { enabled: false, key_set: false, secret_set: false, addresses: ['185.45.152.42'], api_url: '', list_id: 0, missed_call_owner: 'pool', default_agent_id: 0, feed_url: '' };

export async function enter() {
  const [links, agents, lists] = await Promise.all([attempt(() => get('/zadarma/links')), attempt(() => all('/agents')), attempt(() => all('/lists'))]);
  if (!links || !agents || !lists) return;
  Object.assign(data, { link: links.rows[0] || null, agents, lists });
  if (data.link) await people();
  data.ready = true;
  paint();
}
async function people() {
  data.users = (await attempt(() => get('/zadarma/users')))?.rows || [];
  data.free = data.link.key_set && data.link.secret_set ? (await attempt(() => get('/zadarma/extensions')))?.free || [] : null;
  paint();
}

async function save(e) {
  e.preventDefault();
  const { key, secret, addresses, ...rest } = formValues(e.target);
  const body = { ...rest, list_id: Number(rest.list_id), default_agent_id: Number(rest.default_agent_id), addresses: addresses.split(/[\s,]+/).filter(Boolean) };
  if (!body.api_url) delete body.api_url;
  const form = e.target;
  const done = await attempt(() => patch('/zadarma/link', { ...body, ...(key ? { key } : {}), ...(secret ? { secret } : {}) }));
  if (!done) return;
  for (const name of ['key', 'secret']) if (form.elements[name]) form.elements[name].value = '';
  Object.assign(data, { link: done.data, tested: '' });
  toast(t('zadarma.saved'));
  await people();
}
async function test() {
  const found = await attempt(() => get('/zadarma/balance'));
  data.tested = found ? t('zadarma.balance', { amount: num(found.balance, 2), currency: found.currency }) : t('zadarma.no_answer');
  data.refused = !found;
  paint();
}
async function assign(e) {
  e.preventDefault();
  const { agent_id: id, extension } = formValues(e.target);
  if (await attempt(() => post('/zadarma/users', { agent_id: Number(id), extension }))) await people();
}
async function release(user) {
  await attempt(() => remove(`/zadarma/users/${user.id}`));
  await people();
}
async function calls() {
  data.calls = (await attempt(() => get('/zadarma/calls')))?.rows.reverse() || [];
  paint();
}
const copy = (text) => attempt(async () => { await navigator.clipboard.writeText(text); toast(t('outside.copied')); });
export const address = (label, text) => h('p', null, label, ' ', h('code', { class: 'token' }, text), ' ', h('button', { onclick: () => copy(text) }, t('do.copy')));

const secretField = (name, set) => field(t(`zadarma.${name}`), h('input', { name, type: 'password', autocomplete: 'new-password', spellcheck: 'false', placeholder: set ? '••••••••' : false }), t(set ? 'zadarma.kept' : 'crm.secret_hint'));
function settings(link) {
  const agents = data.agents.filter((a) => !link.group_id || a.group_id === link.group_id);
  const lists = data.lists.filter((l) => !link.group_id || l.group_id === link.group_id);
  return h('form', { class: 'form', onsubmit: save },
    link.from_files ? h('p', { class: 'wide muted' }, t('zadarma.from_files')) : [secretField('key', link.key_set), secretField('secret', link.secret_set)],
    field(t('zadarma.addresses'), h('input', { name: 'addresses', value: link.addresses.join(', ') })),
    field(t('zadarma.api_url'), h('input', { name: 'api_url', value: link.api_url, placeholder: 'api.zadarma.com' })),
    field(t('zadarma.list_id'), select('list_id', link.list_id, [[0, '—'], ...lists.map((l) => [l.id, l.name])])),
    field(t('campaign.inbound.missed_call_owner'), select('missed_call_owner', link.missed_call_owner, ['pool', 'default_user'].map((o) => [o, t(`missed.owner_${o}`)]))),
    field(t('campaign.inbound.default_agent_id'), select('default_agent_id', link.default_agent_id, [[0, '—'], ...agents.map((a) => [a.id, `${a.extension} ${a.name}`])])),
    field(t('zadarma.feed_url'), h('input', { name: 'feed_url', value: link.feed_url })),
    h('div', { class: 'wide' }, ['enabled', ...OPTIONS].map((name) => h('label', { key: name, class: 'check' }, h('input', { type: 'checkbox', name, checked: Boolean(link[name]) }), ` ${t(`zadarma.${name}`)} `))),
    h('button', { class: 'primary' }, t('do.save')));
}
function extensions() {
  const names = Object.fromEntries(data.agents.map((a) => [a.id, `${a.extension} ${a.name}`]));
  const taken = new Set(data.users.map((u) => u.agent_id));
  const agents = data.agents.filter((a) => a.group_id === data.link.group_id && !taken.has(a.id));
  return [h('h2', null, t('zadarma.users')),
    data.users.length > 0 && h('ul', { class: 'list', 'data-users': true }, data.users.map((u) => h('li', { key: u.id }, h('b', { class: 'num' }, u.extension), ` ${names[u.agent_id] || u.agent_id}`, h('span', { class: 'right' }, h('button', { 'data-store': true, class: 'quiet', onclick: () => release(u) }, t('do.remove')))))),
    data.free?.length > 0 && agents.length > 0 && h('form', { class: 'toolbar', onsubmit: assign },
      select('extension', data.free[0], data.free.map((x) => [x, x]), { 'aria-label': t('zadarma.extension') }),
      select('agent_id', agents[0].id, agents.map((a) => [a.id, names[a.id]]), { 'aria-label': t('crm.col.agent') }), h('button', null, t('zadarma.give')))];
}
const shown = (c) => (c.state === 'ended' ? c.disposition || t('zadarma_state.ended') : word('zadarma_state', c.state));
function history() {
  const names = Object.fromEntries(data.agents.map((a) => [a.id, a.name]));
  return [h('h2', null, t('zadarma.calls'), ' ', h('button', { 'data-store': true, onclick: calls }, t('do.refresh'))),
    data.calls && (data.calls.length === 0 ? empty('zadarma.no_calls') : h('table', { class: 'grid', 'data-calls': true }, h('tbody', null, data.calls.map((c) => h('tr', { key: c.id },
      h('th', { scope: 'row' }, dateTime(c.at)), h('td', null, word('zadarma_direction', c.direction)), h('td', null, phone(c.e164)), h('td', null, `${c.extension} ${names[c.agent_id] || ''}`), h('td', null, shown(c)), h('td', { class: 'n' }, duration(c.duration_s)),
      h('td', null, c.task && h('span', { class: c.task === 'open' ? 'mark watch' : 'muted' }, t(`zadarma.task.${c.task}`))), h('td', null, c.recording_url && h('a', { href: c.recording_url, rel: 'noreferrer', target: '_blank' }, t('zadarma.recording'))))))))];
}

export function view() {
  if (!data.ready) return null;
  const { link } = data;
  return h('section', { class: 'card', 'data-zadarma': true },
    h('h1', null, 'Zadarma ', h('span', { class: link?.enabled ? 's-ready' : 'muted' }, t(link?.enabled ? 'outside.on' : 'crm.is.off'))),
    link?.id ? address(t('zadarma.notify'), `${location.origin}${link.notify_path}`) : h('p', { class: 'muted' }, t('zadarma.begin')),
    settings(link || BLANK),
    link && h('p', null, h('button', { onclick: test }, t('outside.test')), ' ', data.tested && h('span', { role: 'status', class: data.refused ? 'mark act' : 's-ready' }, data.tested)),
    link && extensions(), link && history());
}
