// The supervision page: sign-in, rail, top bar with the link chain, routing, age rules. Views draw the middle.
import { h, icon, mount } from './lib/dom.js';
import { t, load, chosen } from './lib/i18n.js';
import { clock, num } from './lib/format.js';
import { session, may, signIn, signOut, whoAmI } from './lib/api.js';
import { live, start, restart, onPaint, paint, serverNow, age } from './lib/live.js';
import { ui, toast, toasts, dialog, showDialog, problemText, whyNot, empty, languages, closeDrawer } from './lib/ui.js';
import { explainHere } from './lib/explain.js';
import { help, keysOn, tableKey } from './lib/keys.js';
import { chain, linkBands } from './lib/chain.js';
import { sheetHead, sheetFoot } from './lib/print.js';
import * as direct from './views/direct.js';
import * as agents from './views/agents.js';
import * as campaigns from './views/campaigns.js';
import * as lists from './views/lists.js';
import * as lines from './views/lines.js';
import * as compliance from './views/compliance.js';
import * as reports from './views/reports.js';
import * as access from './views/access.js';
import * as alerts from './views/alerts.js';
import * as first from './views/first.js';
import * as recordings from './views/recordings.js';

// Seldom opened, and long: its scripts come when it is.
function onDemand(load) {
  let page = null;
  return { enter: async (at) => { page = page || (await load()); await page.enter(at); paint(); }, view: (at) => (page ? page.view(at) : empty('loading')) };
}
const integrations = onDemand(() => import('./views/integrations.js'));
const PAGES = [
  ['direct', direct, 'watch', 'd'], ['agents', agents, 'watch', 'a'], ['campagnes', campaigns, 'watch', 'c'], ['listes', lists, 'watch', 'l'],
  ['lignes', lines, 'watch', 'i'], ['conformite', compliance, 'watch', 'o'], ['rapports', reports, 'watch', 'r'], ['acces', access, 'steer', 'x'],
  ['integrations', integrations, 'watch', 'n'],
];
const HIDDEN = { debut: first, alertes: alerts, enregistrements: recordings };
let route = { page: 'direct', rest: [], query: new URLSearchParams() };
let problem = '';
let started = false;

function read() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, ...rest] = (path || 'direct').split('/');
  route = { page, rest, query: new URLSearchParams(query || '') };
  const here = route;
  Object.assign(ui, { reading: true, unread: null });
  paint();
  return Promise.resolve(current().enter?.(route)).finally(() => { if (here === route) ui.reading = false; paint(); });
}
const current = () => (PAGES.find(([name]) => name === route.page) || [null, HIDDEN[route.page] || direct])[1];

function top() {
  const amiss = Object.values(live.state.system)[0]?.alerts?.length || 0;
  const off = whyNot();
  return h('header', { class: 'top' },
    chain(),
    h('span', { class: 'clock num' }, live.beat ? clock(new Date(serverNow())) : '--:--:--'),
    h('span', { class: 'grow' }),
    may('steer') && h('button', { class: 'suspend', disabled: Boolean(off), title: off, onclick: direct.suspendAll }, icon('pause'), ' ', t('suspend.button')),
    may('watch') && h('a', { href: '#/alertes', class: amiss ? 'mark act' : 'quiet', title: t('nav.alertes'), 'aria-label': t('top.alerts', { n: num(amiss) }) }, icon(amiss ? 'alert' : 'bell'), amiss > 0 && ` ${num(amiss)}`),
    h('span', { class: 'langs' }, languages()),
    h('button', { class: 'quiet', 'aria-label': t('keys.title'), 'aria-keyshortcuts': '?', title: t('keys.title'), onclick: showKeys }, '?'),
    h('button', { class: 'quiet', 'aria-label': t('top.theme'), title: t('top.theme'), onclick: toggleTheme }, icon('theme')),
    h('span', { class: 'user' }, session.who.name, ' ', h('button', { class: 'quiet', onclick: leave }, t('do.sign_out'))));
}

function toggleTheme() {
  const order = ['', 'light', 'dark'];
  const next = order[(order.indexOf(document.documentElement.dataset.theme || '') + 1) % 3];
  if (next) document.documentElement.dataset.theme = next; else delete document.documentElement.dataset.theme;
  localStorage.setItem('cadran.theme', next);
}

const rail = () => h('nav', { class: 'rail', 'aria-label': t('nav.label') }, h('a', { class: 'brand', href: '#/direct' }, icon('dial'), h('span', null, 'Cadran')),
  PAGES.filter(([, , right]) => may(right)).map(([name]) => h('a', { key: name, href: `#/${name}`, title: t(`nav.${name}`), 'aria-current': route.page === name ? 'page' : false }, icon(name), h('span', null, t(`nav.${name}`)))));

const unreadBand = () => ui.unread && h('p', { key: 'unread', class: 'band watch', role: 'alert' }, icon('watch'), ' ', problemText(ui.unread), ' ', h('button', { onclick: read }, t('do.refresh')));
const reloadBand = () => live.reload && h('p', { key: 'reload', class: 'band info' }, t('age.new_version'), ' ', h('button', { onclick: () => location.reload() }, t('do.reload')));

