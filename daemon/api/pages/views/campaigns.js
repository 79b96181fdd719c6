// Campaigns: the list, and one campaign with its pacing, its six causes, its settings.
import { h, icon } from '../lib/dom.js';
import { t, word, has } from '../lib/i18n.js';
import { num, pct, clock, dateTime } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { all, get, post, patch, request as http, may } from '../lib/api.js';
import { meter, roomText, request, waiting, whyNot, field, select, formValues, toast, attempt, complain, linkFigure, empty, heads, grid } from '../lib/ui.js';
import { decisions } from './decisions.js';
import { termed } from '../lib/terms.js';
import { sections, changed } from './fields.js';
import { lists, numbers } from './picks.js';
import { heldLink, reasons } from './held.js';
import { lastHour } from './plots.js';
import { clients, enterClients, pauses, statuses } from './codes.js';
import { campaigns, controls, setSpeed, stepper, modeWord, why, dueOf } from './direct.js';

const MODES = [['manual'], ['preview'], ['progressive'], ['predictive', 1], ['predictive', 2], ['predictive', 3], ['inbound']];
const FIELDS = ['name', 'site', 'rule_set', 'client_id', 'attempts_max', 'gap_min_s', 'abandonment_rate_max', 'ring_timeout_s', 'wrap_up_max_s', 'max_channels', 'calls_per_second', 'pause_mode', 'priority'];
const CHOICES = { pause_mode: ['off', 'optional', 'required'] };
const LINKS = { list_ids: '/lists', line_ids: '/lines', caller_id_ids: '/caller-ids', agent_ids: '/agents' };
let row = null;
let etag = '';
let conflict = null;
let options = {};
let journal = null;
let rules = [];
let asked = ''; // the rule set chosen in the form: its bounds are those beside the fields
let integrations = []; // those in trouble, as last asked
let tab = 'cadence';

let entered = null;
export async function enter(route) {
  const id = route.rest[0];
  entered = route;
  tab = route.rest[1] || 'cadence';
  conflict = null;
  asked = '';
  if (!id || id === 'nouvelle') { row = null; if (id) await loadOptions(null); else enterClients(); paint(); return; }
  if (!row || String(row.id) !== id) row = null;
  await attempt(async () => {
    const found = await http('GET', `/api/v1/campaigns/${id}`);
    if (entered !== route) return;
    await loadOptions(found.data);
    if (entered === route && (!row || row.version < found.data.version)) [row, etag] = [found.data, found.etag];
  });
  if (entered !== route) return;
  integrations = [];
  journal = null;
  const more = { cadence: 'why', journal: 'journal?limit=200' }[tab];
  const found = more && row && await attempt(() => get(`/campaigns/${id}/${more}`));
  if (entered !== route) return;
  if (found && tab === 'cadence') integrations = found.integrations || [];
  if (found && tab === 'journal') journal = found;
  paint();
}
async function loadOptions(of) {
  const asking = entered;
  const found = {};
  for (const [name, path] of Object.entries({ ...LINKS, client_id: '/clients' })) found[name] = (await attempt(() => all(path))) || [];
  if (may('watch')) rules = (await attempt(() => get('/rule-sets')))?.rows || [];
  const codes = async (path) => ((await attempt(() => all(path))) || []).filter((r) => !of || (r.group_id === of.group_id && [0, undefined, of.id].includes(r.campaign_id)));
  [found.statuses, found.pauses] = [await codes('/statuses'), await codes('/pause-codes')];
  if (asking === entered) options = found;
}

