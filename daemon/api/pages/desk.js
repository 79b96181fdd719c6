// The agent's desk: seven states, the same action at the same place, every key printed on its button.
// State belongs to the daemon: a reload paints the same. What is typed is kept in the tab and by the daemon, per call.
import { h, icon, mount } from './lib/dom.js';
import { t, word, load, chosen } from './lib/i18n.js';
import { num, pct, duration, clock, day, dateTime, phone } from './lib/format.js';
import { session, signIn, signOut, whoAmI, get, post, request as http } from './lib/api.js';
import { live, start, restart, onPaint, onDelta, paint, serverNow, since, fresh, age } from './lib/live.js';
import { phoneBands, startPhone } from './lib/phone.js';
import { place } from './lib/place.js';
import { keysOn, keysSwitch } from './lib/keys.js';
import { toasts, toast, confirm, dialog, showDialog, complain, attempt, problemText, chip, request, waiting, empty, languages, labelled } from './lib/ui.js';

const AGAIN_MS = 5000;
const BEHIND_MS = 1000;
const CALL_STATES = ['reserved', 'ringing', 'on_call', 'on_hold', 'wrap_up'];
const own = { desk: null, form: null, problem: '', of: '', read: '', askedAt: 0, hangAt: 0, queue: null, sending: false, begin: 'paused', popup: null, popped: '', crm: null, asked: '', keypad: false, digits: '', missed: [], objectAt: 0, objectWho: '', objected: '', help: false };
const channel = 'BroadcastChannel' in window ? new BroadcastChannel('cadran-desk') : null;
const tabId = Math.random().toString(36).slice(2);
let elsewhere = false;
let started = false;
let saveTimer = null;

const agent = () => live.state.agents[own.desk?.agent_id] || own.desk?.agent;
const call = () => { const a = agent(); return a?.attempt_id ? live.state.calls[a.attempt_id] : null; };
const attemptId = () => agent()?.attempt_id || agent()?.last_attempt_id || '';
const campaign = () => own.desk?.campaigns.find((c) => c.id === (agent()?.campaign_id || agent()?.campaign_ids?.[0]));

// Whom and what the desk stands for: it is read anew with each change of that.
const subject = (a) => (a ? `${a.attempt_id}|${a.lead_id}|${a.last_attempt_id}|${a.campaign_id}` : '');
// Answers may overtake each other: only that of the last question counts, or the person of the call before would stand there.
let questions = 0;
async function refresh() {
  if (!session.who.agent_id) { own.problem = t('desk.not_agent'); paint(); return; }
  own.askedAt = Date.now();
  questions += 1;
  const mine = questions;
  let [desk, problem] = [null, ''];
  try { desk = await get('/desk'); } catch (error) { problem = error.code === 'agent_unknown' ? t('desk.not_agent') : problemText(error); }
  if (mine !== questions) return;
  if (desk) [own.desk, own.of, own.read] = [desk, there(), subject(desk.agent)];
  else if (own.desk && own.of !== there()) own.desk = { ...own.desk, lead: null, history: [], caller_id: '' }; // nobody, sooner than another
  own.problem = problem;
  syncForm();
  pop();
  askCrm();
  paint();
  const missed = own.desk && await get('/missed-calls?limit=20').catch(() => null);
  if (mine !== questions) return;
  own.missed = missed?.rows || [];
  paint();
}

// ---- the form: kept per call id, in the tab at once and by the daemon after a pause in typing ------------------------------
const blank = (id) => ({ attempt_id: id, notes: '', code: '', callback_at: '', do_not_call: false, saved: '' });
function syncForm() {
  const id = attemptId();
  if (!id) { if (!own.queue) own.form = null; return; }
  if (own.form?.attempt_id === id) return;
  const tab = JSON.parse(sessionStorage.getItem(`cadran.draft.${id}`) || 'null');
  const server = own.desk?.draft?.attempt_id === id ? own.desk.draft : null;
  own.form = { ...blank(id), ...(server || {}), ...(tab || {}) };
}
function keep(changes) {
  Object.assign(own.form, changes);
  sessionStorage.setItem(`cadran.draft.${own.form.attempt_id}`, JSON.stringify(own.form));
  clearTimeout(saveTimer);
  saveTimer = setTimeout(async () => {
    const { attempt_id, notes, code, callback_at, do_not_call } = own.form || {};
    if (!attempt_id) return;
    try {
      await http('PUT', '/api/v1/desk/draft', { attempt_id, notes, code, callback_at, do_not_call });
      if (own.form) own.form.saved = clock(new Date(serverNow()));
    } catch { /* the tab has it */ }
    paint();
  }, 600);
  paint();
}