function login() {
  const submit = async (e) => {
    e.preventDefault();
    const token = e.target.elements.token.value.trim();
    try { await signIn(token); problem = ''; e.target.reset(); begin(); } catch (error) { problem = problemText(error); }
    paint();
  };
  return h('main', { class: 'login' }, h('form', { class: 'card', onsubmit: submit },
    h('h1', null, icon('dial'), ' Cadran'),
    h('label', null, t('login.token'), h('input', { name: 'token', type: 'password', autocomplete: 'current-password', required: true, spellcheck: 'false' })),
    problem && h('p', { class: 'mark act', role: 'alert' }, problem),
    h('button', { class: 'primary' }, t('login.enter')),
    h('p', { class: 'muted' }, t('login.hint')),
    h('p', null, languages())));
}

function draw() {
  const root = document.getElementById('page');
  document.title = `${t(`nav.${route.page}`)} · Cadran`;
  if (!session.who) { mount(root, login(), toasts()); return; }
  document.body.classList.toggle('stale', age() !== null && age() >= 15);
  mount(root, rail(), h('div', { class: 'right-side' }, top(), session.who.demo && h('p', { key: 'demo', class: 'band info' }, t('demo.band')), linkBands(), reloadBand(), unreadBand(), h('main', { id: 'main', tabindex: '-1' }, live.printing && sheetHead(t(`nav.${route.page}`), current().computedAt?.()), current().view(route)), ui.drawer && h('aside', { class: 'drawer' }, ui.drawer())), toasts(), dialog());
  showDialog();
  drawerFocus();
  markStore();
  if (live.printing) sheetFoot();
}

// A drawer that opens takes the focus, so that it is read next; one that closes gives it back to what opened it.
let opener = null;
function drawerFocus() {
  const heading = document.querySelector('aside.drawer h2');
  if (heading && !opener) {
    opener = document.activeElement || document.body;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  } else if (!heading && opener) {
    if (opener.isConnected && document.activeElement === document.body) opener.focus({ preventScroll: true });
    opener = null;
  }
}

// While the database is away nothing can be saved or searched: forms keep what was typed, and what would read or write it
// (buttons marked data-store, links to files) says why it waits. Live views and commands to the engine go on.
const unsaved = () => Boolean(session.who) && live.beat?.store_ok === false && !whyNot();
const KEPT = ':is(main, aside.drawer) :is(form button:not([type=button]), [data-store], a[href^="/api/"])';
let marked = false;
function markStore() {
  if (!marked && !unsaved()) return;
  marked = unsaved();
  const why = t('age.no_store');
  for (const el of document.querySelectorAll(KEPT)) {
    el.setAttribute('aria-disabled', String(marked));
    if (marked && !el.title) { el.title = why; el.dataset.why = ''; }
    if (!marked && 'why' in el.dataset) { el.removeAttribute('title'); delete el.dataset.why; }
  }
}
for (const kind of ['submit', 'click']) {
  document.addEventListener(kind, (e) => {
    if (!unsaved() || (kind === 'click' && !e.target.closest?.(KEPT)?.matches('[data-store], a'))) return;
    e.preventDefault();
    e.stopPropagation();
    toast(t('error.store_unavailable'), { kind: 'alert' });
  }, true);
}

async function leave() {
  await signOut();
  location.hash = '#/direct';
  location.reload();
}

function begin() {
  if (session.who.role === 'agent') { location.replace('/desk'); return; }
  if (session.who.role === 'wall') { location.replace('/wall'); return; }
  if (started) restart(session.who.csrf); else start(session.who.csrf);
  started = true;
  read();
}

const showKeys = () => help(PAGES.filter(([, , right]) => may(right)).map(([name, , , letter]) => [letter, t(`nav.${name}`)]));

// ---- keys: g then a letter, as printed by « ? » --------------------------------------------------------------------------
let prefix = '';
function onKey(e) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
  if (((e.ctrlKey || e.altKey || e.metaKey) && !e.getModifierState('AltGraph')) || document.querySelector('dialog[open]')) return;
  if (e.key === 'Escape' && ui.drawer && (!typing || e.target.closest('aside.drawer'))) { closeDrawer(); return; }
  if (typing) return;
  if (!session.who || !keysOn()) return;
  if (e.key === 'S' && e.shiftKey && may('steer') && !whyNot()) { direct.suspendAll(); return; }
  if (e.key === '/') { const search = document.querySelector('[data-search]'); if (search) { search.focus(); e.preventDefault(); } return; }
  if (prefix === 'g') {
    const page = PAGES.find(([, , right, key]) => key === e.key && may(right));
    if (page) location.hash = `#/${page[0]}`;
    prefix = '';
    return;
  }
  if (e.key === 'i') { explainHere(); return; }
  if (e.key === '?') { showKeys(); return; }
  if (tableKey(e.key)) { e.preventDefault(); return; }
  prefix = e.key === 'g' ? 'g' : '';
  if (current().onKey) current().onKey(e);
}

async function main() {
  const theme = localStorage.getItem('cadran.theme');
  if (theme) document.documentElement.dataset.theme = theme;
  await load(chosen());
  onPaint(draw);
  window.addEventListener('hashchange', read);
  window.addEventListener('keydown', onKey);
  window.addEventListener('cadran:refused', () => { if (session.who) whoAmI().catch(() => {}); });
  window.addEventListener('cadran:signed-out', () => { if (session.who) { session.who = null; problem = t('error.signed_out'); paint(); } });
  try { await whoAmI(); begin(); } catch { /* the sign-in form says it */ }
  paint();
}
main();
