// Calls that come in, kept by people: missed calls as tasks with their owner, and the numbers that are not let in.
import { h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { dateTime, phone } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { all, get, post, remove, may } from '../lib/api.js';
import { attempt, formValues, toast, empty, heads, grid, labelled } from '../lib/ui.js';

const data = { missed: [], done: false, blocked: [] };
export async function loadMissed(done = data.done) {
  data.done = done;
  data.missed = (await attempt(() => get(`/missed-calls?limit=500${done ? '&done=true' : ''}`)))?.rows || [];
  paint();
}
export async function loadBlocked() {
  data.blocked = (await attempt(() => all('/blacklist'))) || [];
  paint();
}

async function tickOff(row) {
  if (await attempt(() => post(`/missed-calls/${row.attempt_id}/done`))) { toast(t('missed.ticked', { number: phone(row.e164) })); await loadMissed(); }
}
const owner = (row) => (row.owner_agent_id ? live.state.agents[row.owner_agent_id]?.name || `#${row.owner_agent_id}` : t('missed.owner_pool'));
export const missedCalls = () => h('section', { class: 'card' }, h('h2', null, t('missed.title')), h('p', { class: 'muted' }, t('missed.said')),
  h('div', { class: 'tabs' }, [false, true].map((done) => h('button', { 'data-store': true, key: String(done), class: 'quiet', 'aria-pressed': String(data.done === done), onclick: () => loadMissed(done) }, t(done ? 'missed.done_ones' : 'missed.open_ones')))),
  data.missed.length === 0 ? h('p', { class: 'empty' }, t(data.done ? 'missed.none_done' : 'missed.none')) : grid(
    heads('missed.', ['at', 'caller', 'called', 'campaign', 'owner', 'due', data.done ? 'by' : 'act']),
    data.missed.map((row) => h('tr', { key: row.attempt_id }, h('td', { class: 'num' }, dateTime(row.at)), h('th', { scope: 'row' }, phone(row.e164)), h('td', null, phone(row.did)), h('td', null, live.state.campaigns[row.campaign_id]?.name || '—'),
      h('td', null, owner(row)), h('td', { class: 'num' }, dateTime(row.due_at)), h('td', null, data.done ? `${row.done_by} ${dateTime(row.done_at)}` : h('button', { 'data-store': true, onclick: () => tickOff(row) }, t('missed.done')))))));

async function block(e) {
  e.preventDefault();
  const form = e.target;
  const made = await attempt(() => post('/blacklist', formValues(form)));
  if (made) { data.blocked.push(made); form.reset(); paint(); }
}
async function letIn(row) {
  if (await attempt(() => remove(`/blacklist/${row.id}`, `"${row.version}"`))) { data.blocked = data.blocked.filter((x) => x !== row); toast(t('blacklist.let_in', { number: phone(row.e164) })); }
}
export const blacklist = () => h('section', { class: 'card', 'data-blacklist': true }, h('h2', null, t('blacklist.title')), h('p', { class: 'muted' }, t('blacklist.said')),
  may('manage') && h('form', { class: 'toolbar', onsubmit: block }, h('input', { name: 'e164', required: true, inputmode: 'tel', placeholder: '+33…', 'aria-label': t('dnc.number') }), labelled('reason', 'blacklist.reason'), h('button', null, t('blacklist.add'))),
  data.blocked.length === 0 ? empty('blacklist.none') : h('ul', { class: 'list' }, data.blocked.map((row) => h('li', { key: row.id }, h('b', null, phone(row.e164)), ` ${row.reason}`, may('manage') && h('button', { 'data-store': true, class: 'quiet right', onclick: () => letIn(row) }, t('blacklist.free'))))));