// ---- actions ---------------------------------------------------------------------------------------------------------
const act = (verb, wanted, body) => {
  const a = agent();
  return request('desk', wanted, () => { const x = agent(); return x && (x.state === wanted || x.next_state === wanted || (wanted === 'call' && CALL_STATES.includes(x.state)) || (wanted === 'off' && !x.attempt_id)); },
    () => post(`/agents/${a.id}/${verb}`, body));
};
const ready = () => act('ready', 'ready');
const pause = (code) => act('pause', 'paused', { code });
// « Ne plus appeler » is asked twice, by one key; it holds from then on, whatever becomes of the form (LEGL-07).
const SURE_MS = 4000;
const there = () => attemptId() || `lead ${agent()?.lead_id}`;
const objected = () => own.objected === there() || Boolean(own.form?.do_not_call);
const sure = () => Date.now() - own.objectAt <= SURE_MS && own.objectWho === there(); // asked once already, of this person
async function objectTo() {
  if (objected()) return;
  if (!sure()) { [own.objectAt, own.objectWho] = [Date.now(), there()]; paint(); setTimeout(paint, SURE_MS + 100); return; }
  own.objectAt = 0;
  const [a, who, id] = [agent(), there(), attemptId()];
  if (id && own.form) keep({ do_not_call: true }); // were it refused now, the disposition would carry it
  if (!await attempt(() => post(`/agents/${a.id}/objection`, id ? { attempt_id: id } : {}))) return;
  own.objected = who;
  toast(t('desk.dnc_done'));
  if (!id && who === there()) skip('do_not_call');
}
const skip = (reason) => act('preview/skip', 'ready', { reason });
function hangUp() {
  if (['on_call', 'on_hold'].includes(agent().state) && Date.now() - own.hangAt > 2000) { own.hangAt = Date.now(); paint(); setTimeout(paint, 2100); return undefined; }
  own.hangAt = 0;
  return act('hang-up', 'off');
}
function dial() {
  if (agent().state === 'reserved') return act('preview/dial', 'call');
  const input = document.querySelector('[name=number]');
  if (!input) return undefined;
  if (document.activeElement !== input && !input.value) { input.focus(); return undefined; }
  const chosenCampaign = Number(document.querySelector('[name=campaign]')?.value || campaign()?.id);
  return input.value.trim() && act('dial', 'call', { number: input.value.trim(), campaign_id: chosenCampaign });
}
async function validate(then) {
  if (!own.form || own.sending) return;
  if (!own.form.code) { toast(t('desk.choose'), { kind: 'alert' }); return; }
  const { attempt_id, code, notes, callback_at, do_not_call } = own.form;
  own.queue = { agent: agent().id, body: { attempt_id, code, notes, do_not_call, then, ...(callback_at ? { callback_at } : {}) } };
  await flush();
}
// The disposition is sent with the call's id: sent twice, it counts once. Offline, it waits and is shown as waiting.
async function flush() {
  const queued = own.queue;
  if (!queued || own.sending || !fresh()) { paint(); return; }
  own.sending = true; // once at a time: an answer that is slow to come must not find the next call's form
  try {
    await post(`/agents/${queued.agent}/dispose`, queued.body);
    sessionStorage.removeItem(`cadran.draft.${queued.body.attempt_id}`);
    own.queue = null;
    if (own.form?.attempt_id === queued.body.attempt_id) own.form = null;
  } catch (error) {
    if (error.status !== 0) { own.queue = null; complain(error); }
  } finally {
    own.sending = false;
  }
  paint();
}

