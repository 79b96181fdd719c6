// First run: three cards, each with its own check, left and resumed at will: the PBX with what was found on it, a list, the
// campaign. What is there already is asked of the daemon; what is typed or ticked stays in this browser until it is used.
import { h, icon } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { all, get, may, post, session } from '../lib/api.js';
import { attempt, field, formValues, select, toast, whyNot, labelled } from '../lib/ui.js';

const data = { found: [], lists: [], lines: [], callers: [], clients: [], loaded: false, busy: false };
const KEPT = 'cadran.first';
const kept = { name: '', client: '', capacity: 10, off: [], later: false, ...JSON.parse(localStorage.getItem(KEPT) || '{}') };
function keep(changes) { Object.assign(kept, changes); localStorage.setItem(KEPT, JSON.stringify(kept)); paint(); }

export const left = () => kept.later;
export const resume = () => keep({ later: false });
async function refresh() {
  const [found, ...rows] = await Promise.all([attempt(() => get('/found')), ...['/lists', '/lines', '/caller-ids', '/clients'].map((p) => attempt(() => all(p)))]);
  data.found = found?.rows || [];
  [data.lists, data.lines, data.callers, data.clients] = rows.map((r) => r || []);
  data.loaded = true;
  paint();
}
export const enter = refresh;
// The stream knows first whether a PBX answers; what it has is asked for anew once it does.
const AGAIN_MS = 5000;
let asked = 0;
function isUp(site) {
  const up = live.state.links[site.site]?.up ?? site.up;
  if (up !== site.up && Date.now() - asked > AGAIN_MS) { asked = Date.now(); setTimeout(refresh); }
  return up;
}
async function once(work) {
  if (data.busy) return undefined;
  data.busy = true;
  paint();
  const done = await attempt(work);
  data.busy = false;
  await refresh();
  return done;
}
const card = (n, title, done, ...body) => h('section', { key: n, class: `card ${done ? 'done' : ''}`, 'data-card': n }, h('h2', null, `${n} `, title, done && h('span', { class: 's-ready right' }, icon('ready'), ' ', t('first.done'))), ...body);

