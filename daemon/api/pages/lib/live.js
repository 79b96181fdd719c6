// The page's copy of the live state, its age, and one repaint a frame. Everything the views show comes from here.
import { Feed, empty, merge } from './feed.js';

export const live = { state: empty(), beat: null, beatAt: 0, skew: 0, version: '', reload: false, printing: false, events: [] };
const listeners = new Set();
const watchers = new Set();
const callers = new Set();
let scheduled = false;
let port = null;
let feed = null;

export const onPaint = (fn) => { listeners.add(fn); return () => listeners.delete(fn); };
export const onPhone = (fn) => { callers.add(fn); return () => callers.delete(fn); };
export const onDelta = (fn) => { watchers.add(fn); return () => watchers.delete(fn); };

export function paint() {
  if (scheduled || document.hidden) return;
  scheduled = true;
  requestAnimationFrame(() => { scheduled = false; for (const fn of [...listeners]) fn(); });
}

export const since = (text) => (text ? (serverNow() - Date.parse(text)) / 1000 : null);
// Seconds since the daemon was last heard; null before the first beat.
export const age = () => (live.beatAt ? (Date.now() - live.beatAt) / 1000 : null);
// The daemon's clock; it stands still with the data once nothing has been heard for 15 s.
export const serverNow = () => (age() >= 15 ? live.beatAt : Date.now()) + live.skew;
export const fresh = () => age() !== null && age() < 5;

const EVENTS_MAX = 500;
export function note(kind, values) {
  live.events.unshift({ at: serverNow(), kind, values });
  live.events.length = Math.min(live.events.length, EVENTS_MAX);
}

function noteChanges(delta) {
  for (const [id, change] of Object.entries(delta.campaigns || {})) {
    const before = live.state.campaigns[id];
    if (!before || !change) continue;
    if ('speed' in change) note('speed', { id, name: before.name, from: before.speed, to: change.speed });
    if ('mode' in change || 'level' in change) note('mode', { id, name: before.name, mode: before.mode, level: before.level, ...change });
    if ('state' in change) note('campaign', { id, name: before.name, state: change.state });
  }
  for (const [id, change] of Object.entries(delta.links || {})) {
    if (change && 'up' in change && live.state.links[id]) note('link', { site: id, up: change.up });
  }
  for (const [id, change] of Object.entries(delta.agents || {})) {
    const before = live.state.agents[id];
    if (before && change && AWAY.includes(change.state)) note('agent', { id, name: before.name, state: change.state, code: change.code || '' });
  }
  for (const [id, change] of Object.entries(delta.calls || {})) {
    if (change?.stage === 'talking') note('call', { ...live.state.calls[id], ...change });
  }
}
const AWAY = ['paused', 'signed_out', 'unreachable'];

// What happened before the page was open (GET /recent): it stands behind what the page has seen itself since `until`.
const PAST = {
  campaign: ({ id, what, by, detail }) => {
    if ('speed' in detail) return ['speed', { id, from: detail.speed_was ?? '?', to: detail.speed, by }];
    return 'mode' in detail || 'level' in detail ? ['mode', { id, ...detail, by }] : ['campaign', { id, state: what.split('.')[1], by }];
  },
  link: ({ id, what }) => ['link', { site: id, up: what === 'up' }],
  agent: ({ id, what, detail }) => ['agent', { id, state: what, code: detail.code || '' }],
  call: ({ id, detail }) => ['call', { ...detail, number: id }],
};
export function remember(rows, until) {
  const past = rows.filter((e) => PAST[e.kind]).map((e) => { const [kind, values] = PAST[e.kind](e); return { at: Date.parse(e.at), kind, values }; });
  live.events = [...live.events.filter((e) => e.at > until), ...past].slice(0, EVENTS_MAX);
}

function hear(message) {
  if (message.kind === 'snapshot') {
    live.state = { ...empty(), ...message.state, ready: true };
    if (message.beat) hearBeat(message.beat, message.beatAge || 0);
    for (const fn of [...watchers]) fn(message.state); // what changed while no stream was there is in it
  }
  if (message.kind === 'delta') {
    noteChanges(message.delta);
    merge(live.state, message.delta);
    for (const fn of [...watchers]) fn(message.delta);
  }
  if (message.kind === 'beat') hearBeat(message.beat, message.late);
  if (message.kind === 'phone') for (const fn of [...callers]) fn(message.told);
  if (message.kind === 'refused') window.dispatchEvent(new Event('cadran:refused'));
  if (message.kind === 'bye' && message.reason !== 'restart') window.dispatchEvent(new Event('cadran:signed-out'));
  paint();
}

function hearBeat(beat, late) {
  live.beat = beat;
  live.beatAt = Date.now() - late;
  live.skew = Date.parse(beat.now) - (Date.now() - late);
  if (live.version && beat.version && beat.version !== live.version) live.reload = true;
  live.version = beat.version || live.version;
}

// `who`: the session's own value, so that a shared worker never shows one person's state to the next.
export function start(who) {
  if (window.SharedWorker) {
    try {
      const worker = new SharedWorker('/static/worker.js', { type: 'module', name: 'cadran' });
      port = worker.port;
      port.onmessage = ({ data }) => hear(data);
      port.start();
      port.postMessage({ open: who });
      window.addEventListener('pagehide', () => port.postMessage('close'));
      window.addEventListener('pageshow', (e) => { if (e.persisted) restart(who); });
      return;
    } catch { port = null; }
  }
  feed = new Feed(hear);
  feed.open();
}

export function restart(who) {
  live.state = empty();
  if (port) port.postMessage({ open: who });
  if (feed) feed.restart();
}

// Printing draws at once, and whole; twice, as the sheet's head reads the filters off the page, which may not have drawn
// the last click yet.
const draw = () => { for (const fn of [...listeners]) fn(); };
addEventListener('beforeprint', () => { draw(); live.printing = true; draw(); });
addEventListener('afterprint', () => { live.printing = false; draw(); });
setInterval(paint, 1000); // timers and ages
document.addEventListener('visibilitychange', paint);