// ---- screen pop: a window opened once by a click is steered afterwards; otherwise the button has the focus ---------------
function crmUrl() {
  if (own.crm?.url && own.crm.attempt_id === attemptId()) return own.crm.url;
  const template = campaign()?.screen_pop_url;
  const lead = own.desk?.lead;
  if (!template || !lead) return '';
  const values = { CALLED: lead.e164, CALLING: lead.e164, DIALED: lead.e164, EVENT: agent()?.state || '', LEAD: lead.id };
  return template.replace(/\*([A-Z]+)\*/g, (all, name) => (name in values ? encodeURIComponent(values[name]) : all));
}
// The integration's page for this call, asked at each of its steps; the answer waits for the CRM, the call does not.
async function askCrm() {
  const id = attemptId();
  const step = `${id} ${agent()?.state}`;
  if (!id || own.asked === step) return;
  own.asked = step;
  const found = await get(`/crm/pops/${id}`).catch(() => null);
  if (!found?.url || attemptId() !== id || own.crm?.attempt_id === id) return;
  own.crm = found;
  if (found.automatic && own.popup && !own.popup.closed) { own.popped = id; openCrm(found.url); }
  else if (found.automatic && found.display === 'modal') confirm({ title: found.name || t('desk.open'), body: found.url, verb: t('desk.open'), danger: false, act: () => openCrm(found.url) });
  paint();
}
// The window is kept, to be steered at the next call: browsers allow that to whom it knows as its opener alone.
function openCrm(url) {
  if (own.popup && !own.popup.closed) own.popup.location = url;
  else own.popup = window.open(url, 'cadran-crm');
}
const crmButton = (url) => url && h('button', { 'data-crm': true, onclick: () => openCrm(url) }, t('desk.open'));
function pop() {
  const url = crmUrl();
  const id = attemptId();
  if (!url || own.popped === id || agent()?.state !== 'on_call') return;
  own.popped = id;
  if (own.popup && !own.popup.closed) openCrm(url); else document.querySelector('[data-crm]')?.focus();
}

// ---- states ----------------------------------------------------------------------------------------------------------
const key = (letter, label, onclick, more = {}) => h('button', { 'aria-keyshortcuts': letter, type: 'button', disabled: !fresh() || more.disabled || false, title: fresh() ? false : t('age.commands'), class: more.class || '', onclick }, h('kbd', null, letter === 'Control+Enter' ? 'Ctrl+↵' : letter), ' ', label);
// Who speaks with the agent or into the call is always shown; who only listens, where the daemon says it (a site's setting).
const speakers = (a) => (a.listeners || []).map((x) => [x.slice(0, x.lastIndexOf(' ')), x.slice(x.lastIndexOf(' ') + 1)])
  .filter(([, mode]) => mode !== 'listen' || !a.silent_listening).map(([who, mode]) => t({ barge: 'desk.barges', listen: 'desk.listens' }[mode] || 'desk.whispers', { who }));
