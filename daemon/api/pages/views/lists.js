// Lists: what is in, the import (state kept by the daemon), search with history, the red list.
import { h, icon } from '../lib/dom.js';
import { t, word, has } from '../lib/i18n.js';
import { num, dateTime, phone } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { all, get, post, patch, request as http, may } from '../lib/api.js';
import { attempt, confirm, field, formValues, select, toast, complain, computed, empty, heads, grid, labelled } from '../lib/ui.js';
import { edit } from './edit.js';
import { missedCalls, loadMissed, blacklist, loadBlocked } from './reception.js';
import { countsAt, countsOf, enterHeld, held, heldLink, loadCounts, reasons } from './held.js';
import { nameOf, numberOf, openLead } from './person.js';
import { place } from '../lib/place.js';

const FIELDS = ['', 'phone', 'alt_phone', 'first_name', 'last_name', 'full_name', 'company', 'email', 'address1', 'address2', 'address3', 'city', 'postal_code', 'state', 'country_code', 'comments', 'vendor_lead_code', 'status', 'priority', 'consent_at', 'consent_source', 'consent_text_version', 'consent_out_of_hours', 'consent_automated', 'running_contract'];
const data = { lists: [], clients: [], job: null, mapping: {}, found: null, query: '', listId: 0 };
let asked = '';

export async function enter(route) {
  data.tab = route.rest[0] || 'listes';
  data.lists = (await attempt(() => all('/lists'))) || [];
  data.clients = (await attempt(() => all('/clients'))) || [];
  if (data.tab === 'importer' && route.rest[1]) await refresh(route.rest[1]);
  if (data.tab === 'rappels') await loadMissed();
  if (data.tab === 'rouge') await loadBlocked();
  if (['listes', 'fiches'].includes(data.tab)) await loadCounts(data.lists);
  if (data.tab === 'fiches') { await enterHeld(data.lists); return; }
  paint();
}

