// Leads by what holds them: counts by list, and the leads behind each count with their instant of release. A count is
// a link: `#/listes/fiches?liste=3&raison=recycling`, or `?campagne=…` for all lists of a campaign.
import { h } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num, dateTime } from '../lib/format.js';
import { live, paint } from '../lib/live.js';
import { get } from '../lib/api.js';
import { attempt, select, computed, heads, grid } from '../lib/ui.js';
import { place } from '../lib/place.js';
import { nameOf, numberOf, openLead } from './person.js';

const data = { counts: {}, at: null, query: {}, page: null, lists: [] };
const PAGE = 50;
export const reasonWord = (reason) => (reason === 'due' ? t('held.due') : word('blocked', reason));
export const heldLink = (about, reason) => `#/listes/fiches?${new URLSearchParams({ ...about, raison: reason })}`;
const sorted = (counts) => Object.entries(counts).filter(([name]) => name !== 'due' && name !== 'total').sort((a, b) => b[1] - a[1]);

// Each reason with its number, a link to those leads.
export const reasons = (counts, about) => sorted(counts).map(([name, n], i) => [i > 0 && ' · ', h('a', { key: name, href: heldLink(about, name), 'data-reason': name }, `${reasonWord(name)} ${num(n)}`)]);

export async function loadCounts(lists) {
  const groups = [...new Set(lists.map((l) => l.group_id))];
  const found = (await Promise.all(groups.map((id) => attempt(() => get(`/lead-counts?group_id=${id}`))))).filter(Boolean);
  data.counts = Object.fromEntries(found.flatMap((answer) => answer.lists).map((row) => [row.list_id, row]));
  data.at = found[0]?.computed_at;
}
export const countsAt = () => data.at;
export const countsOf = (list) => data.counts[list.id];

export async function enterHeld(lists) {
  const query = Object.fromEntries(new URLSearchParams(location.hash.split('?')[1] || ''));
  Object.assign(data, { lists, query, page: null });
  await more();
}
async function more() {
  const { liste, campagne, raison } = data.query;
  if (!liste && !campagne) { data.page = { rows: [], next_after: null }; return; }
  const asked = new URLSearchParams({ ...(campagne ? { campaign_id: campagne } : { list_id: liste }), reason: raison || 'due', limit: PAGE });
  if (data.page?.next_after) asked.set('after', data.page.next_after);
  const found = await attempt(() => get(`/held-leads?${asked}`));
  if (found) data.page = { ...found, rows: [...(data.page?.rows || []), ...found.rows] };
  paint();
}

// What frees them: an instant, an act, or nothing.
const release = (lead, reason) => (lead.eligible_at && reason !== 'due' ? dateTime(lead.eligible_at) : reason === 'due' ? t('held.now') : reason === 'in_progress' ? t('held.at_end') : reason === 'list_off' ? t('held.list_on') : ['consent', 'dnc'].includes(reason) ? t(`held.by_${reason}`) : t('held.never'));

function known() {
  const { liste, campagne } = data.query;
  const counts = campagne ? live.state.campaigns[campagne]?.leads : data.counts[liste] && { due: data.counts[liste].due, ...data.counts[liste].by_reason };
  return counts || {};
}
export function held() {
  const { liste, campagne, raison = 'due' } = data.query;
  const counts = known();
  const about = campagne ? { campagne } : { liste };
  const name = campagne ? live.state.campaigns[campagne]?.name : data.lists.find((l) => String(l.id) === liste)?.name;
  const go = (e) => { location.hash = heldLink(about, e.target.value).slice(1); };
  const choices = [...new Set(['due', ...sorted(counts).map(([r]) => r), raison])].map((r) => [r, counts[r] === undefined ? reasonWord(r) : `${reasonWord(r)} (${num(counts[r])})`]);
  const rows = data.page?.rows || [];
  return h('section', { class: 'card' },
    h('div', { class: 'toolbar' }, h('h1', null, t('held.title', { name: name || '—', reason: reasonWord(raison) })), select('raison', raison, choices, { 'aria-label': t('held.reason'), onchange: go }), h('span', { class: 'grow' }),
      h('span', { class: 'muted', title: 'held_leads' }, computed(data.page?.computed_at))),
    rows.length === 0 ? h('p', { class: 'empty' }, data.page ? t('held.none') : t('loading'))
      : grid(heads('held.col_', ['name', 'phone', 'place', 'list', 'last', 'attempts', 'release'], ['attempts']),
        rows.map((l) => h('tr', { key: l.id },
          h('th', { scope: 'row' }, h('a', { href: location.hash, onclick: (e) => { e.preventDefault(); openLead(l); } }, nameOf(l))), h('td', { title: l.e164 }, numberOf(l)), h('td', null, place(l) || '—'),
          h('td', null, data.lists.find((x) => x.id === l.list_id)?.name || '—'), h('td', null, dateTime(l.last_attempt_at), l.last_outcome ? ` ${word('outcome', l.last_outcome)}` : ''), h('td', { class: 'n' }, num(l.attempts)), h('td', null, release(l, raison))))),
    data.page?.next_after && h('button', { 'data-store': true, onclick: more }, t('do.more')));
}
