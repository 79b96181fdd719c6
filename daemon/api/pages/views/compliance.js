// Compliance: where calling is allowed now, what was refused today and by which rule, may this person be called and by
// which proof, red lists, consents, the abandonment ledger, what the law may cost.
import { h, icon } from '../lib/dom.js';
import { locale, t, word, has } from '../lib/i18n.js';
import { num, clock, day, dateTime, share } from '../lib/format.js';
import { live, paint, serverNow } from '../lib/live.js';
import { all, get, post, may } from '../lib/api.js';
import { attempt, formValues, meter, roomText, select, computed, empty, heads, grid, rowName } from '../lib/ui.js';
import { redList } from './lists.js';
import { account, nameOf, numberOf, openLead, proofs } from './person.js';

const data = { day: null, articles: {}, hours: null, register: null, ledger: null, clients: [], verdict: null, made: null, query: {}, page: null };
const PAGE = 50;
const today = () => new Intl.DateTimeFormat('sv-SE', { timeZone: 'Europe/Paris' }).format(new Date(serverNow()));
const dayOf = (text) => day(new Date(`${text}T12:00:00`));
const query = () => Object.fromEntries(new URLSearchParams(location.hash.split('?')[1] || ''));
const source = (name, when) => h('span', { class: 'right muted', title: `${name}.sql` }, computed(when));

export async function enter(route) {
  Object.assign(data, { query: query(), page: null, tab: route.rest[0] || '' });
  if (data.tab === 'refus') { paint(); await more(); return; }
  const chosen = data.query.jour ? `?day=${data.query.jour}` : '';
  const [found, articles, hours, clients] = await Promise.all([
    attempt(() => get(`/compliance/day${chosen}`)), attempt(() => get('/compliance/articles')), attempt(() => get('/compliance/hours')), attempt(() => all('/clients'))]);
  Object.assign(data, { day: found, articles: articles || {}, hours, clients: clients || [] });
  paint();
  if (!found) return;
  const ledger = await attempt(() => get(`/reports/abandonment?${new URLSearchParams({ start: found.start, end: found.end })}`));
  data.ledger = ledger;
  paint();
  data.register = await attempt(() => get(`/compliance/register${chosen}`)); // last: it reads every consent there is
  paint();
}
// Open or shut changes with the clock: asked again when the next change has come.
async function refreshHours() {
  if (!location.hash.startsWith('#/conformite') || data.tab || document.hidden) return;
  const due = data.hours?.rule_sets.some((r) => r.places.some((p) => p.until && new Date(p.until) <= serverNow()));
  const old = data.hours && serverNow() - new Date(data.hours.computed_at) > 60000;
  if (due || old) { data.hours = (await attempt(() => get('/compliance/hours'))) || data.hours; paint(); }
}
setInterval(refreshHours, 5000);