// A wrap-up ends by itself, and so does the time a person is shown before the call: the last ten seconds warn, and once
// the agent may ask for more, if the campaign allows it.
const until = (a) => (a.state === 'wrap_up' ? a.wrap_until : previewing(a) ? a.preview_until : null);
const previewing = (a) => a.state === 'reserved' && !a.attempt_id && Boolean(a.lead_id);
function leftOf(a) {
  if (!until(a)) return null;
  const left = Math.max(0, (Date.parse(until(a)) - serverNow()) / 1000);
  const soon = left <= 10;
  return [h('span', { key: 'left', class: soon ? 'mark watch num' : 'num', 'data-left': true }, soon && icon('watch'), t(a.state === 'wrap_up' ? 'desk.left' : 'desk.preview_left', { time: duration(left) })),
    soon && h('span', { key: 'soon', class: 'sr', role: 'status' }, t('desk.soon')),
    a.extend_s > 0 && h('button', { key: 'more', 'data-more': true, disabled: !fresh(), onclick: () => attempt(() => post(`/agents/${a.id}/extend`)) }, t('desk.more', { s: num(a.extend_s) }))];
}
function band(a) {
  const asked = waiting('desk');
  const pausedFor = a.state === 'paused' && own.desk.pause_codes.find((p) => p.code === a.code);
  return h('section', { class: `deskband s-${a.state}` }, chip(previewing(a) ? 'reserved' : a.state, previewing(a) ? t('desk.preview') : undefined), a.code && !previewing(a) && h('b', null, ` ${a.code}`),
    !until(a) && h('span', { class: 'num' }, duration(since(a.since)), pausedFor && ` / ${duration(pausedFor.expected_s)}`),
    pausedFor && a.over_run && h('span', { class: 'mark watch' }, icon('watch'), ` ${t('direct.over_one')}`),
    leftOf(a),
    call() && h('span', null, `${word('stage', call().stage)}`), call() && h('span', { class: 'muted' }, word('kind', call().kind)), a.recording === 'on' && h('span', { class: 'muted' }, t('line.tape_on')), campaign() && h('span', { class: 'muted' }, campaign().name),
    speakers(a).map((who) => h('span', { key: who, class: 'mark watch', role: 'status' }, icon('agents'), ` ${who}`)),
    own.keypad && a.state === 'on_call' && h('span', { class: 'muted' }, t('line.keypad_on')),
    a.next_state && h('span', { class: 'muted' }, `→ ${word('state', a.next_state)}`), asked && h('span', { class: 'asked slow' }, asked.late ? t('pending.late') : t('pending.asked')), own.queue && h('span', { class: 'asked' }, t('desk.to_send')));
}
function today(a) {
  const d = a.today || {};
  const all = (d.handling_s || 0) + (d.ready_s || 0);
  return h('p', { class: 'muted' }, t('desk.today', { calls: num(d.calls || 0), sales: num(d.sales || 0), occ: all ? pct(d.handling_s / all) : '—' }));
}
function signedOut(a) {
  return h('section', { class: 'card' }, h('h2', null, t('desk.who', { extension: a.extension }), h('span', { class: a.phone === 'unavailable' ? 'mark act' : 's-ready' }, icon(a.phone === 'unavailable' ? 'lost' : 'dot'), ` ${word('phone', a.phone)}`)),
    h('p', null, t('desk.start_in'), ' ', ['paused', 'ready'].map((s) => h('label', { key: s }, h('input', { type: 'radio', name: 'begin', checked: own.begin === s, onchange: () => { own.begin = s; paint(); } }), ` ${word('state', s)} `))),
    h('button', { class: 'primary', 'aria-keyshortcuts': 'Enter', disabled: !fresh(), onclick: () => act('sign-in', own.begin, { ready: own.begin === 'ready' }) }, h('kbd', null, '↵'), ' ', t('desk.sign_in')));
}
function pauses(a) {
  const mode = campaign()?.pause_mode || 'optional';
  const codes = mode === 'off' ? [''] : [...(mode === 'optional' ? [''] : []), ...own.desk.pause_codes.map((p) => p.code)];
  return h('details', { class: 'menu' }, h('summary', { class: 'button', 'aria-keyshortcuts': 'P' }, h('kbd', null, 'P'), ' ', t(a.state === 'paused' ? 'desk.pause_code' : 'desk.pause')), h('div', { class: 'toolbar' }, codes.map((code, i) => h('button', { key: code, disabled: !fresh(), onclick: (e) => { e.target.closest('details').open = false; return pause(code); } }, h('kbd', null, String(i + 1)), ` ${code || t('desk.pause')}`))));
}
// Why a person shown is passed over: kept with it in the audit.
const REASONS = ['none', 'later', 'known', 'incomplete'];
const skipMenu = () => h('details', { class: 'menu' }, h('summary', { class: 'button', 'aria-keyshortcuts': 'S' }, h('kbd', null, 'S'), ' ', t('desk.skip')),
  h('div', { class: 'toolbar' }, REASONS.map((reason, i) => h('button', { key: reason, disabled: !fresh(), onclick: () => skip(reason === 'none' ? '' : reason) }, h('kbd', null, String(i + 1)), ` ${t(`desk.skip_${reason}`)}`))));
function dialer() {
  const manual = own.desk.campaigns;
  return h('form', { class: 'toolbar', onsubmit: (e) => { e.preventDefault(); return dial(); } }, labelled('number', 'desk.number', { inputmode: 'tel' }),
    manual.length > 1 && h('select', { name: 'campaign', 'aria-label': t('desk.campaign') }, manual.map((c) => h('option', { key: c.id, value: c.id }, c.name))), key('D', t('desk.dial'), (e) => e.target.closest('form').requestSubmit()));
}
// Missed calls of this agent and of everybody: called back by one button, ticked off when nobody need call.
async function tickOff(row) { if (await attempt(() => post(`/missed-calls/${row.attempt_id}/done`))) { own.missed = own.missed.filter((x) => x !== row); paint(); } }
const missed = () => own.missed.length > 0 && h('section', { 'data-missed': true }, h('h2', null, t('missed.title')), h('ul', { class: 'list' }, own.missed.map((row) => h('li', { key: row.attempt_id },
  h('span', { class: 'muted num' }, dateTime(row.at)), h('b', null, phone(row.e164)), ` ${own.desk.campaigns.find((c) => c.id === row.campaign_id)?.name || ''}`,
  h('span', { class: 'right' }, h('button', { disabled: !fresh(), onclick: () => act('dial', 'call', { number: row.e164, campaign_id: row.campaign_id }) }, t('missed.call')), ' ', h('button', { class: 'quiet', disabled: !fresh(), onclick: () => tickOff(row) }, t('missed.done')))))));
