// Fewer people answer than at this hour of the last seven days: a caller ID gone bad, or a line. Both rates are counted by the
// same report (answered / attempts that have ended), so that like is compared with like; under 30 calls nothing is said.
import { live, fresh, paint, serverNow } from '../lib/live.js';
import { get, may } from '../lib/api.js';

const [HOUR, DAYS, LEAST] = [3600000, 7, 30];
const AGAIN_MS = 60000;
const DROP = { watch: 0.7, act: 0.4 }; // of the mean: 30 and 60 % less
const BACK = 1.1; // a mark goes once the rate is so far above what set it
const past = { hour: 0, sums: new Map() };
let now = new Map();
let asked = 0;

function add(sums, rows) {
  for (const r of rows) {
    const sum = sums.get(r.campaign_id) || { calls: 0, answered: 0 };
    sums.set(r.campaign_id, { calls: sum.calls + r.attempts - r.in_progress, answered: sum.answered + r.answered });
  }
  return sums;
}
const between = async (start, end) => (await get(`/reports/by_campaign?${new URLSearchParams({ start: new Date(start).toISOString(), end: new Date(end).toISOString() })}`)).rows;
async function read() {
  const hour = Math.floor(serverNow() / HOUR) * HOUR;
  try {
    if (past.hour !== hour) {
      const sums = new Map();
      for (let day = 1; day <= DAYS; day += 1) add(sums, await between(hour - day * 24 * HOUR, hour - day * 24 * HOUR + HOUR));
      Object.assign(past, { hour, sums });
    }
    now = add(new Map(), await between(hour, hour + HOUR));
  } catch { now = new Map(); } // asked again in a minute
  paint();
}
// Called by what shows it, at each paint.
export function watchAnswers() {
  if (!may('watch') || !fresh() || live.beat.store_ok === false || Date.now() - asked < AGAIN_MS) return;
  asked = Date.now();
  setTimeout(read);
}
const levels = new Map();
// {level, now, mean} of a campaign, rates 0..1; null while nothing is wrong, or too little is known.
export function fewAnswers(c) {
  const [present, before] = [now.get(c.id), past.sums.get(c.id)];
  if (c.state !== 'running' || !present || !before || present.calls < LEAST || before.calls < LEAST || !before.answered) { levels.delete(c.id); return null; }
  const [rate, mean] = [present.answered / present.calls, before.answered / before.calls];
  const was = levels.get(c.id);
  const under = (name) => rate <= DROP[name] * mean * (was === name || was === 'act' ? BACK : 1);
  const level = under('act') ? 'act' : under('watch') ? 'watch' : '';
  levels.set(c.id, level);
  return level ? { level, now: rate, mean } : null;
}
