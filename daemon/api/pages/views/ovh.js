// OVHcloud's telephony events: how its lines fare, what they told since the daemon began, the address of our own feed.
import { h } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { dateTime, num, phone } from '../lib/format.js';
import { paint } from '../lib/live.js';
import { get, may, post } from '../lib/api.js';
import { attempt, heads, grid } from '../lib/ui.js';
import { address } from './zadarma.js';

const EVERY_MS = 3000;
const SHOWN = 500;
const data = { ready: false, lines: [], feeds: [], path: '', events: [], kept: 0, at: 0, busy: false };

export async function enter() {
  if (may('administer')) {
    const found = await attempt(() => get('/ovh/lines'));
    if (!found) return;
    Object.assign(data, { lines: found.rows, feeds: found.feeds, path: found.feed_path });
  }
  await listen();
  data.ready = true;
  paint();
}
// Asked again while the page is looked at, and only then.
async function listen() {
  data.busy = true;
  const found = await get(`/ovh/events?limit=${SHOWN}`).catch(() => null);
  Object.assign(data, { busy: false, at: Date.now() });
  if (found) data.events = found.rows;
  if (found && may('administer') && data.lines.length) data.lines = (await get('/ovh/lines').catch(() => null))?.rows || data.lines;
}
function follow() {
  const heard = data.lines.length > 0 || data.events.length > 0 || !may('administer');
  if (heard && !data.busy && Date.now() - data.at > EVERY_MS) listen().then(paint);
}
async function test(line) {
  const row = await attempt(() => post(`/ovh/lines/${line.service}/try`));
  if (row) data.lines = data.lines.map((x) => (x.service === row.service ? row : x));
  paint();
}

const written = (number) => (/^00[0-9]{6,}$/.test(number) ? phone(`+${number.slice(2)}`) : number || '—');
const STATES = { connected: 's-ready', waiting: 's-ready', failing: 'mark act' };
const state = (line) => (line.connected ? 'connected' : line.waiting && !line.failures ? 'waiting' : 'failing');
const lines = () => data.lines.length > 0 && grid(heads('ovh.col.', ['line', 'agent', 'display', 'state', 'events', 'try'], ['events']),
  data.lines.map((line) => h('tr', { key: line.service }, h('th', { scope: 'row' }, written(line.service)), h('td', null, line.agent), h('td', null, word('ovh_display', line.display)),
    h('td', { role: 'status' }, h('span', { class: STATES[state(line)] }, t(`ovh.state.${state(line)}`)), line.last_error && ` ${line.last_error}`), h('td', { class: 'n' }, num(line.events)),
    h('td', null, h('button', { onclick: () => test(line) }, t('outside.test'))))), { 'data-lines': true });
const events = () => [h('h2', null, t('ovh.events')), grid(heads('ovh.col.', ['at', 'line', 'event', 'calling', 'called']),
  data.events.map((e, i) => h('tr', { key: `${e.line} ${e.call_id} ${e.event} ${e.at} ${i - data.events.length}` }, h('th', { scope: 'row' }, dateTime(e.at)), h('td', null, written(e.line)), h('td', null, word('ovh_event', e.event)), h('td', null, written(e.calling)), h('td', null, written(e.called)))), { 'data-events': true })];

export function view() {
  if (!data.ready) return null;
  follow();
  const none = data.lines.length === 0 && data.events.length === 0;
  return h('section', { class: 'card', 'data-ovh': true }, h('h1', null, 'OVHcloud'),
    none && h('p', { class: 'muted' }, t(may('administer') ? 'ovh.none' : 'ovh.no_events')),
    lines(), data.feeds.length > 0 && address(t('ovh.feed', { who: data.feeds.map((f) => f.agent).join(', ') }), `${location.origin}${data.path}?token=…`),
    data.events.length > 0 && events());
}
