// A page on paper: what is on top (page, filters, site, rules, when and by whom) and at the foot (the queries' names).
// Drawn only while the browser prints; the numbers of the sheets are the style sheet's.
import { h } from './dom.js';
import { t } from './i18n.js';
import { clock, date } from './format.js';
import { live, serverNow } from './live.js';
import { session } from './api.js';
import { query } from './explain.js';

const text = (el) => el.textContent.replace(/\s+/g, ' ').trim();
const label = (el) => el.getAttribute('aria-label') || (el.closest('.field')?.querySelector('.label') || el.closest('label'))?.textContent.trim() || '';
function value(el) {
  if (el.matches('select')) return el.selectedOptions[0]?.textContent || '';
  if (el.type === 'checkbox') return el.checked ? '✓' : '';
  return el.type === 'date' && el.value ? date(new Date(`${el.value}T12:00`)) : el.value;
}
// What is chosen above the table, as the page has it at this instant: buttons pressed, fields filled.
function filters() {
  const pressed = [...document.querySelectorAll('main .toolbar [aria-pressed=true], main .tabs [aria-pressed=true], main .tabs [aria-current=page]')].map(text);
  const fields = [...document.querySelectorAll('main .toolbar :is(select, input), main form:is(.search, [data-stats]) :is(select, input)')]
    .map((el) => [label(el), value(el)]).filter(([, v]) => v).map(([name, v]) => (name ? t('print.filter', { name, value: v }) : v));
  return [...pressed, ...fields].join(' · ');
}
export function sheetHead(title, computedAt) {
  const at = computedAt ? new Date(computedAt) : new Date(serverNow());
  const rules = [...new Set(Object.values(live.state.campaigns).map((c) => c.rule_set))].sort().join(', ');
  return h('header', { key: 'sheet', class: 'sheet-head' },
    h('p', null, h('b', null, `Cadran · ${title}`), session.who.demo && ` · ${t('demo.band')}`), h('p', null, filters()),
    h('p', null, t('print.head', { sites: Object.keys(live.state.links).sort().join(', '), rules: rules || '—' }), ' · ', t('print.computed', { date: date(at), at: clock(at), who: session.who.name })));
}
export function sheetFoot() {
  const named = [...document.querySelectorAll('main [data-query], main [data-explain]')].map((el) => el.dataset.query || query(el.dataset.explain));
  document.documentElement.style.setProperty('--foot', JSON.stringify([...new Set(named)].filter(Boolean).join(' · ')));
}