// ---- list --------------------------------------------------------------------------------------------------
function list() {
  const rows = campaigns();
  return h('section', { class: 'card' },
    h('div', { class: 'toolbar' }, h('h1', null, t('nav.campagnes')), h('span', { class: 'grow' }), may('manage') && h('a', { class: 'button primary', href: '#/campagnes/nouvelle' }, t('campaigns.new'))),
    rows.length === 0 ? empty('campaigns.none') : grid(
      heads('col.', ['campaign', 'state', 'mode', 'speed', 'due', 'act'], ['due', 'speed']),
      rows.map((c) => h('tr', { key: c.id },
        h('th', { scope: 'row' }, h('a', { href: `#/campagnes/${c.id}` }, c.name)), h('td', null, word('campaign_state', c.state)), h('td', null, modeWord(c)),
        h('td', { class: 'n' }, stepper(c)), h('td', { class: 'n' }, dueOf(c) === undefined ? '?' : num(dueOf(c))), h('td', null, controls(c))))));
}

// ---- cadence -------------------------------------------------------------------------------------------------
function modes(c) {
  const off = whyNot();
  return h('div', { class: 'toolbar', role: 'group', 'aria-label': t('col.mode') }, MODES.map(([mode, level]) => {
    const on = c.mode === mode && (!level || c.level === level);
    const set = () => request(`mode:${c.id}`, mode, () => live.state.campaigns[c.id]?.mode === mode && (!level || live.state.campaigns[c.id].level === level), () => post(`/campaigns/${c.id}/tune`, level ? { mode, level } : { mode }));
    return h('button', { key: mode + level, 'aria-pressed': String(on), class: on ? 'primary' : '', disabled: Boolean(off) || !may('steer'), onclick: on ? null : set }, mode === 'predictive' ? t('mode.short', { level }) : t(`mode.${mode}`));
  }));
}
const target = (c) => (c.level * c.speed) / 1000;
const band = (speed) => t(speed <= 3 ? 'speed.slow' : speed <= 6 ? 'speed.medium' : 'speed.high');
function speed(c) {
  if (c.mode !== 'predictive') return h('p', { class: 'muted' }, t(c.mode === 'progressive' ? 'speed.turbo' : 'speed.none'));
  const asked = waiting(`speed:${c.id}`);
  const shown = asked ? asked.wanted : c.speed;
  const said = t('speed.said', { speed: num(shown), band: band(shown), target: pct(target({ ...c, speed: shown }), 1) });
  return [
    h('div', { class: 'toolbar' }, h('label', { for: 'speed' }, t('col.speed')),
      h('input', { id: 'speed', type: 'range', min: 0, max: 10, step: 1, value: shown, 'aria-valuetext': said, disabled: Boolean(whyNot()) || !may('steer'), onchange: (e) => setSpeed(c, Number(e.target.value)) }), stepper(c),
      h('input', { class: 'speed', type: 'number', min: 0, max: 10, step: 1, value: shown, 'aria-label': t('speed.number'), disabled: Boolean(whyNot()) || !may('steer'), onchange: (e) => { if (e.target.value !== '' && e.target.checkValidity()) setSpeed(c, Number(e.target.value)); } })),
    h('p', { class: 'muted' }, asked ? [t('speed.asked', { now: num(c.speed), wanted: num(asked.wanted) }), ' · ', t('speed.from_to', { band: band(shown), was: pct(target(c), 1), now: pct(target({ ...c, speed: shown }), 1) })] : said),
  ];
}
// Of causes that hold nothing back: how many there are.
const REST = ['on_call', 'on_hold', 'ringing', 'reserved', 'wrap_up', 'paused', 'unreachable'];
const small = (text) => text.charAt(0).toLowerCase() + text.slice(1);
function counted(x, f, agents) {
  if (x.name === 'agents') {
    const rest = REST.filter((s) => agents[s]).map((s) => `${num(agents[s])} ${small(word('state', s))}`).join(', ');
    const ready = t('cause.agents.ready', { n: num(agents.ready || 0) });
    return rest ? t('cause.agents.of', { ready, rest }) : ready;
  }
  return x.name === 'lines' && f.capacity ? t('cause.lines.of', { free: num(f.free), capacity: num(f.capacity) }) : '';
}
function cause(c, x, i) {
  const f = x.figures || {};
  let text = x.ok ? counted(x, f, c.agents) || t(`cause.${x.name}.ok`, { ...f, due: num(c.leads.due ?? 0) }) : (x.name === c.binding && why(c)) || `${x.code}`;
  if (x.name === 'leads') {
    const total = Object.entries(c.leads).reduce((n, [name, v]) => (name === 'total' ? n : n + v), 0);
    const [due, about] = [c.leads.due ?? 0, { campagne: c.id }];
    const said = [h('a', { href: heldLink(about, 'due'), 'data-reason': 'due' }, t('cause.leads.due', { n: num(due) })), t('cause.leads.held', { held: num(total - due), total: num(total) }), h('span', { class: 'muted' }, ' ', reasons(c.leads, about))];
    text = x.ok ? said : [text, h('br'), said];
  }
  return h('li', { key: x.name, class: !x.ok && x.name === c.binding ? 'binding' : '' }, h('span', { class: 'muted' }, String(i + 1)), h('b', null, t(`cause.${x.name}`)), h('span', { class: x.ok ? 's-ready' : 'mark watch' }, icon(x.ok ? 'ready' : 'watch'), h('span', { class: 'sr' }, x.ok ? t('cause.ok') : t('cause.binds'))), h('span', null, text));
}
function cadence(c) {
  return [
    h('div', { class: 'columns' },
      h('section', { class: 'card' }, h('h2', null, t('campaign.mode')), modes(c), speed(c)),
      h('section', { class: 'card' }, h('h2', null, t('campaign.abandon', { ceiling: num((c.windows[0]?.ceiling ?? 0.03) * 100) })),
        c.windows.length === 0 ? empty('campaign.no_windows') : h('table', { class: 'grid' }, h('tbody', null, c.windows.map((w) => h('tr', { key: w.name }, h('th', { scope: 'row' }, word('window', w.name)), h('td', { class: 'n' }, meter(w, word('window', w.name), c.mode === 'predictive' ? target(c) : 0)), h('td', { class: 'n' }, w.live < 30 ? '' : t('share.of', { a: num(w.abandoned), b: num(w.live) })), h('td', { class: 'n' }, roomText(w)))))),
          c.windows.filter((w) => w.abandoned > 0 && w.room <= 0).map((w) => h('p', { key: w.name, class: 'mark act' }, icon('alert'), ` ${word('window', w.name)} : ${roomText(w, { full: true })}`)),
        h('p', { class: 'muted' }, c.mode === 'predictive' && c.windows.length > 0 && `${t('abandon.target', { target: pct(target(c), 1) })}. `, t('campaign.at_ceiling')))),
    h('section', { class: 'card' }, h('h2', null, t('campaign.why_number'), h('button', { 'data-store': true, class: 'quiet right', onclick: () => decisions(c.id) }, t('decisions.button'))), h('p', null, termed(why(c), c.id))),
    h('div', { class: 'columns' },
      h('section', { class: 'card' }, h('h2', null, t('campaign.why_not')), h('ol', { class: 'causes' }, c.causes.map((x, i) => cause(c, x, i))),
        integrations.map((x) => h('p', { key: x.id, 'data-integration': x.id }, icon('watch'), ' ', t('why.integration', { name: x.name, state: t(`crm.is.${x.state}`), n: num(x.waiting) })))),
      h('section', { class: 'card' }, h('h2', null, t('direct.in_progress')), h('p', null, ['dialling', 'ringing', 'answered', 'waiting', 'talking'].map((s) => [h('span', { class: 'count', key: s }, `${word('stage', s)} `, h('b', null, linkFigure(c.site, num(c.stages[s] || 0)))), ' '])),
        h('h2', null, t('campaign.outcomes')), Object.keys(c.outcomes).length === 0 ? empty('campaign.no_outcomes') : h('p', { 'data-outcomes': true }, Object.entries(c.outcomes).sort((a, b) => b[1] - a[1]).map(([o, n]) => [h('span', { class: 'count', key: o, 'data-outcome': o }, `${word('outcome', o)} `, h('b', null, num(n))), ' '])))),
    lastHour(c),
  ];
}