// For which campaign, and which callbacks are this agent's to make.
function where() {
  const { callbacks, callback_next_at: next } = own.desk;
  const c = campaign();
  const mode = c && (c.mode === 'predictive' ? t('mode.short', { level: c.level }) : t(`mode.${c.mode}`));
  return h('p', { 'data-where': true }, c && `${c.name} · ${mode} · `, callbacks ? t('desk.callbacks', { n: callbacks, at: dateTime(next) }) : t('desk.no_callbacks'));
}
// Browsers open no window by themselves: the agent opens it once, and each call's page comes into it.
const popButton = () => campaign()?.screen_pop_url && !(own.popup && !own.popup.closed) && h('button', { 'data-pop': true, onclick: () => { own.popup = window.open('about:blank', 'cadran-crm'); paint(); } }, t('desk.pop_on'));
function waitingForWork(a) {
  return h('section', { class: 'card' }, h('div', { class: 'toolbar' }, a.state === 'paused' && key('R', t('desk.ready'), ready, { class: 'primary' }), pauses(a), own.desk.campaigns.some((c) => ['preview', 'manual'].includes(c.mode)) && key('S', t('desk.next'), () => act('next', 'call')), popButton()), dialer(), where(), missed(), today(a));
}
function person() {
  const lead = own.desk.lead;
  if (!lead) return h('section', { class: 'card' }, own.problem ? h('p', { class: 'big' }, '?') : empty('desk.no_lead'), crmButton(crmUrl()));
  const url = crmUrl();
  return h('section', { class: 'card' }, h('h1', null, `${lead.first_name} ${lead.last_name}`.trim() || lead.company || '—'),
    h('p', { class: 'big', title: lead.e164 }, phone(lead.e164)), own.desk.caller_id && h('p', { class: 'muted' }, t('desk.shown', { number: phone(own.desk.caller_id) })), lead.company && h('p', null, lead.company), place(lead) && h('p', { 'data-place': true }, place(lead)), h('p', { class: 'muted' }, t('desk.attempts', { n: lead.attempts }), lead.consent_at ? ` · ${t('desk.consent', { date: day(new Date(lead.consent_at)) })}` : ''),
    campaign()?.script && h('p', { class: 'script' }, campaign().script), crmButton(url),
    h('h2', null, t('desk.history')), own.desk.history.length === 0 ? empty('lead.no_history') : h('ul', { class: 'list' }, own.desk.history.slice(-6).reverse().map((x, i) => h('li', { key: i }, h('span', { class: 'muted num' }, dateTime(x.at)), ` ${word('outcome', x.outcome)} ${x.disposition || ''} ${x.notes || ''}`))));
}
// A callback needs a status that is one: the first such is chosen with it, unless one is already.
const callBack = (at) => {
  const is = (code) => own.desk.statuses.find((s) => (code ? s.code === code : true) && s.callback);
  keep({ callback_at: at, code: (own.form.code && is(own.form.code) ? own.form.code : is()?.code) || own.form.code });
};
const tomorrow = () => { const d = new Date(serverNow()); d.setDate(d.getDate() + 1); d.setHours(10, 0, 0, 0); return d.toISOString(); };
const inAnHour = () => new Date(serverNow() + 3600e3).toISOString();
const dncButton = () => key('L', t(objected() ? 'desk.dnc_noted' : sure() ? 'desk.dnc_again' : 'desk.dnc'), objectTo, { disabled: objected(), class: !objected() && sure() ? 'danger' : '' });
function outcome(a) {
  const f = own.form;
  if (!f) return null;
  return h('section', { class: 'card' }, h('h2', null, t('desk.outcome')),
    h('div', { class: 'toolbar outcomes', role: 'group' }, own.desk.statuses.slice(0, 9).map((s, i) => h('button', { key: s.code, 'aria-pressed': String(f.code === s.code), class: f.code === s.code ? 'primary' : '', 'aria-keyshortcuts': String(i + 1), onclick: () => keep({ code: f.code === s.code ? '' : s.code, ...(s.callback && !f.callback_at ? { callback_at: tomorrow() } : {}) }) }, h('kbd', null, String(i + 1)), ` ${s.name}`))),
    h('label', { class: 'field' }, h('span', null, h('kbd', null, 'N'), ' ', t('desk.notes'), ' ', f.saved && h('span', { class: 'muted' }, t('desk.kept', { at: f.saved }))), h('textarea', { name: 'notes', value: f.notes, oninput: (e) => keep({ notes: e.target.value }) })),
    h('div', { class: 'toolbar', 'data-callback': true }, h('button', { type: 'button', 'aria-keyshortcuts': 'B', 'aria-pressed': String(Boolean(f.callback_at)), onclick: () => callBack(tomorrow()) }, h('kbd', null, 'B'), ` ${t('desk.callback')} : ${t('desk.tomorrow')}`), h('button', { onclick: () => callBack(inAnHour()) }, t('desk.hour')), f.callback_at && h('b', null, dateTime(f.callback_at)), f.callback_at && h('button', { class: 'quiet', 'aria-label': t('do.close'), onclick: () => keep({ callback_at: '' }) }, '×'),
      dncButton()),
    h('div', { class: 'toolbar' }, key('Control+Enter', t('desk.validate'), () => validate('ready'), { class: 'primary' }), h('button', { onclick: () => validate('paused'), 'aria-keyshortcuts': 'Control+Shift+Enter' }, h('kbd', null, 'Ctrl+⇧+↵'), ' ', t('desk.validate_pause'))));
}
// ---- what can be done with the person on the line: hold, mute, somebody else ------------------------------------------------
const send = (verb, body) => { const a = agent(); return attempt(() => post(`/agents/${a.id}/${verb}`, body)); };
function whom(verb) {
  const input = document.querySelector('[name=whom]');
  const text = input?.value.trim() || '';
  if (!text) { input?.focus(); return undefined; }
  return send(verb, /^[0-9]{2,6}$/.test(text) ? { extension: text } : { number: text });
}
const DIGITS = '123456789*0#';
function toggleKeypad() { own.keypad = !own.keypad; own.digits = ''; paint(); }
function press(digit) { own.digits = (own.digits + digit).slice(-24); send('digits', { digits: digit }); paint(); }
function line(a) {
  if (!['on_call', 'on_hold'].includes(a.state)) return null;
  const can = (what) => live.state.links[a.site]?.capabilities?.includes(what);
  const plain = (label, onclick, more = {}) => h('button', { disabled: !fresh(), onclick, ...more }, label);
  const muteTape = a.recording === 'muted' ? 'line.tape_unmute' : 'line.tape_mute';
  const room = a.third === 'room';
  return h('section', { class: 'card', 'data-line': true }, h('div', { class: 'toolbar' },
    can('hold') && a.state === 'on_call' && !room && key('H', t('line.hold'), () => send('hold')),
    a.state === 'on_hold' && key('H', t('line.resume'), () => send('resume'), { class: 'primary' }),
    can('mute') && key('M', t(a.muted ? 'line.unmute' : 'line.mute'), () => send('mute', { on: !a.muted }), { class: a.muted ? 'primary' : '' }),
    can('dtmf') && a.state === 'on_call' && key('K', t('line.keypad'), toggleKeypad, { class: own.keypad ? 'primary' : '' }),
    a.recording ? [h('span', { class: 's-on_call' }, a.recording === 'muted' ? t('line.tape_muted') : t('line.tape_on')), key('C', t(muteTape), () => send('record/mute', { on: a.recording !== 'muted' }), { class: a.recording === 'muted' ? 'primary' : '' })]
      : can('record_on_demand') && plain(t('line.tape'), () => send('record', { on: true }))),
  own.keypad && a.state === 'on_call' && h('div', { class: 'toolbar keypad', role: 'group', 'aria-label': t('line.keypad') }, [...DIGITS].map((d) => h('button', { key: d, disabled: !fresh(), onclick: () => press(d) }, d)), h('output', { class: 'num', 'aria-label': t('line.sent') }, own.digits)),
  can('hold') ? h('form', { class: 'toolbar', onsubmit: (e) => { e.preventDefault(); return whom('consult'); } },
    !a.third && labelled('whom', 'line.whom', { inputmode: 'tel' }),
    !a.third && h('button', { disabled: !fresh() }, h('kbd', null, '↵'), ' ', t('line.consult')), !a.third && key('T', t('line.transfer'), () => whom('transfer')),
    a.third && h('span', null, t(`line.third.${a.third}`)),
    a.third === 'talking' && plain(t('line.complete'), () => send('transfer/complete'), { class: 'primary', type: 'button' }),
    a.third === 'talking' && can('conference') && plain(t('line.conference'), () => send('conference'), { type: 'button' }),
    room && plain(t('line.leave'), () => send('conference/leave'), { type: 'button' })) : h('p', { class: 'muted' }, t('line.not_here')));
}
function inCall(a) {
  const preview = previewing(a);
  const again = Date.now() - own.hangAt < 2000;
  return h('div', { class: 'columns desk' }, person(), h('div', null,
    h('section', { class: 'card' }, h('div', { class: 'toolbar' }, preview && key('D', t('desk.call'), dial, { class: 'primary' }), preview && skipMenu(), preview && dncButton(), a.attempt_id && a.state !== 'wrap_up' && key('X', again ? t('desk.again') : ['on_call', 'on_hold'].includes(a.state) ? t('desk.hang_up') : t('desk.cancel'), hangUp, { class: 'danger' }), pauses(a))),
    !preview && line(a), !preview && outcome(a), today(a)));
}

