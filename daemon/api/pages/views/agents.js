// Agents: who is where, since when, beyond what is expected first. Rows hold still while the pointer is on them.
import { h, icon } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num, pct, duration, clock } from '../lib/format.js';
import { live, since, paint } from '../lib/live.js';
import { post, may, all } from '../lib/api.js';
import { chip, request, whyNot, confirm, ui, STATE_ICON, attempt, field, formValues, select, toast, siteDown, closer, empty } from '../lib/ui.js';
import { agentCounts } from './direct.js';
import { HANDLING } from './plots.js';
import { edit } from './edit.js';

const ROW = 32;
const SPARE = 8;
const ORDER = { unreachable: 1, paused: 5, wrap_up: 4, on_call: 2, on_hold: 2, ringing: 3, reserved: 3, ready: 6, signed_out: 9 };
const FILTERS = ['on_call', 'ready', 'reserved', 'wrap_up', 'paused', 'unreachable', 'signed_out'];
let filter = '';
let search = '';
let frozen = false;
let over = false;
let order = [];
let scroll = 0;
let pauseCodes = [];

export async function enter() {
  if (!pauseCodes.length) pauseCodes = (await attempt(() => all('/pause-codes'))) || [];
  paint();
}

const needs = (a) => (a.over_run || a.state === 'unreachable' ? 0 : 1);
const same = (a) => (!filter || a.state === filter || (filter === 'reserved' && a.state === 'ringing') || (filter === 'on_call' && a.state === 'on_hold'))
  && (!search || `${a.name} ${a.extension} ${a.login}`.toLowerCase().includes(search));

function sorted() {
  const rows = Object.values(live.state.agents).filter(same);
  rows.sort((a, b) => needs(a) - needs(b) || ORDER[a.state] - ORDER[b.state] || (a.since < b.since ? -1 : 1) || a.id - b.id);
  return rows.map((a) => a.id);
}

// The order shown: live, or held while frozen, hovered or focused. `moved` = rows that would change place.
function arrange() {
  const want = sorted();
  const held = frozen || over;
  if (!held) { order = want; return 0; }
  const wanted = new Set(want);
  const kept = order.filter((id) => wanted.has(id));
  const known = new Set(kept);
  order = [...kept, ...want.filter((id) => !known.has(id))];
  return order.reduce((n, id, i) => n + (want[i] === id ? 0 : 1), 0);
}

function act(a, path, state, body) {
  const sent = request(`agent:${a.id}`, state, () => live.state.agents[a.id]?.state === state || live.state.agents[a.id]?.next_state === state,
    () => post(`/agents/${a.id}/${path}`, body));
  ui.drawer = null;
  return sent;
}

function drawer(id) {
  return () => {
    const a = live.state.agents[id];
    if (!a) return h('p', null, t('agents.gone'));
    const off = whyNot();
    const call = Object.values(live.state.calls).find((c) => c.agent_id === a.id);
    return [
      h('h2', null, `${a.extension} ${a.name}`, may('manage') && h('button', { 'data-store': true, class: 'quiet', onclick: () => change(a) }, t('do.edit')), closer()),
      h('p', null, chip(a.state), a.code && ` ${a.code}`, ' ', h('span', { class: 'num' }, duration(since(a.since)))),
      h('p', { class: 'muted' }, t('agents.phone', { state: word('phone', a.phone) })),
      h('p', null, t('agents.today', { calls: num(a.today.calls || 0), sales: num(a.today.sales || 0), talk: duration(a.today.talk_s || 0) })),
      call && h('p', null, t('agents.call', { number: num(call.number), stage: word('stage', call.stage) }), ' ',
        may('steer') && h('button', { disabled: Boolean(off), onclick: () => confirm({ title: t('agents.hang_up', { name: a.name }), body: t('agents.hang_up_body'), verb: t('do.hang_up'), act: () => attempt(() => post(`/calls/${call.id}/hang-up`)) }) }, t('do.hang_up'))),
      a.listeners?.length > 0 && h('p', { class: 'mark watch' }, t('supv.heard_by', { who: a.listeners.map(heard).join(' · ') })),
      may('steer') && call && ['on_call', 'on_hold'].includes(a.state) && supervise(a, off),
      may('steer') && a.state !== 'signed_out' && h('div', { class: 'toolbar' },
        h('button', { disabled: Boolean(off), onclick: () => act(a, 'ready', 'ready') }, icon('ready'), ' ', t('agents.ready')),
        h('button', { disabled: Boolean(off), onclick: () => confirm({
          title: t('agents.sign_out', { name: a.name }), body: a.attempt_id ? t('agents.sign_out_call') : t('agents.sign_out_body'), verb: t('agents.sign_out_verb'),
          act: () => act(a, 'sign-out', 'signed_out') }) }, icon('off'), ' ', t('agents.sign_out_verb'))),
      may('steer') && a.state !== 'signed_out' && h('div', { class: 'toolbar' }, h('span', { class: 'muted' }, t('agents.pause_with')),
        (pauseCodes.length ? pauseCodes.map((p) => p.code) : ['']).map((code) => h('button', { key: code, disabled: Boolean(off), onclick: () => act(a, 'pause', 'paused', { code }) }, icon('pause'), ` ${code || t('desk.pause')}`))),
    ];
  };
}