// ---- settings: only changed fields are sent; a stale page compares instead of overwriting ---------------------------------
const PERCENT = ['abandonment_rate_max'];
const shownAs = (name, value) => (PERCENT.includes(name) ? Number((value * 100).toFixed(4)) : value);
const meant = (values) => Object.fromEntries(Object.entries(values).map(([name, v]) => [name, PERCENT.includes(name) ? Number((v / 100).toFixed(6)) : v]));
// The law's bound beside the field it bounds, by the rule set chosen.
const law = () => rules.find((r) => r.id === (asked || row.rule_set));
function bound(name) {
  const r = law();
  if (!r) return false;
  if (name === 'attempts_max' && r.attempts_max) return t('campaign.legal_max_days', { n: r.attempts_max, days: num(r.attempts_days) });
  if (name === 'abandonment_rate_max') return t('campaign.legal_rate', { rate: num(r.abandonment_rate_max * 100) });
  if (name === 'ring_timeout_s' && r.ring_time_s_min > 0) return t('campaign.legal_ring', { s: num(r.ring_time_s_min) });
  if (name === 'rule_set') return `${has(`rules_title.${r.id}`) ? t(`rules_title.${r.id}`) : r.title}${r.valid_to ? ` · ${t('campaign.rules_until', { at: r.valid_to })}` : ''}`;
  return false;
}
function input(name, value) {
  if (name === 'rule_set' && rules.length) return select(name, value, [...new Set([value, ...rules.map((r) => r.id)])].map((id) => [id, id]), { onchange: (e) => { asked = e.target.value; paint(); } });
  if (name === 'site') return select(name, value, [...new Set([value, '', ...Object.keys(live.state.links)])].map((s) => [s, s || t('campaign.every_site')]));
  if (PERCENT.includes(name)) return h('input', { type: 'number', step: 'any', min: 0, max: (law()?.abandonment_rate_max ?? 0.03) * 100, name, value: shownAs(name, value) });
  if (name === 'client_id') { // the present one stays a choice where the clients could not be read
    const known = (options.client_id || []).filter((r) => r.group_id === row.group_id).map((r) => [r.id, r.name]);
    return select(name, value, known.some(([key]) => key === value) ? known : [[value, `n° ${value}`], ...known]);
  }
  if (CHOICES[name]) return select(name, value, CHOICES[name].map((c) => [c, name === 'strategy' ? t(`strategy.${c}`) : t(`choice.${c}`)]));
  if (typeof value === 'boolean') return h('input', { type: 'checkbox', name, checked: value });
  if (typeof value === 'number') return h('input', { type: 'number', step: 'any', name, value });
  return h('input', { name, value: value ?? '' });
}
const label = (kind, r) => (kind === 'caller_id_ids' ? `${r.e164} ${r.name}` : kind === 'agent_ids' ? `${r.extension} ${r.name}` : r.name);
const picker = (name, chosen) => h('select', { name, multiple: true, size: 5 }, (options[name] || []).filter((r) => !row || r.group_id === row.group_id).map((r) => h('option', { key: r.id, value: r.id, selected: chosen.includes(r.id) }, label(name, r))));
function settings() {
  const save = async (e) => {
    e.preventDefault();
    const changes = changed(row, meant(formValues(e.target)));
    if (!Object.keys(changes).length) { toast(t('save.nothing')); return; }
    await send(changes, etag);
  };
  const editable = may('manage');
  return h('section', { class: 'card' },
    conflict && compare(),
    h('form', { class: 'form', key: `${row.id}`, onsubmit: save },
      FIELDS.map((name) => field(t(`campaign.${name}`), h('span', null, input(name, row[name])), bound(name))),
      field(t('campaign.agent_ids'), picker('agent_ids', row.agent_ids)),
      sections(row, options, live.state.campaigns[row.id]?.mode || row.mode),
      editable && h('div', { class: 'buttons wide' }, h('button', { class: 'primary' }, t('do.save')))));
}
// ---- hours and recycling: rows of the campaign itself --------------------------------------------------------------------
const DAYS = [1, 2, 3, 4, 5, 6, 7];
async function saveRows(name, rows) { await send({ [name]: rows }, etag); }
const dayName = (d) => new Intl.DateTimeFormat(document.documentElement.lang, { weekday: 'short' }).format(new Date(Date.UTC(2024, 0, d, 12)));
function weekly(windows, empty, save) {
  const add = (e) => {
    e.preventDefault();
    const form = new FormData(e.target);
    const days = form.getAll('day').map(Number);
    return days.length > 0 && save([...windows, { days, start: form.get('start'), end: form.get('end') }]);
  };
  return [
    windows.length === 0 ? h('p', { class: 'empty' }, empty) : h('ul', { class: 'list' }, windows.map((x, i) => h('li', { key: i }, x.days.map(dayName).join(' '), ` ${x.start} – ${x.end}`, may('manage') && h('button', { 'data-store': true, class: 'quiet right', 'aria-label': t('do.remove'), onclick: () => save(windows.filter((_, j) => j !== i)) }, '×')))),
    may('manage') && h('form', { class: 'toolbar', onsubmit: add }, DAYS.map((d) => h('label', { key: d }, h('input', { type: 'checkbox', name: 'day', value: d, checked: d < 6 }), ` ${dayName(d)}`)), h('input', { type: 'time', name: 'start', required: true, value: '10:00', 'aria-label': t('hours.start') }), h('input', { type: 'time', name: 'end', required: true, value: '13:00', 'aria-label': t('hours.end') }), h('button', null, t('do.add'))),
  ];
}
const inboundMode = () => (live.state.campaigns[row.id]?.mode || row.mode) === 'inbound' || row.inbound.dids.length > 0;
const hours = () => [
  h('section', { class: 'card' }, h('p', { class: 'muted' }, t('hours.law', { rules: row.rule_set })), weekly(row.hours, t('hours.none'), (rows) => saveRows('hours', rows))),
  inboundMode() && h('section', { class: 'card', 'data-open': true }, h('h2', null, t('hours.inbound')), weekly(row.inbound.open, t('hours.always_open'), (rows) => saveRows('inbound', { ...row.inbound, open: rows }))),
];
const DELAYS = [3600, 21600, 43200, 86400, 172800, 604800];
function recycling() {
  const on = ['no_answer', 'busy', 'machine', 'congestion', ...(options.statuses || []).map((s) => s.code)];
  const add = (e) => {
    e.preventDefault();
    const v = formValues(e.target);
    return saveRows('recycling', [...row.recycling.filter((r) => r.on !== v.on), { on: v.on, delay_s: Number(v.delay_s), max_count: v.max_count, priority: v.priority }]);
  };
  const said = (s) => { // in the largest unit that it is a whole number of
    const [unit, size] = [['days', 86400], ['hours', 3600], ['minutes', 60]].find(([, n]) => s >= n && s % n === 0) || ['seconds', 1];
    return t(`recycling.${unit}`, { n: num(s / size) });
  };
  const name = (code) => (options.statuses || []).find((x) => x.code === code)?.name || word('outcome', code);
  return h('section', { class: 'card' }, row.recycling.length === 0 ? empty('recycling.none') : h('ul', { class: 'list' }, row.recycling.map((r) => h('li', { key: r.on }, h('b', null, name(r.on)), ` ${said(r.delay_s)}, ${t('recycling.most', { n: r.max_count })}, ${t(`recycling.${r.priority}`)}`, may('manage') && h('button', { 'data-store': true, class: 'quiet right', 'aria-label': t('do.remove'), onclick: () => saveRows('recycling', row.recycling.filter((x) => x !== r)) }, '×')))),
    may('manage') && h('form', { class: 'toolbar', onsubmit: add }, select('on', on[0], on.map((o) => [o, name(o)]), { 'aria-label': t('recycling.on') }), select('delay_s', 86400, DELAYS.map((d) => [d, said(d)]), { 'aria-label': t('recycling.delay') }), h('input', { type: 'number', name: 'max_count', min: 1, max: 10, value: 3, 'aria-label': t('recycling.max') }), select('priority', 'normal', ['high', 'normal', 'low'].map((p) => [p, t(`recycling.${p}`)]), { 'aria-label': t('campaign.priority') }), h('button', null, t('do.add'))));
}