// ---- 1: the PBX, and what was found on it -----------------------------------------------------------------------------------
const SHOWN = 24; // so many of each by name; the rest is counted, and taken with them
const id = (site, name) => `${site} ${name}`;
const wanted = (site, names) => names.filter((name) => !kept.off.includes(id(site, name)));
const flip = (key) => keep({ off: kept.off.includes(key) ? kept.off.filter((x) => x !== key) : [...kept.off, key] });
function found(site, legend, rows, used) {
  if (!rows.length) return null;
  return h('fieldset', { class: 'found' }, h('legend', null, legend), rows.slice(0, SHOWN).map(({ name, state, taken }) => h('label', { key: name, class: 'nowrap' },
    h('input', { type: 'checkbox', name: `found ${name}`, checked: taken || !kept.off.includes(id(site, name)), disabled: taken, onchange: () => flip(id(site, name)) }), ` ${name} `,
    h('span', { class: 'muted' }, taken ? used : word('phone', state)))), rows.length > SHOWN && h('p', { class: 'muted' }, t('first.more', { n: num(rows.length - SHOWN) })));
}
const usable = (site) => ({
  phones: wanted(site.site, site.phones.filter((x) => !x.agent_id).map((x) => x.extension)),
  trunks: may('administer') ? wanted(site.site, site.trunks.filter((x) => !x.line_id).map((x) => x.endpoint)) : [],
});
async function take(site) {
  const { phones, trunks } = usable(site);
  const made = await once(async () => ({
    agents: phones.length ? (await post('/found/agents', { site: site.site, extensions: phones })).ids.length : 0,
    lines: trunks.length ? (await post('/found/lines', { site: site.site, endpoints: trunks, capacity: kept.capacity })).ids.length : 0,
  }));
  if (made) toast(t('first.made', { agents: t('first.n_agents', { n: made.agents }), lines: t('first.n_lines', { n: made.lines }) }));
}
// What to change on the PBX, ready to copy; `code` as the link tells it.
const ADVICE = {
  not_permitted: ({ address }) => `; manager.conf\n[cadran]\npermit = ${address}/255.255.255.255`,
  auth_failed: () => '; manager.conf\n[cadran]\nsecret = …\nread = system,call,user\nwrite = originate,call',
  refused: () => ADVICE.unreachable(),
  unreachable: () => '; manager.conf\n[general]\nenabled = yes\nport = 5038\nbindaddr = 0.0.0.0',
  pbx_right_missing: () => '; manager.conf\n[cadran]\nwrite = originate,call',
  pbx_read_missing: () => '; manager.conf\n[cadran]\nread = system,call,agi,user',
};
function advice(site) {
  const lacks = (what) => site.missing.some((x) => x.startsWith(`permission denied: ${what}`));
  const code = isUp(site) ? (lacks('read ') && 'pbx_read_missing') || (lacks('originate') && 'pbx_right_missing') : site.code.replace(/^pbx_/, '');
  const text = ADVICE[code]?.({ address: location.hostname });
  return text && [h('p', { key: 'advice' }, t('first.advice')), h('pre', { key: 'text', class: 'wire', 'data-advice': code }, text),
    h('button', { key: 'copy', type: 'button', onclick: () => navigator.clipboard.writeText(text).then(() => toast(t('first.copied'))) }, t('first.copy'))];
}
// The driver's reasons are English; those it always says have words, others are marked as what they are.
const REASONS = [[/^set in the settings$/, 'set'], [/^a PBX that speaks AMI 1/, 'old'], [/^the user has the rights system/, 'asyncagi'], [/^the include is there/, 'dialplan'], [/^asyncagi lacks/, 'basic'], [/^driver = ari/, 'ari']];
function reasonOf(text) {
  const known = REASONS.find(([pattern]) => pattern.test(text));
  return known ? t(`first.reason.${known[1]}`) : h('span', { lang: 'en' }, text);
}
function onePbx(site) {
  const { phones, trunks } = usable(site);
  const free = phones.length + trunks.length;
  return h('div', { key: site.site, 'data-site': site.site }, h('p', null, h('b', null, `PBX ${site.site} : `), isUp(site) ? h('span', { class: 's-ready' }, icon('ready'), ' ', t('first.up', { mode: site.mode || live.state.links[site.site]?.mode || '' })) : h('span', { class: 'mark act' }, icon('lost'), ' ', site.error || t('link.down')), site.up && site.mode_reason && h('span', { class: 'muted' }, ' (', reasonOf(site.mode_reason), ')')),
    advice(site),
    site.up && !site.phones.length && !site.trunks.length && h('p', { class: 'muted' }, t('first.nothing')),
    found(site.site, t('first.phones', { n: num(site.phones.length) }), site.phones.map((x) => ({ name: x.extension, state: x.state, taken: Boolean(x.agent_id) })), t('first.is_agent')),
    may('administer') && found(site.site, t('first.trunks', { n: num(site.trunks.length) }), site.trunks.map((x) => ({ name: x.endpoint, state: x.state, taken: Boolean(x.line_id) })), t('first.is_line')),
    trunks.length > 0 && h('label', { class: 'field' }, t('first.capacity'), h('input', { type: 'number', name: 'capacity', min: 1, max: 10000, value: kept.capacity, onchange: (e) => keep({ capacity: Math.max(1, Number(e.target.value) || 1) }) })),
    free > 0 && h('button', { 'data-store': true, class: 'primary', disabled: data.busy || Boolean(whyNot()), onclick: () => take(site) }, t('first.take', { agents: t('first.n_agents', { n: phones.length }), lines: t('first.n_lines', { n: trunks.length }) })));
}
const trunkLines = () => data.lines.filter((l) => l.kind === 'trunk');
function pbx() {
  const up = data.found.some(isUp);
  return card(1, t('first.pbx'), up && trunkLines().length > 0,
    data.loaded && data.found.length === 0 && h('p', null, t('first.no_site')), data.found.map(onePbx),
    h('p', { class: 'muted' }, t('first.lines', { n: num(data.lines.length) }), ' ', may('administer') && h('a', { href: '#/lignes' }, t('first.add_lines'))));
}