// ---- legal hours, where the people are ------------------------------------------------------------------------------
const dayName = (name) => new Intl.DateTimeFormat(locale, { weekday: 'short' }).format(new Date(Date.UTC(2024, 0, 1 + ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'].indexOf(name), 12)));
const span = (days) => (days.length > 2 ? `${dayName(days[0])}–${dayName(days[days.length - 1])}` : days.map(dayName).join(', '));
function windowsText(windows) {
  const byDays = new Map();
  for (const w of windows) byDays.set(span(w.days), [...(byDays.get(span(w.days)) || []), `${w.from}–${w.to}`]);
  return [...byDays].map(([days, times]) => `${times.join(', ')}, ${days}`).join(' ; ');
}
export const zoneName = (p) => (has(`zone.${p.zone}`) ? t(`zone.${p.zone}`) : p.zone.split('/').pop().replaceAll('_', ' ')) + (p.area && p.zone === 'Europe/Paris' ? ` (${has(`area.${p.area}`) ? t(`area.${p.area}`) : p.area})` : '');
function place(p) {
  const when = p.until_day ? t('hours.on', { day: p.until_day, at: p.until_local }) : p.until_local;
  const said = p.open ? t('hours.open_until', { at: when }) : p.until ? t(p.holiday ? 'hours.holiday_until' : 'hours.shut_until', { at: when }) : t('hours.shut');
  return h('li', { key: p.group, 'data-zone': p.zone }, h('b', null, zoneName(p)), h('span', { class: 'num' }, p.local), h('span', { class: p.open ? 's-ready' : 's-paused' }, icon(p.open ? 'ready' : 'off'), ` ${said}`));
}
const hours = () => data.hours && data.hours.rule_sets.map((r) => h('section', { class: 'card', key: r.rule_set, 'data-hours': r.rule_set },
  h('h2', null, t('hours.legal'), h('span', { class: 'right muted' }, t('hours.rules', { rules: r.rule_set, from: dayOf(r.valid_from) + `/${r.valid_from.slice(0, 4)}` }))),
  h('p', { class: 'muted' }, `${windowsText(r.windows)} · ${r.clause === 'own policy' ? t('compliance.own') : r.clause}`),
  h('ul', { class: 'list' }, r.places.map(place))));

// ---- refusals: counted by rule, each count opens its list -------------------------------------------------------------
const ruleName = (rule) => word('rule', rule);
const article = (row) => data.articles[row.rule_set]?.[row.rule] || t('compliance.own');
const link = (row) => `#/conformite/refus?${new URLSearchParams({ jour: data.day.day, regle: row.rule, jeu: row.rule_set, n: row.refusals })}`;
function refusals() {
  const rows = data.day?.refused || [];
  const sum = rows.reduce((n, r) => n + r.refusals, 0);
  const several = new Set(rows.map((r) => r.rule_set)).size > 1;
  const go = (e) => { location.hash = e.target.value && e.target.value !== today() ? `#/conformite?jour=${e.target.value}` : '#/conformite'; };
  return h('section', { class: 'card' },
    h('h2', null, t(data.query.jour ? 'compliance.refused_day' : 'compliance.refused', { n: num(sum), day: data.day ? dayOf(data.day.day) : '' }), h('input', { type: 'date', name: 'jour', value: data.day?.day || today(), max: today(), 'aria-label': t('compliance.day'), onchange: go }), source('refused_by_rule', data.day ? serverStamp() : null)),
    !data.day ? empty('loading') : rows.length === 0 ? empty('compliance.none')
      : grid(heads('compliance.col_', ['rule', 'code', 'article', 'n', 'people', 'see'], ['n', 'people']),
        rows.sort((a, b) => b.refusals - a.refusals).map((r) => h('tr', { key: r.rule_set + r.rule, 'data-rule': r.rule }, h('th', { scope: 'row' }, ruleName(r.rule)), h('td', { class: 'code', title: r.rule_set }, several ? `${r.rule} ${r.rule_set}` : r.rule), h('td', null, article(r)), h('td', { class: 'n' }, num(r.refusals)), h('td', { class: 'n' }, num(r.people)), h('td', null, h('a', { href: link(r), 'aria-label': t('compliance.see_of', { rule: ruleName(r.rule) }) }, t('compliance.see')))))));
}
let stamped = null;
const serverStamp = () => { if (stamped?.of !== data.day) stamped = { of: data.day, at: serverNow() }; return stamped.at; };

async function more() {
  const { jour, regle, jeu } = data.query;
  const asked = new URLSearchParams({ limit: PAGE, ...(jour && { day: jour }), ...(regle && { rule: regle }), ...(jeu && { rule_set: jeu }) });
  if (data.page?.next_after) asked.set('after', data.page.next_after);
  const found = await attempt(() => get(`/compliance/refusals?${asked}`));
  if (found) data.page = { ...found, rows: [...(data.page?.rows || []), ...found.rows] };
  paint();
}
function refused() {
  const { jour, regle, n } = data.query;
  const rows = data.page?.rows || [];
  const open = (r) => (e) => { e.preventDefault(); openLead({ ...r, id: r.lead_id }); };
  return h('section', { class: 'card' },
    h('div', { class: 'toolbar' }, h('a', { class: 'button', href: jour && jour !== today() ? `#/conformite?jour=${jour}` : '#/conformite' }, t('do.back')), h('h1', null, t('compliance.list', { rule: regle ? ruleName(regle) : t('compliance.every_rule'), day: dayOf(jour || today()) })), h('span', { class: 'grow' }), h('span', { class: 'muted' }, n && data.page ? t('compliance.shown', { shown: num(rows.length), n: num(Number(n)) }) : ''), h('span', { class: 'muted', title: 'refused.sql' }, computed(data.page?.computed_at))),
    rows.length === 0 ? h('p', { class: 'empty' }, data.page ? t('compliance.none') : t('loading'))
      : grid(heads('compliance.col_', ['at', 'person', 'phone', 'campaign', 'rule', 'article', 'until']),
        rows.map((r) => h('tr', { key: `${r.site} ${r.fence} ${r.n}` }, h('td', { class: 'num' }, clock(new Date(r.at))), h('th', { scope: 'row' }, h('a', { href: location.hash, onclick: open(r) }, nameOf(r))), h('td', { title: r.e164 || false }, numberOf(r)), h('td', null, rowName('campaigns', r.campaign_id)), h('td', { title: r.clause }, ruleName(r.rule)), h('td', null, r.article || t('compliance.own')), h('td', null, r.until ? dateTime(r.until) : t('held.never'))))),
    data.page?.next_after && h('button', { 'data-store': true, onclick: more }, t('do.more')));
}

// ---- may I call, and by which proof -------------------------------------------------------------------------------------
async function check(e) {
  e.preventDefault();
  const values = formValues(e.target);
  data.asked = values;
  const verdict = await attempt(() => post('/compliance/check', { campaign_id: Number(values.campaign_id), number: values.number }));
  if (data.asked !== values) return; // another has been asked meanwhile
  Object.assign(data, { made: null, verdict });
  paint();
}
async function calls() { data.made = (await attempt(() => get(`/leads/${data.verdict.lead_id}/lawfulness`))) || []; paint(); }
function verdict(v) {
  const reason = v.article ? t('compliance.by_article', { rule: ruleName(v.rule), article: v.article }) : t('compliance.by_own', { rule: ruleName(v.rule) });
  return [
    h('p', { role: 'status', class: v.allowed ? 's-ready' : 'mark act wraps' }, icon(v.allowed ? 'ready' : 'alert'), ' ', v.allowed ? t('compliance.yes', { rules: v.rule_set }) : t('compliance.no', { reason, until: v.until ? dateTime(v.until) : t('compliance.never') })),
    h('details', { class: 'section', 'data-proofs': true }, h('summary', null, t('compliance.proofs')), proofs(v.evidence)),
    v.lead_id > 0 ? (data.made === null ? h('p', null, h('button', { 'data-store': true, onclick: calls }, t('proof.show'))) : [h('h2', null, t('proof.title')), account(data.made)]) : h('p', { class: 'muted' }, t('compliance.no_lead')),
  ];
}
function mayCall() {
  const campaigns = Object.values(live.state.campaigns).map((c) => [c.id, c.name]);
  return h('section', { class: 'card' }, h('h2', null, t('compliance.may_call')),
    h('form', { class: 'toolbar', onsubmit: (e) => { check(e); } }, select('campaign_id', campaigns[0]?.[0], campaigns, { 'aria-label': t('col.campaign') }), h('input', { name: 'number', required: true, inputmode: 'tel', 'data-search': true, placeholder: '0199001234', 'aria-label': t('dnc.number') }), h('button', { class: 'primary' }, t('compliance.ask'))),
    data.verdict && verdict(data.verdict));
}

// ---- red lists, consents, ledger ------------------------------------------------------------------------------------
const clientName = (id) => data.clients.find((c) => c.id === id)?.name || `n° ${id}`;
const SIZES = ['size', 'added', 'removed'];
const CONSENTS = ['valid', 'expired', 'withdrawn'];
function register() {
  const r = data.register;
  const size = r ? r.red_lists.reduce((n, x) => n + x.size, 0) : null;
  return [
    h('section', { class: 'card' }, h('h2', null, t('compliance.red_list', { n: num(size) }), r && source('red_list_by_client', r.computed_at)),
      r && grid(heads('red.', ['client', ...SIZES], SIZES), r.red_lists.map((x) => h('tr', { key: x.client_id }, h('th', { scope: 'row' }, clientName(x.client_id)), SIZES.map((n) => h('td', { key: n, class: 'n' }, num(x[n])))))),
      may('manage') ? redList(data.clients) : empty('compliance.manager')),
    h('section', { class: 'card' }, h('h2', null, t('consents.title'), r && source('consents_by_state', r.consents_at)),
      !r ? empty('loading') : [
        grid(heads('consents.', ['kind', ...CONSENTS], CONSENTS), r.consents.map((x) => h('tr', { key: x.kind }, h('th', { scope: 'row' }, t(`consents.${x.kind}`)), CONSENTS.map((n) => h('td', { key: n, class: 'n' }, num(x[n]))))), { 'data-consents': true }),
        h('p', { class: 'muted' }, r.rule_set ? t(r.valid_days ? 'consents.age' : 'consents.ageless', { rules: r.rule_set, days: num(r.valid_days) }) : t('consents.not_asked'))]),
  ];
}
function ledger() {
  const campaigns = Object.values(live.state.campaigns).filter((c) => c.windows.length).sort((a, b) => a.name.localeCompare(b.name));
  const names = [...new Set(campaigns.flatMap((c) => c.windows.map((w) => w.name)))];
  const rows = data.ledger?.rows || [];
  return h('section', { class: 'card', 'data-ledger': true }, h('h2', null, t('ledger.title'), data.ledger && source('abandonment', data.ledger.computed_at)),
    campaigns.length === 0 ? empty('ledger.none') : grid(h('thead', null, h('tr', null, h('th', { scope: 'col' }, t('col.campaign')), names.map((n) => h('th', { key: n, scope: 'col', class: 'n' }, word('window', n))), h('th', { scope: 'col', class: 'n' }, t('ledger.room')))),
      campaigns.map((c) => { const least = c.windows.reduce((m, w) => (w.room < m.room ? w : m)); return h('tr', { key: c.id }, h('th', { scope: 'row' }, c.name), names.map((n) => h('td', { key: n, class: 'n' }, meter(c.windows.find((w) => w.name === n), word('window', n)))), h('td', { class: 'n' }, roomText(least))); })),
    rows.length > 0 && h('details', { class: 'section' }, h('summary', null, t('ledger.hours', { n: num(rows.length) })),
      grid(heads('ledger.', ['hour', 'campaign', 'live', 'abandoned', 'rate'], ['live', 'abandoned', 'rate']),
        rows.map((r) => h('tr', { key: `${r.campaign_id} ${r.hour}` }, h('th', { scope: 'row' }, dateTime(r.hour)), h('td', null, rowName('campaigns', r.campaign_id)), h('td', { class: 'n' }, num(r.answered_live)), h('td', { class: 'n' }, num(r.abandoned)), h('td', { class: 'n' }, share(r.abandoned, r.answered_live, (a, b) => t('share.of', { a, b }))))))));
}

export function view() {
  if (data.tab === 'refus') return refused();
  return [
    h('div', { class: 'columns law' }, h('div', { class: 'stack' }, hours(), mayCall()), h('div', { class: 'stack' }, refusals(), register(), ledger())),
    h('section', { class: 'card' }, h('p', { class: 'muted' }, t('compliance.fines')))];
}