// ---- journal: who changed what, old → new ---------------------------------------------------------------------------------
const value = (v) => (v === null || v === undefined || v === '' ? '—' : typeof v === 'object' ? JSON.stringify(v) : String(v));
const fieldName = (name) => (has(`campaign.${name}`) ? t(`campaign.${name}`) : has(`col.${name}`) ? t(`col.${name}`) : name);
function journalOf() {
  if (!journal) return empty('loading');
  return h('section', { class: 'card' }, journal.length === 0 ? empty('journal.none') : h('table', { class: 'grid' }, h('caption', { class: 'sr' }, t('tab.journal')),
    heads('journal.', ['at', 'by', 'what', 'change']),
    h('tbody', null, journal.map((x) => h('tr', { key: x.id }, h('td', { class: 'num' }, h('button', { 'data-store': true, class: 'quiet num', title: t('decisions.link'), onclick: () => decisions(row.id, x.at) }, dateTime(x.at))), h('td', null, x.by), h('td', null, word('journal_what', x.what)),
      h('td', null, x.changes.map((c) => h('p', { key: c.field, class: 'change' }, `${fieldName(c.field)} : ${value(c.was)} → `, h('b', null, value(c.now))))))))));
}

async function send(changes, version) {
  try {
    const saved = await patch(`/campaigns/${row.id}`, changes, version);
    [row, etag, conflict] = [saved.data, saved.etag, null];
    toast(t('save.done'));
  } catch (error) {
    if (error.code === 'changed_meanwhile' && error.details.current) await merge(changes, error.details.current);
    else complain(error);
  }
  paint();
}
// What only one of us changed is merged, and told; what both did is shown side by side, to be chosen.
async function merge(mine, theirs) {
  const overlap = Object.keys(mine).filter((name) => JSON.stringify(theirs[name]) !== JSON.stringify(row[name]) && JSON.stringify(theirs[name]) !== JSON.stringify(mine[name]));
  if (!overlap.length) {
    [row, etag] = [theirs, `"${theirs.version}"`];
    toast(t('save.merged'));
    await send(mine, etag);
    return;
  }
  conflict = { mine, theirs, was: row, overlap };
}
function compare() {
  const choose = (e) => {
    e.preventDefault();
    const picked = new FormData(e.target);
    if (conflict.overlap.some((name) => !picked.get(name))) { toast(t('compare.choose'), { kind: 'alert' }); return undefined; }
    const keep = Object.fromEntries(Object.entries(conflict.mine).filter(([name]) => !conflict.overlap.includes(name) || picked.get(name) === 'mine'));
    const { theirs } = conflict;
    [row, etag, conflict] = [theirs, `"${theirs.version}"`, null];
    return Object.keys(keep).length ? send(keep, etag) : paint();
  };
  const show = (v) => (typeof v === 'object' ? JSON.stringify(v) : String(v));
  return h('form', { class: 'compare', onsubmit: choose }, h('p', { class: 'band watch' }, t('error.changed_meanwhile')),
    grid(heads('compare.', ['field', 'was', 'theirs', 'mine']),
      conflict.overlap.map((name) => h('tr', { key: name }, h('th', { scope: 'row' }, t(`campaign.${name}`)), h('td', null, show(conflict.was[name])),
        ['theirs', 'mine'].map((who) => h('td', { key: who }, h('label', null, h('input', { type: 'radio', name, value: who }), ` ${show(conflict[who][name])}`)))))),
    h('div', { class: 'buttons' }, h('button', { class: 'primary' }, t('compare.apply'))));
}

