// Recordings: search, listen, download. A link is asked for when somebody listens: it opens one recording for minutes.
import { h } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num, duration, dateTime } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { get, post } from '../lib/api.js';
import { attempt, formValues, select, empty, heads, grid, labelled } from '../lib/ui.js';

const data = { rows: [], next: null, filters: {}, open: 0, url: '', heard: 0 };
async function find(more = false) {
  const parts = new URLSearchParams(Object.entries(data.filters).filter(([, value]) => value));
  if (more && data.next) parts.set('after', data.next);
  const found = await attempt(() => get(`/recordings?${parts}`));
  if (found) { data.rows = more ? [...data.rows, ...found.rows] : found.rows; data.next = found.next_after; }
  paint();
}
export const enter = () => find();

async function listen(row, download) {
  const link = await attempt(() => post(`/recordings/${row.id}/link`));
  if (!link) return;
  if (download) { location.href = `${link.url}&download=true`; return; }
  Object.assign(data, { open: row.id, url: link.url, heard: 0 });
  paint();
}
function search(e) {
  e.preventDefault();
  data.filters = formValues(e.target);
  data.open = 0;
  find();
}
// The recording along its time: where silence was recorded it is hatched, and where it is heard now there is a line.
const percent = (s, row) => `${Math.min(100, Math.max(0, (s / Math.max(0.1, row.duration_s || 0)) * 100)).toFixed(2)}`;
const spans = (row) => row.muted.map(([from, to]) => t('tape.span', { from: duration(from), to: duration(to) })).join(', ');
const player = (row) => h('div', { class: 'tape' }, h('audio', { controls: true, autoplay: true, src: data.url, ontimeupdate: (e) => { data.heard = e.target.currentTime; paint(); } }),
  row.muted.length > 0 && [h('svg', { class: 'tape-bar', viewBox: '0 0 100 8', preserveAspectRatio: 'none', role: 'img', 'aria-label': spans(row) }, h('rect', { class: 'back', x: 0, y: 0, width: 100, height: 8 }),
    row.muted.map(([from, to], i) => h('rect', { key: i, class: 'gap', x: percent(from, row), y: 0, width: percent(to - from, row), height: 8 })), h('line', { class: 'heard', x1: percent(data.heard, row), x2: percent(data.heard, row), y1: 0, y2: 8 })), h('span', { class: 'muted' }, spans(row))]);
const gaps = (row) => (row.muted.length ? t('tape.muted', { n: num(row.muted.length) }) : '');
export function view() {
  const campaigns = Object.values(live.state.campaigns).map((c) => [c.id, c.name]);
  const agents = Object.values(live.state.agents).map((a) => [a.id, a.name]);
  const name = (table, id) => live.state[table][id]?.name || '—';
  return h('section', { class: 'card' }, h('h1', null, t('nav.enregistrements')),
    h('form', { class: 'toolbar', onsubmit: search },
      labelled('number', 'desk.number', { inputmode: 'tel', value: data.filters.number || '' }),
      select('campaign_id', data.filters.campaign_id, [['', t('report.all_campaigns')], ...campaigns], { 'aria-label': t('col.campaign') }),
      select('agent_id', data.filters.agent_id, [['', t('tape.all_agents')], ...agents], { 'aria-label': t('nav.agents') }), h('button', { class: 'primary' }, t('tape.search'))),
    data.rows.length === 0 ? empty('tape.none') : grid(
      heads('tape.', ['at', 'call', 'campaign', 'agent', 'length', 'state', 'do']),
      data.rows.map((row) => h('tr', { key: row.id }, h('td', { class: 'num' }, dateTime(row.started_at)), h('td', { class: 'n' }, num(row.call_number)), h('td', null, name('campaigns', row.campaign_id)), h('td', null, name('agents', row.agent_id)),
        h('td', { class: 'n' }, row.duration_s === null ? '—' : duration(row.duration_s)), h('td', null, word('tape_state', row.state), ' ', h('span', { class: 'muted' }, gaps(row))),
        h('td', null, row.state === 'kept' && (data.open === row.id ? player(row) : [h('button', { 'data-store': true, onclick: () => listen(row, false) }, t('tape.listen')), ' ', h('button', { 'data-store': true, onclick: () => listen(row, true) }, t('tape.download'))]))))),
    data.next && h('button', { 'data-store': true, onclick: () => find(true) }, t('tape.more')));
}
