// Plots of the last hours: filled by the daemon's rows by minute, gone on with by the stream. Two stacked, never two y axes.
import { h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { num, pct } from '../lib/format.js';
import { live, serverNow, fresh, paint, remember } from '../lib/live.js';
import { get, may } from '../lib/api.js';
import { bars, line } from '../lib/plot.js';
import { computed } from '../lib/ui.js';
import { explain } from '../lib/explain.js';

const MINUTE = 60000;
const HOURS = 2;
const SAMPLE_MS = 10000;
const SAMPLES_MAX = 720;
export const HANDLING = ['on_call', 'on_hold', 'wrap_up'];

// Rows by minute as points: a minute nobody was at work in is a gap.
export function byMinute(rows, from, to, value) {
  const known = new Map(rows.map((r) => [Date.parse(r.minute), value(r)]));
  const points = [];
  for (let at = Math.ceil(from / MINUTE) * MINUTE; at < to; at += MINUTE) points.push([at, known.get(at) ?? null]);
  return points;
}
export const occupancyOf = (r) => (r.handling_s + r.ready_s > 0 ? r.handling_s / (r.handling_s + r.ready_s) : null);
export const waitOf = (r) => (r.waits ? r.waited_s / r.waits : null);

// ---- Direct: occupancy and wait, 2 h; abandonment by clock hour ---------------------------------------------------------
const samples = { occupancy: [], wait: [] };
let hours = [];
async function fill() {
  const found = await get(`/recent?minutes=${HOURS * 60}`).catch(() => null);
  if (!found) return;
  const [from, to] = [Date.parse(found.start), Date.parse(found.computed_at) - MINUTE]; // the minute under way is sampled
  for (const [name, value] of [['occupancy', occupancyOf], ['wait', waitOf]]) {
    const past = byMinute(found.agents, from, to, value);
    const first = past.findIndex(([, v]) => v !== null);
    samples[name] = [...(first < 0 ? [] : past.slice(first)), ...samples[name].filter(([at]) => at >= to)].slice(-SAMPLES_MAX);
  }
  remember(found.events, Date.parse(found.computed_at));
  paint();
}
// What the agents do at this instant; over a minute it comes to what the query counts.
function sample() {
  const now = serverNow();
  const known = fresh() && live.state.ready;
  let [handling, ready] = [0, 0];
  for (const a of Object.values(live.state.agents)) { if (HANDLING.includes(a.state)) handling += 1; if (a.state === 'ready') ready += 1; }
  const waits = Object.values(live.state.campaigns).filter((c) => c.state === 'running' && c.wait_s !== null).map((c) => c.wait_s);
  samples.occupancy.push([now, known && handling + ready ? handling / (handling + ready) : null]);
  samples.wait.push([now, known && waits.length ? waits.reduce((a, b) => a + b, 0) / waits.length : null]);
  for (const list of Object.values(samples)) if (list.length > SAMPLES_MAX) list.shift();
}
async function readHours() {
  const midnight = new Date(serverNow());
  midnight.setHours(0, 0, 0, 0);
  const found = await get(`/reports/abandonment?start=${midnight.toISOString()}`).catch(() => null);
  if (!found) return;
  const by = new Map();
  for (const r of found.rows) {
    const sum = by.get(r.hour) || { live: 0, abandoned: 0 };
    by.set(r.hour, { live: sum.live + r.answered_live, abandoned: sum.abandoned + r.abandoned });
  }
  hours = [...by].sort().map(([hour, x]) => ({ label: String(new Date(hour).getHours()), rate: x.live ? x.abandoned / x.live : null, events: x.live }));
  paint();
}
let sampling = false;
export function begin() {
  if (!may('watch')) return;
  if (!sampling) { sampling = true; setTimeout(sample, 1500); setInterval(sample, SAMPLE_MS); setInterval(readHours, MINUTE); }
  readHours();
  fill();
}
export function plots(ceiling) {
  return [
    h('div', { key: 'p1' },
      h('section', { class: 'card' }, h('h2', explain('plot.occupancy'), t('plot.occupancy')), line(samples.occupancy, { top: 1, unit: t('plot.occupancy'), format: (v) => pct(v) }), h('h2', explain('plot.wait'), t('plot.wait')), line(samples.wait, { top: 30, unit: t('plot.wait'), format: (v) => num(v) }))),
    h('section', { key: 'p2', class: 'card' }, h('h2', explain('plot.abandon'), t('plot.abandon')), bars(hours, ceiling, (v) => pct(v, 1))),
  ];
}

// ---- a campaign: its last hour, with a mark where somebody changed it --------------------------------------------------------
const AGAIN_MS = 20000;
const of = { id: 0, at: 0, rows: null };
async function readHour(id) {
  Object.assign(of, of.id === id ? { at: Date.now() } : { id, at: Date.now(), rows: null });
  const found = await get(`/recent?minutes=60&campaign_id=${id}`).catch(() => null);
  if (found && of.id === id) { of.rows = found; paint(); }
}
const told = (e) => Object.entries(e.detail).filter(([name]) => !name.endsWith('_was')).map(([name, v]) => `${t(`col.${name}`)} ${e.detail[`${name}_was`] ?? ''} → ${v}`).join(', ') || t(`event.${e.what.split('.')[1]}`);

// What the last change of speed did: the quarter of an hour before it against all since, once there is enough of both.
const QUARTER = 15 * MINUTE;
const sum = (rows, name) => rows.reduce((n, r) => n + r[name], 0);
function effect(c, found) {
  const changed = found.events.find((e) => e.what === 'campaign.tuned' && 'speed' in e.detail);
  const at = changed && Date.parse(changed.at);
  if (!at || serverNow() - at < QUARTER) return null;
  const split = (rows) => [rows.filter((r) => Date.parse(r.minute) < at && Date.parse(r.minute) >= at - QUARTER), rows.filter((r) => Date.parse(r.minute) >= at)];
  const waits = split(found.agents).map((rows) => [sum(rows, 'waited_s'), sum(rows, 'waits')]);
  const lost = split(found.calls).map((rows) => [sum(rows, 'abandoned'), sum(rows, 'live')]);
  if ([...waits, ...lost].some(([, n]) => n < 30)) return null;
  const step = ([[a, b], [x, y]]) => x / y - a / b;
  const signed = (v, digits = 0) => (v > 0 ? '+' : v < 0 ? '−' : '') + num(Math.abs(v), digits);
  return t('speed.effect', { at: new Date(at).toTimeString().slice(0, 5), wait: signed(step(waits)), points: signed(step(lost) * 100, 1) });
}
export function lastHour(c) {
  if (of.id !== c.id || Date.now() - of.at > AGAIN_MS) setTimeout(() => readHour(c.id));
  const found = of.id === c.id && of.rows;
  if (!found) return null;
  const [from, to] = [Date.parse(found.start), Date.parse(found.computed_at) - MINUTE];
  const marks = found.events.filter((e) => e.kind === 'campaign').map((e) => [Date.parse(e.at), `${told(e)}, ${e.by}`]);
  const calls = (value) => byMinute(found.calls, from, to, value).map(([at, v]) => [at, v ?? 0]);
  const plot = (name, points, top, format) => h('div', { key: name }, h('h2', explain(`plot.${name}`), t(`plot.${name}`)), line(points, { top, unit: t(`plot.${name}`), format, marks }));
  const said = c.mode === 'predictive' && effect(c, found);
  return h('section', { class: 'card', 'data-hour': true }, h('h2', null, t('campaign.last_hour'), h('span', { class: 'right muted' }, computed(found.computed_at))), said && h('p', null, said),
    h('div', { class: 'columns' }, plot('placed', calls((r) => r.placed), 5, num), plot('conversations', calls((r) => r.connected), 5, num), plot('wait', byMinute(found.agents, from, to, waitOf), 30, num),
      plot('abandon_minute', byMinute(found.calls, from, to, (r) => (r.live ? r.abandoned / r.live : null)), 0.03, (v) => pct(v, 1))));
}