function create() {
  const submit = async (e) => {
    e.preventDefault();
    const values = formValues(e.target);
    for (const name of ['client_id']) if (values[name] === '') delete values[name]; else values[name] = Number(values[name]);
    const made = await attempt(() => post('/campaigns', values));
    if (made) location.hash = `#/campagnes/${made.id}`;
  };
  const sites = Object.keys(live.state.links);
  return h('section', { class: 'card' }, h('h1', null, t('campaigns.new')), h('form', { class: 'form', onsubmit: submit },
    field(t('campaign.name'), h('input', { name: 'name', required: true, maxlength: 120 })),
    field(t('campaign.site'), select('site', sites[0] || 'main', sites.map((s) => [s, s]))),
    field(t('campaign.client_id'), select('client_id', '', [['', '—'], ...(options.client_id || []).map((r) => [r.id, r.name])])),
    field(t('col.mode'), select('mode', 'progressive', ['manual', 'preview', 'progressive', 'predictive', 'inbound'].map((m) => [m, t(m === 'predictive' ? 'mode.predictive_any' : `mode.${m}`)]))),
    field(t('campaign.attempts_max'), h('input', { type: 'number', name: 'attempts_max', min: 1, max: 100, value: 4 }), t('campaign.legal_max', { n: 4 })),
    Object.keys(LINKS).map((name) => field(t(`campaign.${name}`), picker(name, []))),
    h('div', { class: 'buttons wide' }, h('a', { class: 'button', href: '#/campagnes' }, t('do.cancel')), h('button', { class: 'primary' }, t('do.create')))));
}