// "Duval whisper" → "Duval (souffle)", in the page's words.
function heard(text) { const at = text.lastIndexOf(' '); return `${text.slice(0, at)} (${word('supv_mode', text.slice(at + 1))})`; }
// Listening in is asked for by the supervisor's own extension, which is remembered here; what it may not do, it says.
function supervise(a, off) {
  const ask = (verb, body) => {
    const phone = document.querySelector('[name=supv]')?.value.trim() || '';
    if (body.extension === '' && !phone) { toast(t('supv.need_phone'), { kind: 'alert' }); return undefined; }
    if (phone) localStorage.setItem('cadran.extension', phone);
    return attempt(() => post(`/agents/${a.id}/${verb}`, 'extension' in body ? { ...body, extension: phone } : undefined));
  };
  const button = (label, verb, body) => h('button', { key: label, disabled: Boolean(off), onclick: () => ask(verb, body) }, t(label));
  return h('div', { class: 'toolbar', 'data-supervise': true }, h('span', { class: 'muted' }, t('supv.title')),
    h('input', { name: 'supv', size: 6, inputmode: 'tel', value: localStorage.getItem('cadran.extension') || '', 'aria-label': t('supv.phone'), placeholder: t('supv.phone') }),
    button('supv.listen', 'supervise', { extension: '', mode: 'listen' }), button('supv.whisper', 'supervise', { extension: '', mode: 'whisper' }),
    button('supv.barge', 'supervise', { extension: '', mode: 'barge' }), button('supv.take', 'take-over', { extension: '' }),
    a.listeners?.length > 0 && button('supv.stop', 'supervise/stop', {}));
}

// The day's occupancy with the state the agent is in: of those that have ended alone a first conversation would be 0 %.
function occupancy(a) {
  const now = Math.max(0, since(a.since) || 0);
  const handling = (a.today.handling_s || 0) + (HANDLING.includes(a.state) ? now : 0);
  const ready = (a.today.ready_s || 0) + (a.state === 'ready' ? now : 0);
  return handling + ready >= 1 ? handling / (handling + ready) : null;
}

function row(id, index) {
  const a = live.state.agents[id];
  const call = a.attempt_id ? live.state.calls[a.attempt_id] : null;
  const share = occupancy(a);
  return h('tr', { key: id, 'aria-rowindex': index + 2, class: 'row' },
    h('th', { scope: 'row' }, h('a', { href: `#/agents/${id}`, onclick: (e) => { e.preventDefault(); ui.drawer = drawer(id); paint(); } }, a.name)),
    h('td', null, a.extension),
    h('td', null, chip(a.state), siteDown(a.site) && h('b', { title: t('agents.pbx_unknown_short') }, ' ?'), a.code && ` ${a.code}`, ' ', a.listeners?.length > 0 && h('span', { class: 'mark watch', title: t('supv.heard_by', { who: a.listeners.map(heard).join(' · ') }) }, ' ', icon('agents'), ` ${a.listeners.map((x) => x.slice(0, x.lastIndexOf(' '))).join(', ')}`), a.next_state && h('span', { class: 'muted' }, ` → ${word('state', a.next_state)}`)),
    h('td', { class: 'n num' }, a.over_run && h('span', { class: 'mark watch' }, icon('watch'), h('span', { class: 'sr' }, t('level.watch'))), ' ', duration(since(a.since))),
    h('td', null, live.state.campaigns[a.campaign_id || a.campaign_ids[0]]?.name || '—'),
    h('td', null, call ? `${num(call.number)} · ${siteDown(call.site) ? '?' : word('stage', call.stage)}` : '—'),
    h('td', null, call ? live.state.lines[call.line_id]?.name || '—' : '—'),
    h('td', { class: 'n' }, num(a.today.calls || 0)),
    h('td', { class: 'n' }, num(a.today.sales || 0)),
    h('td', { class: 'n' }, share === null ? '—' : pct(share)),
    h('td', { class: 'n' }, h('button', { class: 'quiet', 'data-menu': true, 'aria-label': t('agents.menu', { name: a.name }), onclick: () => { ui.drawer = drawer(id); paint(); } }, '⋯')));
}