// ---- lists -----------------------------------------------------------------------------------------------------
async function toggle(list) {
  const saved = await attempt(async () => {
    const { etag } = await http('GET', `/api/v1/lists/${list.id}`);
    return patch(`/lists/${list.id}`, { active: !list.active }, etag);
  });
  if (saved) { Object.assign(list, saved.data); toast(t(list.active ? 'lists.on' : 'lists.off', { name: list.name })); }
}
const editList = (l) => edit({
  path: `/lists/${l.id}`, title: l.name, done: (row) => { Object.assign(l, row); paint(); }, gone: () => { data.lists = data.lists.filter((x) => x !== l); paint(); },
  fields: [{ name: 'name', label: t('list.name') }, { name: 'rank', label: t('list.rank') }, { name: 'active', label: t('list.active') }],
});
async function addList(e) {
  e.preventDefault();
  const form = e.target;
  const made = await attempt(() => post('/lists', formValues(form)));
  if (made) { data.lists.push(made); form.reset(); await loadCounts(data.lists); paint(); }
}
// All, due, held by reason: each number opens those leads. Due and held are all, always.
function counts(l) {
  const c = countsOf(l);
  if (!c) return ['total', 'due', 'held'].map((n) => h('td', { key: n, class: n === 'held' ? '' : 'n' }, '?'));
  return [
    h('td', { key: 'total', class: 'n', 'data-total': c.total }, num(c.total)),
    h('td', { key: 'due', class: 'n' }, h('a', { href: heldLink({ liste: l.id }, 'due'), 'data-reason': 'due' }, num(c.due))),
    h('td', { key: 'held', class: 'wraps' }, num(c.held), c.held > 0 && [h('span', { class: 'muted' }, ' : '), reasons(c.by_reason, { liste: l.id })])];
}
setInterval(async () => { if (data.tab === 'listes' && /^#\/listes(\/listes)?$/.test(location.hash) && !document.hidden) { await loadCounts(data.lists); paint(); } }, 10000);
const lists = () => h('section', { class: 'card' },
  h('h2', null, t('tab.listes'), h('span', { class: 'right muted', title: 'list_counts' }, computed(countsAt()))),
  may('manage') && h('form', { class: 'toolbar', onsubmit: addList }, labelled('name', 'lists.new_name', { required: true, maxlength: 120 }), h('button', null, t('lists.add'))),
  data.lists.length === 0 ? empty('lists.none') : grid(
    heads('list.', ['name', 'state', 'rank', 'total', 'due', 'held', 'act'], ['rank', 'total', 'due']),
    data.lists.map((l) => h('tr', { key: l.id }, h('th', { scope: 'row' }, l.name), h('td', null, t(l.active ? 'list.active' : 'list.inactive')), h('td', { class: 'n' }, num(l.rank)), counts(l),
      h('td', { class: 'acts' }, may('manage') && h('button', { 'data-store': true, onclick: () => toggle(l) }, t(l.active ? 'list.switch_off' : 'list.switch_on')), ' ', may('manage') && h('button', { 'data-store': true, 'aria-label': t('edit.of', { name: l.name }), onclick: () => editList(l) }, t('do.edit')), ' ', may('manage') && h('a', { class: 'button', href: `#/listes/importer?liste=${l.id}` }, t('list.import')))))));

// ---- import -----------------------------------------------------------------------------------------------------
async function upload(file) {
  const listId = Number(document.querySelector('[name=list_id]').value);
  if (!file || !listId) { toast(t('import.choose_list'), { kind: 'alert' }); return; }
  const query = `list_id=${listId}&file_name=${encodeURIComponent(file.name)}`;
  const started = await attempt(() => http('POST', `/api/v1/imports?${query}`, file));
  if (!started) return;
  take(started.data);
  location.hash = `#/listes/importer/${data.job.id}`;
  await check();
}
function take(job) {
  if (!job) return;
  if (!data.job || data.job.id !== job.id) data.mapping = { ...job.file.columns };
  data.job = job;
  paint();
}
// How far it is comes by the stream; the whole state is asked for once, as the stream says that its stage is another and
// the answer to what this page did has not said so: a stream that is behind that answer is no news, however long it is.
function seen(job) {
  const now = live.state.imports?.[job.id];
  const heard = now ? `${job.id} ${now.state}` : asked;
  if (heard !== asked) {
    asked = heard;
    if (now.state !== 'running' && now.state !== job.state) setTimeout(() => { if (data.job?.id === job.id && data.job.state !== now.state) refresh(job.id); }, 200);
  }
  return now?.state === 'running' ? { ...job, state: 'running', part: now.part, rows: now.rows } : job;
}
// Imports under way, whoever began them: leaving the page loses nothing.
const underWay = () => {
  const rows = Object.values(live.state.imports || {}).filter((x) => x.state === 'running');
  return rows.length > 0 && h('section', { class: 'card', 'data-imports': true }, h('h2', null, t('import.under_way')), h('ul', { class: 'list' }, rows.map((x) => h('li', { key: x.id }, h('a', { href: `#/listes/importer/${x.id}` }, data.lists.find((l) => l.id === x.list_id)?.name || `n° ${x.list_id}`), h('progress', { max: 1, value: x.part, 'aria-label': t('import.progress') }), ` ${num(x.rows)}`))));
};
async function refresh(id) { take(await attempt(() => get(`/imports/${id}`))); }
async function check() {
  const more = document.querySelector('form.import');
  const values = more ? formValues(more) : {};
  const options = { columns: data.mapping, duplicates: values.duplicates || 'skip', profile: values.profile || '' };
  try { take(await post(`/imports/${data.job.id}/check`, options)); } catch (error) { complain(error); }
}
async function run() { take(await attempt(() => post(`/imports/${data.job.id}/run`))); }

function pickFile() {
  const drop = (e) => { e.preventDefault(); upload(e.dataTransfer.files[0]); };
  const wanted = new URLSearchParams(location.hash.split('?')[1] || '').get('liste');
  return h('section', { class: 'card' }, h('h2', null, t('import.step_file')),
    h('div', { class: 'form', ondragover: (e) => e.preventDefault(), ondrop: drop },
      field(t('import.list'), select('list_id', wanted || data.lists[0]?.id, data.lists.map((l) => [l.id, l.name]))),
      field(t('import.file'), h('input', { type: 'file', name: 'file', accept: '.csv,.txt,.xlsx,.xls', onchange: (e) => upload(e.target.files[0]) }), t('import.hint'))));
}
function columns(job) {
  const set = (i) => (e) => { data.mapping = { ...data.mapping, [i]: e.target.value }; check(); };
  return grid(heads('import.', ['heading', 'example', 'field', 'guess']),
    job.file.headings.map((heading, i) => {
      const chosen = data.mapping[i] ?? '';
      return h('tr', { key: i }, h('th', { scope: 'row' }, heading || t('import.column', { n: i + 1 })), h('td', null, job.file.rows[0]?.[i] || '—'),
        h('td', null, h('select', { 'aria-label': heading, onchange: set(i), disabled: job.state === 'running' || job.state === 'done' }, FIELDS.map((f) => h('option', { key: f, value: f, selected: f === chosen }, f ? word('lead', f) : t('import.ignore'))))),
        h('td', null, chosen ? h('span', { class: 's-ready' }, icon('ready'), ' ', t('import.guessed')) : h('span', { class: 'mark watch' }, icon('watch'), ' ', t('import.to_choose'))));
    }));
}
function reasonWord(reason) {
  const bare = reason.replace(/^(alt_)?phone_/, '');
  return has(`reason.${reason}`) ? t(`reason.${reason}`) : has(`reason.${bare}`) ? t(`reason.${bare}`) : reason;
}
function report(job) {
  const r = job.report;
  if (!r) return null;
  const good = r.inserted + r.updated || r.good;
  return h('div', null,
    h('p', null, h('b', null, t(r.dry_run ? 'import.would' : 'import.did', { n: num(good), rows: num(r.rows) }))),
    h('p', { class: 'muted' }, t('import.counts', { base: num(r.duplicates_in_base), file: num(r.duplicates_in_file), rejected: num(r.rejected), cleaned: num(r.cleaned) })),
    Object.keys(r.by_reason).length > 0 && h('p', null, Object.entries(r.by_reason).map(([reason, n]) => [h('span', { class: 'count', key: reason }, `${reasonWord(reason)} `, h('b', null, num(n))), ' '])),
    h('p', null, h('a', { href: `/api/v1/imports/${job.id}/report` }, t('import.report'))));
}
function importer() {
  if (!data.job || !location.hash.includes(data.job.id)) return pickFile();
  const job = seen(data.job);
  const busy = job.state === 'running';
  const n = job.report ? job.report.good : 0;
  return h('section', { class: 'card' },
    h('h2', null, `${job.file_name} · ${job.file.encoding || ''} · « ${job.file.delimiter || ''} »`),
    columns(job),
    h('form', { class: 'import toolbar', onsubmit: (e) => e.preventDefault() },
      field(t('import.duplicates'), select('duplicates', 'skip', ['skip', 'replace', 'merge'].map((d) => [d, t(`import.${d}`)]), { onchange: check })),
      field(t('import.profile'), h('input', { name: 'profile', maxlength: 80, list: 'profiles' })), h('datalist', { id: 'profiles' }, (job.profiles || []).map((p) => h('option', { key: p, value: p })))),
    report(job),
    busy && h('p', null, h('progress', { max: 1, value: job.part, 'aria-label': t('import.progress') }), ` ${num(job.rows)}`),
    job.error && h('p', { class: 'mark act' }, icon('alert'), ' ', job.error.reason || job.error.code),
    h('div', { class: 'buttons' }, h('a', { class: 'button', href: '#/listes/importer', onclick: () => { data.job = null; } }, t(job.state === 'done' ? 'import.another' : 'do.back')),
      job.state !== 'done' && h('button', { 'data-store': true, class: 'primary', disabled: busy || !job.report || n === 0, onclick: run }, t('import.run', { n: num(n) }))));
}

// ---- search: one may ask anew before the answer is there; that of the last question counts -------------------------------------------------------------------------------------------------------
async function search(e, after) {
  e?.preventDefault();
  if (!after) {
    const values = formValues(document.querySelector('form.search'));
    data.query = new URLSearchParams(Object.entries(values).filter(([, v]) => v !== '')).toString();
  }
  const asked = data.query;
  const page = await attempt(() => get(`/leads?${asked}${after ? `&after=${after}` : ''}`));
  if (page && asked === data.query) data.found = after ? { rows: [...data.found.rows, ...page.rows], next_after: page.next_after } : page;
  paint();
}
const finder = () => h('section', { class: 'card' },
  h('form', { class: 'search toolbar', onsubmit: (e) => { search(e); } }, labelled('q', 'search.name', { 'data-search': true }), labelled('phone', 'search.phone'),
    select('list_id', '', [['', t('search.any_list')], ...data.lists.map((l) => [l.id, l.name])], { 'aria-label': t('import.list') }), h('button', { class: 'primary' }, t('do.search'))),
  !data.found && empty('search.start'),
  data.found && (data.found.rows.length === 0 ? empty('search.none') : grid(heads('search.col_', ['name', 'phone', 'place', 'list', 'status', 'last', 'blocked']),
    data.found.rows.map((l) => h('tr', { key: l.id }, h('th', { scope: 'row' }, h('a', { href: '#/listes/recherche', onclick: (e) => { e.preventDefault(); openLead(l); } }, nameOf(l))), h('td', { title: l.e164 }, numberOf(l)), h('td', null, place(l) || '—'), h('td', null, data.lists.find((x) => x.id === l.list_id)?.name || '—'), h('td', null, l.status || word('outcome', l.last_outcome)), h('td', null, dateTime(l.last_attempt_at)), h('td', null, l.blocked_by ? word('blocked', l.blocked_by) : '—'))))),
  data.found?.next_after && h('button', { 'data-store': true, onclick: () => search(null, data.found.next_after) }, t('do.more')));

// ---- red list: one paste and Enter --------------------------------------------------------------------------------------
export function redList(clients) {
  if (!clients.length) return empty('dnc.no_client');
  const add = async (e) => {
    e.preventDefault();
    const form = e.target;
    const values = formValues(form);
    const done = await attempt(() => post('/dnc', { client_id: Number(values.client_id), number: values.number }));
    if (done) { toast(t('dnc.added', { number: phone(done.e164), n: done.leads })); form.elements.number.value = ''; form.elements.number.focus(); }
  };
  const free = (e) => {
    const form = e.target.closest('form');
    const { number, client_id: id } = formValues(form);
    if (!number) return;
    confirm({ title: t('dnc.free_title', { number }), body: t('dnc.free_body'), verb: t('dnc.free'), typed: number.replace(/\D/g, '').slice(-4), act: async ({ reason }) => { const done = await attempt(() => post('/dnc', { client_id: Number(id), number, on: false, reason })); if (done) toast(t('dnc.freed', { number })); return done; } });
  };
  return h('form', { class: 'toolbar', onsubmit: add }, select('client_id', clients[0]?.id, clients.map((c) => [c.id, c.name]), { 'aria-label': t('campaign.client_id') }), labelled('number', 'dnc.number', { required: true, inputmode: 'tel' }), h('button', { class: 'primary' }, t('dnc.add')), h('button', { 'data-store': true, type: 'button', onclick: free }, t('dnc.free_dots')));
}

export function view() {
  const tabs = ['listes', ...(may('manage') ? ['importer'] : []), 'recherche', ...(may('manage') ? ['rouge'] : []), 'rappels'];
  const body = { listes: lists, importer, recherche: finder, fiches: held, rouge: () => [h('section', { class: 'card' }, h('h2', null, t('tab.rouge')), redList(data.clients)), blacklist()], rappels: missedCalls }[data.tab] || lists;
  return [h('div', { class: 'tabs' }, tabs.map((name) => h('a', { key: name, class: 'button', 'aria-current': data.tab === name || (data.tab === 'fiches' && name === 'listes') ? 'page' : false, href: `#/listes/${name}` }, t(`tab.${name}`)))), data.tab !== 'importer' && may('manage') && underWay(), body()];
}