export function view(route) {
  const id = route.rest[0];
  if (!id) return [list(), clients()];
  if (id === 'nouvelle') return create();
  const c = live.state.campaigns[id];
  if (!row && !c) return empty('loading');
  const tabs = ['cadence', 'reglages', 'listes', 'numeros', 'statuts', 'pauses', 'recyclage', 'horaires', 'journal'];
  const again = async () => { await loadOptions(row); paint(); };
  const pick = (body) => () => [conflict && compare(), body(row, options, (changes) => send(changes, etag))];
  const bodies = { reglages: settings, listes: pick(lists), numeros: pick(numbers), horaires: () => [conflict && compare(), hours()], recyclage: () => [conflict && compare(), recycling()], statuts: () => statuses(row, options.statuses || [], again), pauses: () => pauses(row, options.pauses || [], again), journal: journalOf };
  return [
    h('div', { class: 'toolbar' }, h('a', { href: '#/campagnes' }, '‹ ', t('nav.campagnes')), h('h1', null, c?.name || row.name),
      c && h('span', { class: 'muted' }, t('campaign.since', { state: word('campaign_state', c.state), at: clock(new Date(c.since), false), rules: c.rule_set })), h('span', { class: 'grow' }), c && controls(c)),
    h('div', { class: 'tabs', role: 'tablist' }, tabs.map((name) => h('a', { key: name, class: 'button', role: 'tab', 'aria-selected': String(tab === name), href: `#/campagnes/${id}/${name}` }, t(`tab.${name}`)))),
    tab === 'cadence' ? (c ? cadence(c) : empty('campaign.not_live')) : row && bodies[tab] ? bodies[tab]() : empty('loading'),
  ];
}
