// What will need a person soon: leads that run out at the present rate, lines that fill, agents who wait for too long.
import { t } from '../lib/i18n.js';
import { num, pct, duration } from '../lib/format.js';
import { live, fresh, paint, serverNow } from '../lib/live.js';
import { get, may } from '../lib/api.js';
import { fewAnswers, watchAnswers } from './answers.js';

const MINUTES = 15;
const AGAIN_MS = 60000;
const LEADS_S = { watch: 3600, act: 900 }; // leads due last for less than this
const LINES = 0.8; // of what the trunks carry
const WAIT_S = { watch: 30, act: 90 };
const HELD_MS = 300000; // a wait counts once it has lasted so long

let placed = null; // campaign → calls a second over the last minutes
let asked = 0;
async function readRates() {
  asked = Date.now();
  const found = await get(`/recent?minutes=${MINUTES}`).catch(() => null);
  if (!found) return;
  const by = new Map();
  for (const r of found.calls) {
    const sum = by.get(r.campaign_id) || { calls: 0, first: Infinity };
    by.set(r.campaign_id, { calls: sum.calls + r.placed, first: Math.min(sum.first, Date.parse(r.minute)) });
  }
  const until = Date.parse(found.computed_at);
  placed = new Map([...by].map(([id, { calls, first }]) => [id, until - first < 120000 ? 0 : (calls * 1000) / (until - first)]));
  paint();
}

function leads(c) {
  const rate = placed?.get(c.id) || 0;
  if (!rate || !c.leads.due) return null; // none due: the campaign's own sentence says so
  const left = c.leads.due / rate;
  const level = left < LEADS_S.act ? 'act' : left < LEADS_S.watch ? 'watch' : '';
  return level && { key: `d${c.id}`, level, text: c.name, what: t('ahead.leads', { n: num(c.leads.due), time: duration(left) }) };
}
function answers(c) {
  const few = fewAnswers(c);
  return few && { key: `r${c.id}`, level: few.level, text: c.name, what: t('ahead.answers', { now: pct(few.now), mean: pct(few.mean) }) };
}
const since = new Map(); // campaign → when its wait went over the first threshold
function wait(c) {
  if (c.mode !== 'predictive' || !(c.wait_s > WAIT_S.watch)) { since.delete(c.id); return null; }
  if (!since.has(c.id)) since.set(c.id, serverNow());
  if (serverNow() - since.get(c.id) < HELD_MS) return null;
  return { key: `w${c.id}`, level: c.wait_s > WAIT_S.act ? 'act' : 'watch', text: c.name, what: t('ahead.wait', { s: num(c.wait_s) }) };
}
function lines() {
  const trunks = Object.values(live.state.lines).filter((l) => l.kind === 'trunk' && l.state !== 'off');
  const [used, capacity] = [trunks.reduce((n, l) => n + l.in_use, 0), trunks.reduce((n, l) => n + l.capacity, 0)];
  if (!capacity || used < LINES * capacity) return null;
  return { key: 'lines', level: used >= capacity ? 'act' : 'watch', text: t('direct.lines'), what: t(used >= capacity ? 'ahead.no_line' : 'ahead.lines', { used: num(used), capacity: num(capacity) }) };
}

// Items as « À voir » lists them: {key, level, text, what}.
export function ahead() {
  if (may('watch') && fresh() && Date.now() - asked > AGAIN_MS) setTimeout(readRates);
  watchAnswers();
  const running = Object.values(live.state.campaigns).filter((c) => c.state === 'running');
  return [...running.flatMap((c) => [leads(c), wait(c), answers(c)]), lines()].filter(Boolean);
}