const KEYS = { R: 'desk.ready', P: 'desk.pause', D: 'desk.dial', S: 'desk.skip', X: 'desk.hang_up', H: 'line.hold', M: 'line.mute', K: 'line.keypad', T: 'line.transfer', C: 'line.tape_mute', B: 'desk.callback', L: 'desk.dnc', N: 'desk.notes', '1-9': 'desk.outcome', 'Ctrl+↵': 'desk.validate', 'Ctrl+⇧+↵': 'desk.validate_pause' };
const keyList = () => h('section', { class: 'card', 'data-keys': true }, h('h2', null, t('keys.title')), h('dl', { class: 'keys' }, Object.entries(KEYS).map(([letter, name]) => [h('dt', { key: `k${letter}` }, h('kbd', null, letter)), h('dd', { key: `d${letter}` }, t(name))])));

function draw() {
  const root = document.getElementById('page');
  document.title = `${t('nav.desk')} · Cadran`;
  const top = h('header', { class: 'top' }, h('b', null, icon('dial'), ' Cadran'), session.who && own.desk && h('span', null, `${own.desk.extension} ${own.desk.name}`), h('span', { class: 'num clock' }, live.beat ? clock(new Date(serverNow())) : ''), h('span', { class: 'grow' }), languages(), session.who && h('button', { class: 'quiet', onclick: leave }, t('do.sign_out')));
  const offline = started && age() !== null && !fresh() && h('p', { key: 'off', class: 'band watch', role: 'alert' }, icon('watch'), ' ', t('desk.offline'));
  if (!session.who) { mount(root, top, login(), toasts()); return; }
  if (elsewhere) { mount(root, top, h('main', null, h('p', null, t('desk.other_tab')), h('button', { class: 'primary', onclick: takeOver }, t('desk.take')))); return; }
  const a = own.desk && agent();
  const trouble = own.problem && h('p', { class: 'band watch', role: 'alert' }, own.problem, ' ', h('button', { onclick: refresh }, t('do.refresh')));
  const body = !a ? trouble || empty('loading')
    : [trouble, band(a), a.state === 'signed_out' ? signedOut(a) : CALL_STATES.includes(a.state) ? inCall(a) : [a.last_attempt_id && own.form ? outcome(a) : null, waitingForWork(a)], own.help && keyList(), h('p', { class: 'muted' }, t('desk.keys'), ' ', keysSwitch())];
  mount(root, top, offline, phoneBands(), h('main', null, body), toasts(), dialog());
  showDialog();
}
function login() {
  const submit = async (e) => { e.preventDefault(); try { await signIn(e.target.elements.token.value.trim()); own.problem = ''; begin(); } catch (error) { own.problem = problemText(error); } paint(); };
  return h('main', { class: 'login' }, h('form', { class: 'card', onsubmit: submit }, h('h1', null, t('nav.desk')), h('label', null, t('login.token'), h('input', { name: 'token', type: 'password', autocomplete: 'current-password', required: true })), own.problem && h('p', { class: 'mark act', role: 'alert' }, own.problem), h('button', { class: 'primary' }, t('login.enter'))));
}
async function leave() {
  const a = agent();
  if (a && a.state !== 'signed_out') await post(`/agents/${a.id}/sign-out`).catch(() => {});
  for (const name of Object.keys(sessionStorage)) if (name.startsWith('cadran.draft.')) sessionStorage.removeItem(name);
  await signOut();
  location.reload();
}

