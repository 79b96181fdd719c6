// First run: three cards, each with its own check, left and resumed at will: the PBX, a list, the campaign.
import { h, icon } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { num } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { all, post } from '../lib/api.js';
import { attempt, field, formValues, select } from '../lib/ui.js';

const data = { lists: [], lines: [], callers: [], clients: [] };
export async function enter() {
  [data.lists, data.lines, data.callers, data.clients] = await Promise.all(['/lists', '/lines', '/caller-ids', '/clients'].map(async (p) => (await attempt(() => all(p))) || []));
  paint();
}
const card = (n, title, done, ...body) => h('section', { key: n, class: `card ${done ? 'done' : ''}` }, h('h2', null, `${n} `, title, done && h('span', { class: 's-ready right' }, icon('ready'))), ...body);
function pbx() {
  const links = Object.values(live.state.links);
  const up = links.some((l) => l.up);
  return card(1, t('first.pbx'), up, links.length === 0 ? h('p', null, t('first.no_site')) : links.map((l) => h('p', { key: l.site }, `PBX ${l.site} : `, l.up ? t('first.up', { mode: l.mode }) : h('span', { class: 'mark act' }, l.message || t('link.down')), l.mode_reason && h('span', { class: 'muted' }, ` ${l.mode_reason}`))),
    h('p', null, t('first.lines', { n: num(data.lines.length) }), ' ', h('a', { href: '#/lignes' }, t('first.add_lines'))));
}
async function addList(e) {
  e.preventDefault();
  if (await attempt(() => post('/lists', formValues(e.target)))) { e.target.reset(); await enter(); }
}
const list = () => card(2, t('first.list'), data.lists.length > 0, data.lists.map((l) => h('p', { key: l.id }, l.name)), h('form', { class: 'toolbar', onsubmit: addList }, h('input', { name: 'name', required: true, placeholder: t('lists.new_name'), 'aria-label': t('lists.new_name') }), h('button', null, t('lists.add'))), data.lists.length > 0 && h('a', { class: 'button', href: '#/listes/importer' }, t('list.import')));
async function start(e) {
  e.preventDefault();
  const v = formValues(e.target);
  const made = await attempt(async () => {
    const client = data.clients[0] || (await post('/clients', { name: v.client }));
    const own = (rows) => rows.filter((r) => r.group_id === client.group_id).map((r) => r.id); // who sees all groups sees others' too
    const row = await post('/campaigns', { group_id: client.group_id, name: v.name, site: v.site, client_id: client.id, mode: 'progressive', list_ids: own(data.lists), line_ids: own(data.lines.filter((l) => l.kind === 'trunk')), caller_id_ids: own(data.callers) });
    await post(`/campaigns/${row.id}/start`);
    return row;
  });
  if (made) location.hash = '#/direct';
}
function campaign() {
  const sites = Object.keys(live.state.links);
  const ready = data.lists.length > 0 && data.lines.length > 0;
  return card(3, t('first.campaign'), Object.keys(live.state.campaigns).length > 0, h('form', { onsubmit: start, class: 'form' }, field(t('campaign.name'), h('input', { name: 'name', required: true })), data.clients.length === 0 && field(t('campaign.client_id'), h('input', { name: 'client', required: true })), field(t('campaign.site'), select('site', sites[0], sites.map((s) => [s, s]))), h('button', { class: 'primary', disabled: !ready, title: ready ? false : t('first.needs') }, t('do.start'))), !ready && h('p', { class: 'muted' }, t('first.needs')));
}
export const view = () => [h('h1', null, t('first.title')), h('div', { class: 'cards' }, pbx(), list(), campaign())];