export function view() {
  if (!live.state.ready) return empty('loading');
  const counts = agentCounts();
  const totalCount = Object.keys(live.state.agents).length;
  const moved = arrange();
  const height = Math.max(320, innerHeight - 260);
  const first = Math.max(0, Math.floor(scroll / ROW) - SPARE);
  const shown = live.printing ? order : order.slice(first, first + Math.ceil(height / ROW) + 2 * SPARE);
  const button = (state, label, n) => h('button', { key: state || 'all', class: 'quiet', 'aria-pressed': String(filter === state), onclick: () => { filter = filter === state ? '' : state; frozen = false; paint(); } },
    state && h('span', { class: `s-${state}` }, icon(STATE_ICON[state])), ` ${label} `, h('span', { class: 'figure' }, num(n)));
  const columns = ['name', 'extension', 'state', 'since', 'campaign', 'call', 'line', 'calls', 'sales', 'occupancy', 'menu'];
  return [h('section', { class: 'card' },
    Object.values(live.state.links).filter((l) => !l.up).map((l) => h('p', { key: l.site, class: 'mark watch' }, icon('lost'), ` ${t('agents.pbx_unknown', { site: l.site, at: clock(new Date(l.since)) })}`)),
    h('div', { class: 'toolbar tabs' },
      button('', t('agents.all'), totalCount),
      FILTERS.map((s) => button(s, word('state', s), (counts[s] || 0) + (s === 'reserved' ? counts.ringing || 0 : 0) + (s === 'on_call' ? counts.on_hold || 0 : 0))),
      h('span', { class: 'grow' }),
      h('input', { type: 'search', 'data-search': true, placeholder: t('agents.search'), 'aria-label': t('agents.search'), oninput: (e) => { search = e.target.value.toLowerCase(); paint(); } }),
      h('label', null, h('input', { type: 'checkbox', checked: frozen, onchange: (e) => { frozen = e.target.checked; paint(); } }), ' ', t('do.hold_rows')),
      moved > 0 && h('button', { class: 'quiet', onclick: reorder }, t('agents.moved', { n: moved }))),
    order.length === 0 ? h('p', { class: 'empty' }, totalCount ? t('agents.none_of', { n: num(totalCount) }) : t('agents.none'), ' ', (filter || search) && h('button', { onclick: () => { filter = ''; search = ''; document.querySelector('[data-search]').value = ''; paint(); } }, t('do.clear_all')))
      : h('div', { class: 'scroller', tabindex: '0', 'aria-label': t('nav.agents'), style: { height: `${(order.length + 1) * ROW + 16}px` }, onscroll: (e) => { scroll = e.target.scrollTop; paint(); }, onpointerenter: () => { over = true; }, onpointerleave: () => { over = false; paint(); } },
        h('div', { style: { height: `${(order.length + 1) * ROW}px` } }),
        h('table', { class: 'grid', 'aria-rowcount': order.length + 1, style: { top: '0', transform: `translateY(${first * ROW}px)` } },
          h('thead', null, h('tr', null, columns.map((c, i) => h('th', { key: c, scope: 'col', class: i === 3 || i > 6 ? 'n' : '' }, c === 'menu' ? h('span', { class: 'sr' }, t('agent.menu')) : t(`agent.${c}`))))),
          h('tbody', null, shown.map((id, i) => row(id, first + i)))))), adder()];
}

const change = (a) => edit({
  path: `/agents/${a.id}`, title: `${a.extension} ${a.name}`, done: () => paint(),
  fields: [{ name: 'name', label: t('agent.name') }, { name: 'extension', label: t('agent.extension') }, { name: 'nailed', label: t('agents.nailed'), hint: t('agents.nailed_hint') }, { name: 'enabled', label: t('list.active') }],
});
async function create(e) {
  e.preventDefault();
  const form = e.target;
  const values = formValues(form);
  if (!values.extension) delete values.extension;
  const made = await attempt(() => post('/agents', values));
  if (made) { form.reset(); toast(t('agents.made', { name: made.name })); }
}
const adder = () => may('manage') && h('details', { class: 'card' }, h('summary', null, t('agents.add')),
  h('form', { class: 'form', onsubmit: create }, field(t('agent.name'), h('input', { name: 'name', required: true, maxlength: 120 })), field(t('agents.login'), h('input', { name: 'login', required: true }), t('agents.login_hint')), field(t('agent.extension'), h('input', { name: 'extension' })), field(t('campaign.site'), select('site', Object.keys(live.state.links)[0], Object.keys(live.state.links).map((s) => [s, s]))),
    field(t('agents.nailed'), h('input', { type: 'checkbox', name: 'nailed', checked: true }), t('agents.nailed_hint')), h('button', { class: 'primary' }, t('do.add'))));

function reorder() { over = false; frozen = false; order = sorted(); paint(); }
export function onKey(e) {
  if (e.key === 'o') reorder();
  if (e.key === 'z') { frozen = !frozen; paint(); }
}
