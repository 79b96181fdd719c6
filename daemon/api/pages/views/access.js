// Access: tokens (shown once), groups. Administrators only.
import { h, icon } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { dateTime, num } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { all, get, may, post, remove, session } from '../lib/api.js';
import { attempt, confirm, field, formValues, select, toast, empty, heads, grid, labelled } from '../lib/ui.js';

const data = { tokens: [], groups: [], agents: [], once: null, journal: [] };
export async function enter() {
  if (may('administer')) [data.tokens, data.groups, data.agents] = await Promise.all(['/tokens', '/groups', '/agents'].map(async (p) => (await attempt(() => all(p))) || []));
  if (may('administer') && session.who.all_groups) data.journal = (await attempt(() => get('/audit?limit=100'))) || [];
  paint();
}
async function make(e) {
  e.preventDefault();
  const form = e.target;
  const v = formValues(form);
  const body = { name: v.name, kind: v.kind, role: v.role, days: v.days || 0, ...(v.agent_id ? { agent_id: Number(v.agent_id) } : {}) };
  const made = await attempt(() => post('/tokens', body));
  if (made) { data.once = made; form.reset(); await enter(); }
}
async function rotate(row) {
  const made = await attempt(() => post(`/tokens/${row.id}/rotate`));
  if (made) { data.once = made; await enter(); }
}
const revoke = (row) => confirm({ title: t('access.revoke', { name: row.name }), body: t('access.revoke_body'), verb: t('access.revoke_verb'), typed: row.tail, act: async () => { const done = await attempt(() => remove(`/tokens/${row.id}`)); await enter(); return done; } });
async function pairWall(e) {
  e.preventDefault();
  const form = e.target;
  const v = formValues(form);
  const made = await attempt(() => post('/wall/pair', { code: v.code.replace(/\D/g, ''), name: v.screen }));
  if (made) { form.reset(); toast(t('access.wall_done', { name: made.name })); await enter(); }
}
const wall = () => h('section', { class: 'card', key: 'wall' }, h('h2', null, t('access.wall')), h('p', { class: 'muted' }, t('access.wall_how')),
  h('form', { class: 'toolbar', onsubmit: pairWall }, h('input', { name: 'code', required: true, inputmode: 'numeric', autocomplete: 'off', pattern: '[0-9]{3} ?[0-9]{3}', placeholder: '000 000', 'aria-label': t('access.wall_code') }), labelled('screen', 'access.wall_name', { required: true, maxlength: 120 }), h('button', { class: 'primary' }, t('access.wall_pair'))));
// What a role may do; one that may not something is not shown it at all.
const ROLES = ['wall', 'agent', 'supervisor', 'manager', 'administrator'];
const RIGHTS = { live: 0, desk: 1, watch: 2, steer: 2, manage: 3, administer: 4 }; // from which role on
const roles = () => h('section', { class: 'card', 'data-roles': true }, h('h2', null, t('access.roles')), grid(
  h('thead', null, h('tr', null, h('th', { scope: 'col' }, t('access.right')), ROLES.map((r) => h('th', { key: r, scope: 'col' }, t(`role.${r}`))))),
  Object.entries(RIGHTS).map(([right, from]) => h('tr', { key: right }, h('th', { scope: 'row' }, t(`right.${right}`)), ROLES.map((r, i) => h('td', { key: r }, i >= from ? h('span', { class: 's-ready' }, icon('ready'), h('span', { class: 'sr' }, t('status.yes'))) : h('span', { class: 'sr' }, t('status.no'))))))));
// "campaign.tuned" of "3": what kind of thing, what was done to it, which one.
const what = (x) => { const [kind, done] = x.what.split('.'); return `${word('audit_kind', kind)} : ${word('journal_what', done)}`; };
const which = (x) => { const id = x.target.split(':').pop(); return (/^campaign/.test(x.what) && live.state.campaigns[id]?.name) || x.target; };
const journal = () => session.who.all_groups && h('section', { class: 'card', 'data-journal': true }, h('h2', null, t('tab.journal')),
  data.journal.length === 0 ? empty('journal.none') : grid(heads('journal.', ['at', 'by', 'what', 'target']),
    data.journal.map((x, i) => h('tr', { key: i }, h('td', { class: 'num' }, dateTime(x.at)), h('td', null, x.by), h('td', null, what(x)), h('td', null, which(x))))));
export function view() {
  if (!may('administer')) return wall();
  return [
    wall(),
    data.once && h('section', { class: 'card', role: 'alert' }, h('h2', null, t('access.once')), h('p', { class: 'token', 'data-token': true }, data.once.token), h('button', { onclick: () => navigator.clipboard?.writeText(data.once.token) }, t('do.copy')), ' ', h('button', { onclick: () => { data.once = null; paint(); } }, t('access.kept'))),
    h('section', { class: 'card' }, h('h1', null, t('access.tokens')),
      grid(heads('access.', ['name', 'kind', 'role', 'tail', 'state', 'used', 'act']),
        data.tokens.map((r) => h('tr', { key: r.id }, h('th', { scope: 'row' }, r.name), h('td', null, t(`token.${r.kind}`)), h('td', null, r.kind === 'operator' ? t(`role.${r.role}`) : '—'), h('td', null, `…${r.tail}`), h('td', null, t(r.active ? 'access.live' : 'access.dead'), r.expires_at && ` → ${dateTime(r.expires_at)}`), h('td', null, dateTime(r.last_used_at)), h('td', null, h('button', { 'data-store': true, onclick: () => rotate(r) }, t('access.rotate')), ' ', r.active && h('button', { 'data-store': true, onclick: () => revoke(r) }, t('access.revoke_dots')))))),
      h('h2', null, t('access.new')), h('form', { class: 'form', onsubmit: make },
        field(t('access.name'), h('input', { name: 'name', required: true, maxlength: 120 })), field(t('access.kind'), select('kind', 'operator', ['operator', 'click2call', 'leads'].map((k) => [k, t(`token.${k}`)]))),
        field(t('access.role'), select('role', 'supervisor', ['agent', 'supervisor', 'manager', 'administrator'].map((k) => [k, t(`role.${k}`)]))), field(t('access.agent'), select('agent_id', '', [['', '—'], ...data.agents.map((a) => [a.id, `${a.extension} ${a.name}`])])), field(t('access.days'), h('input', { type: 'number', name: 'days', min: 0, max: 3650, value: 0 }), t('access.days_hint')), h('button', { class: 'primary' }, t('access.make')))),
    h('section', { class: 'card' }, h('h2', null, t('access.groups')), h('ul', { class: 'list' }, data.groups.map((g) => h('li', { key: g.id }, h('b', null, g.code), ` ${g.name}`, h('span', { class: 'right muted' }, t('access.quota', { n: num(g.c2c_per_hour) })))))),
    roles(), journal()];
}