// ---- 2: a list; who has no file tries twenty people who do not exist --------------------------------------------------------
async function addList(e) {
  e.preventDefault();
  const form = e.target;
  if (await once(() => post('/lists', formValues(form)))) form.reset();
}
async function trial() {
  const made = await once(async () => {
    const list = data.lists[0] || (await post('/lists', { name: t('first.trial_list') }));
    return post(`/lists/${list.id}/test-leads`);
  });
  if (made) toast(t('first.trial_done', { n: made.ids.length }));
}
const list = () => card(2, t('first.list'), data.lists.length > 0, data.lists.map((l) => h('p', { key: l.id }, l.name)),
  h('form', { class: 'toolbar', onsubmit: addList }, labelled('name', 'lists.new_name', { required: true }), h('button', { disabled: data.busy }, t('lists.add'))),
  data.lists.length > 0 && h('a', { class: 'button', href: '#/listes/importer' }, t('list.import')),
  h('button', { 'data-store': true, type: 'button', disabled: data.busy || Boolean(whyNot()), onclick: trial }, t('first.trial')), h('p', { class: 'muted' }, t('first.trial_hint')));

// ---- 3: the campaign --------------------------------------------------------------------------------------------------------
async function start(e) {
  e.preventDefault();
  const v = formValues(e.target);
  const made = await once(async () => {
    const client = data.clients[0] || (await post('/clients', { name: v.client }));
    const own = (rows) => rows.filter((r) => r.group_id === client.group_id).map((r) => r.id); // who sees all groups sees others' too
    const row = await post('/campaigns', { group_id: client.group_id, name: v.name, site: v.site, client_id: client.id, mode: 'progressive', list_ids: own(data.lists), line_ids: v.line ? [Number(v.line)] : own(trunkLines()), caller_id_ids: v.caller ? [Number(v.caller)] : [] });
    await post(`/campaigns/${row.id}/start`);
    return row;
  });
  if (made) { localStorage.removeItem(KEPT); location.hash = '#/direct'; }
}
function campaign() {
  const sites = Object.keys(live.state.links);
  const ready = data.lists.length > 0 && trunkLines().length > 0;
  const typed = (name) => (e) => keep({ [name]: e.target.value });
  const name = kept.name || t('first.campaign_name');
  return card(3, t('first.campaign'), Object.keys(live.state.campaigns).length > 0, h('form', { onsubmit: start, class: 'form' },
    field(t('campaign.name'), h('input', { name: 'name', required: true, maxlength: 120, value: name, onchange: typed('name') })),
    data.clients.length === 0 && field(t('campaign.client_id'), h('input', { name: 'client', required: true, maxlength: 120, value: kept.client || session.who.group_code, onchange: typed('client') }), t('first.client_hint')),
    sites.length > 1 ? field(t('campaign.site'), select('site', sites[0], sites.map((s) => [s, s]))) : h('input', { type: 'hidden', name: 'site', value: sites[0] || '' }),
    field(t('first.line'), select('line', '', [['', t('first.all_lines')], ...trunkLines().map((l) => [l.id, l.name])])),
    field(t('first.caller'), select('caller', data.callers[0]?.id || '', [['', t('first.no_caller')], ...data.callers.map((c) => [c.id, `${c.e164} ${c.name}`.trim()])])),
    h('p', { class: 'muted wide' }, t('first.turbo')),
    h('button', { class: 'primary', disabled: !ready || data.busy || Boolean(whyNot()), title: ready ? false : t('first.needs') }, t('do.start'))), !ready && h('p', { class: 'muted' }, t('first.needs')));
}
export const view = () => [h('div', { class: 'toolbar' }, h('h1', null, t('first.title')), h('span', { class: 'grow' }), h('button', { class: 'quiet', onclick: () => { keep({ later: true }); location.hash = '#/direct'; } }, t('first.later'))),
  h('div', { class: 'cards' }, pbx(), list(), campaign())];
