// Every figure can be explained: what it counts, and which query gives it from the database. Hover shows it; the key « i »
// opens it for the figures around the focus or the pointer.
import { h } from './dom.js';
import { t } from './i18n.js';
import { clock } from './format.js';
import { paint, serverNow } from './live.js';
import { ui, closer } from './ui.js';

const QUERY = {
  'col.wait': 'agent_durations.sql', 'col.answer': 'by_campaign.sql', 'col.hour': 'abandonment.sql', 'col.day': 'abandonment.sql',
  'col.month': 'abandonment.sql', 'col.room': 'abandonment.sql', 'col.due': 'leads.sql', occupancy: 'agent_durations.sql', 'plot.abandon': 'abandonment.sql',
  'plot.occupancy': 'agents_by_minute.sql', 'plot.wait': 'agents_by_minute.sql', 'plot.placed': 'calls_by_minute.sql', 'plot.conversations': 'calls_by_minute.sql', 'plot.abandon_minute': 'calls_by_minute.sql',
};
export const query = (name) => QUERY[name] || (name.startsWith('term.') ? 'pacing.sql' : '') || (name.startsWith('state.') ? 'agent_states.sql' : name.startsWith('stage.') ? 'attempts.sql' : '');

// Properties of the element that shows a figure.
export function explain(name) {
  const text = t(`tip.${name}`);
  return { title: query(name) ? `${text} (${query(name)})` : text, 'data-explain': name };
}

let pointed = null;
document.addEventListener('pointerover', (e) => { pointed = e.target; });

// The figures of the element itself, else of its row, else of its section.
function around(el) {
  for (let at = el; at && at !== document.body; at = at.parentElement) {
    if (at.matches('[data-explain]')) return [at.dataset.explain];
    const inside = [...at.querySelectorAll('[data-explain]')].map((x) => x.dataset.explain);
    if (inside.length) return [...new Set(inside)];
  }
  return [...new Set([...document.querySelectorAll('main [data-explain]')].map((x) => x.dataset.explain))];
}
export function explainHere() {
  const focused = document.activeElement && document.activeElement !== document.body ? document.activeElement : pointed;
  const names = around(focused);
  if (names.length) openExplained(names);
}
// `first`: the one asked for, marked among them.
export function openExplained(names, first) {
  const at = clock(new Date(serverNow()));
  ui.drawer = () => [
    h('h2', null, t('explain.title'), closer()),
    h('dl', { class: 'explained' }, names.map((name) => [h('dt', { key: `t${name}`, class: name === first ? 'asked-for' : '' }, t(`name.${name}`)), h('dd', { key: `d${name}` }, t(`tip.${name}`), query(name) && h('span', { class: 'muted' }, ` ${query(name)}`))])),
    h('p', { class: 'muted' }, t('explain.at', { at }))];
  paint();
}
