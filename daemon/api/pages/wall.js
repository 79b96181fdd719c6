// The wall: five answers legible from six metres. No phone number, no agent's name, a clock that moves.
import { h, icon, mount } from './lib/dom.js';
import { t, load, chosen } from './lib/i18n.js';
import { num, clock, share } from './lib/format.js';
import { session, post, whoAmI } from './lib/api.js';
import { live, start, restart, onPaint, paint, serverNow, age } from './lib/live.js';
import { chain, linkBands } from './lib/chain.js';
import { windowLevel, levelMark, problemText, siteDown } from './lib/ui.js';
import { campaigns, why } from './views/direct.js';

const SHOWN = 6;
const TURN_S = 15;
const ASK_MS = 3000;
let problem = '';
let pairing = null;
let started = false;

function panel(c) {
  const day = c.windows.find((w) => w.name === 'day') || c.windows[0];
  const sales = Object.values(live.state.agents).filter((a) => a.campaign_ids.includes(c.id)).reduce((n, a) => n + (a.today.sales || 0), 0);
  const level = windowLevel(day);
  const down = siteDown(c.site);
  const shown = (n) => (down ? '?' : num(n || 0));
  const dialling = !down && c.state === 'running' && !c.suspended && c.causes.slice(0, 5).every((x) => x.ok);
  return h('section', { key: c.id, class: `panel ${level}` },
    h('h2', null, c.name, ' ', h('span', { class: dialling ? 's-ready' : 'mark watch' }, icon(dialling ? 'call' : 'pause'), ` ${t(dialling ? 'wall.calling' : 'wall.silent')}`)),
    h('p', { class: 'hero' }, h('span', { class: 'label' }, t('wall.abandon')), ' ', h('b', null, day ? share(day.abandoned, day.live, (a, b) => t('share.of', { a, b })) : '—'), ' ', level ? levelMark(level, true) : day?.live > 0 && h('span', { class: 's-ready' }, icon('ready')), day && h('span', { class: 'label' }, ` ${t('wall.ceiling', { ceiling: num(day.ceiling * 100) })}`)),
    h('p', { class: 'row' }, h('span', { class: 's-on_call' }, icon('call'), h('b', null, ` ${shown(c.agents.on_call)}`), ` ${t('wall.on_call')}`), h('span', { class: 's-ready' }, icon('ready'), h('b', null, ` ${shown(c.agents.ready)}`), ` ${t('wall.ready', { n: c.agents.ready || 0 })}`), h('span', null, h('b', null, shown(c.stages.waiting)), ` ${t('wall.waiting', { n: c.stages.waiting || 0 })}`)),
    h('p', { class: 'row' }, h('span', { class: 'label' }, t('wall.sales')), h('b', null, ` ${num(sales)}`)),
    !dialling && h('p', { class: 'reason' }, why(c)));
}
function draw() {
  const root = document.getElementById('page');
  if (!session.who) {
    mount(root, h('main', { class: 'login' }, h('section', { class: 'card pairing' }, h('h1', null, icon('dial'), ' Cadran'),
      pairing && h('p', { class: 'code num', 'data-code': true }, `${pairing.code.slice(0, 3)} ${pairing.code.slice(3)}`), h('p', null, t('wall.pair_how')), problem && h('p', { class: 'mark act', role: 'alert' }, problem))));
    return;
  }
  if (live.reload) { location.reload(); return; }
  const rows = campaigns().filter((c) => c.state !== 'stopped');
  const pages = Math.max(1, Math.ceil(rows.length / SHOWN));
  const page = Math.floor(serverNow() / 1000 / TURN_S) % pages;
  const silent = age();
  document.body.classList.toggle('stale', silent !== null && silent >= 15);
  mount(root, h('header', { class: 'walltop' }, h('b', null, icon('dial'), ' Cadran'), chain(), h('span', { class: 'grow' }), pages > 1 && h('span', null, t('wall.page', { n: page + 1, of: pages })), h('b', { class: 'clock' }, clock(new Date(serverNow())))),
    linkBands(),
    h('main', { class: `panels n${Math.min(rows.length, SHOWN)}` }, rows.length === 0 ? h('p', { class: 'hero' }, t('wall.none')) : rows.slice(page * SHOWN, (page + 1) * SHOWN).map(panel)));
}
async function begin() {
  if (started) restart(session.who.csrf); else start(session.who.csrf);
  started = true;
  try { await navigator.wakeLock?.request('screen'); } catch { /* the screen may sleep; the page can't forbid it */ }
}
// Six digits on the screen until a supervisor has typed them in Accès; a fresh code when they grow old or the daemon restarts.
async function pair() {
  try {
    if (!pairing) pairing = await post('/wall/codes');
    const { session: who } = await post('/wall/claim', { key: pairing.key });
    problem = '';
    if (who) {
      [session.who, pairing] = [who, null];
      await begin();
    }
  } catch (error) {
    problem = problemText(error);
    if (error.code === 'not_found') [pairing, problem] = [null, ''];
  }
  if (!session.who) setTimeout(pair, ASK_MS);
  paint();
}
async function main() {
  document.documentElement.dataset.theme = 'dark';
  await load(chosen());
  onPaint(draw);
  window.addEventListener('cadran:refused', () => { if (session.who) whoAmI().catch(() => {}); });
  window.addEventListener('cadran:signed-out', () => { if (session.who) { session.who = null; pair(); } });
  try { await whoAmI(); await begin(); } catch { await pair(); }
  paint();
}
main();