// ---- keys: letters by what they print, digits by their place (AZERTY's top row gives no digits without Shift) ---------------
function onKey(e) {
  const a = own.desk && agent();
  if (!a || elsewhere || document.querySelector('dialog[open]')) return; // what stands behind it is out of reach
  if (e.ctrlKey && e.key === 'Enter') { e.preventDefault(); validate(e.shiftKey ? 'paused' : 'ready'); return; }
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && !['radio', 'checkbox'].includes(e.target.type);
  if (typing) { if (e.key === 'Escape') e.target.blur(); return; }
  if (e.ctrlKey || e.altKey || e.metaKey || !keysOn()) return; // without the daemon its buttons are disabled; the form is not
  if (e.key === '?') { own.help = !own.help; paint(); return; }
  const menu = document.querySelector('details.menu[open]');
  if (e.key === 'Escape') { if (menu) menu.open = false; own.help = false; paint(); return; }
  if (own.keypad && a.state === 'on_call' && !menu) {
    const sent = (/^[*#]$/.test(e.key) && e.key) || /^(?:Digit|Numpad)([0-9])$/.exec(e.code)?.[1];
    if (sent) { if (fresh()) press(sent); e.preventDefault(); return; }
  }
  const digit = /^(Digit|Numpad)([1-9])$/.exec(e.code);
  if (digit) {
    const buttons = (menu || document.querySelector('.outcomes'))?.querySelectorAll('button');
    if (buttons?.[digit[2] - 1]) { buttons[digit[2] - 1].click(); e.preventDefault(); }
    return;
  }
  if (e.key === 'Enter' && e.target.tagName !== 'BUTTON') { document.querySelector('main [aria-keyshortcuts=Enter]')?.click(); return; }
  // A letter does what the button that carries it does, and nothing where there is none.
  const letter = e.key.toUpperCase();
  if (letter === 'N') { document.querySelector('[name=notes]')?.focus(); e.preventDefault(); return; }
  if (!/^[RPDSXHMKTCBL]$/.test(letter)) return;
  const button = document.querySelector(`main [aria-keyshortcuts=${letter}]:not(:disabled)`);
  if (menu && button !== menu.firstElementChild) menu.open = false;
  if (button) { button.click(); e.preventDefault(); }
}

// ---- one tab per agent ---------------------------------------------------------------------------------------------------
function takeOver() { elsewhere = false; channel?.postMessage({ take: tabId }); refresh(); }
channel?.addEventListener('message', ({ data }) => { if (data.take && data.take !== tabId) { elsewhere = true; paint(); } });

function begin() {
  if (started) restart(session.who.csrf); else start(session.who.csrf);
  started = true;
  startPhone((url, quietly) => { const there = !elsewhere && own.popup && !own.popup.closed; if (there || !quietly) openCrm(url); return there; });
  takeOver();
}
async function main() {
  await load(chosen());
  onPaint(draw);
  onDelta((delta) => {
    const change = own.desk && delta.agents?.[own.desk.agent_id];
    const now = subject(agent());
    if (change && now !== own.read) { own.read = now; own.keypad = false; refresh(); } else if (change) { pop(); askCrm(); }
  });
  setInterval(() => {
    if (own.queue && fresh()) flush();
    // An answer may be older than what the stream has told meanwhile.
    const behind = own.desk && subject(agent()) !== own.read;
    if ((own.problem || behind) && session.who && fresh() && Date.now() - own.askedAt > (own.problem ? AGAIN_MS : BEHIND_MS)) refresh();
  }, 1000);
  window.addEventListener('keydown', onKey);
  window.addEventListener('cadran:refused', () => { if (session.who) whoAmI().catch(() => {}); });
  window.addEventListener('cadran:signed-out', () => { if (session.who) { session.who = null; own.problem = t('error.signed_out'); paint(); } });
  try { await whoAmI(); begin(); } catch { /* the form says it */ }
  paint();
}
main();
