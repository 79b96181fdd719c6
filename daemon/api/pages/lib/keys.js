// Single keys: what they do, where the focus goes, and that a person may turn them off (WCAG 2.1.4); kept in this browser.
import { h } from './dom.js';
import { t } from './i18n.js';
import { paint } from './live.js';
import { ui, closer } from './ui.js';

const NAME = 'cadran.keys';
export const keysOn = () => localStorage.getItem(NAME) !== 'off';
export function switchKeys() {
  localStorage.setItem(NAME, keysOn() ? 'off' : 'on');
  paint();
}
export const keysSwitch = () => h('label', null, h('input', { type: 'checkbox', name: 'keys', checked: keysOn(), onchange: switchKeys }), ' ', t('keys.on'));

// What « ? » shows. `pages`: [[letter, label], …], reached by g and the letter.
export function help(pages) {
  const line = (key, text) => [h('dt', { key: `k${key}` }, key.split(' ').map((x) => h('kbd', { key: x }, x))), h('dd', { key: `d${key}` }, text)];
  ui.drawer = () => [
    h('h2', null, t('keys.title'), closer()),
    h('p', null, keysSwitch()),
    h('dl', { class: 'keys' }, pages.map(([letter, label]) => line(`g ${letter}`, label)),
      ['/', 'j k', '.', '[ ]', '← →', 'o', 'z', 'i', 'Esc', '?'].map((key) => line(key, t(`keys.${key}`))), line(t('keys.shift_s'), t('keys.S'))),
  ];
  paint();
}

const rows = () => [...document.querySelectorAll('main table tbody tr')].filter((tr) => tr.querySelector('a, [data-menu]'));
// j, k: the next or last row, by the link that opens it.
function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement?.closest?.('tr'));
  const to = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
  (to.querySelector('th a') || to.querySelector('a, [data-menu]')).focus();
}
// [ and ]: one step of speed, of the row that has the focus, of the only campaign there is, or of the page's campaign.
function speed(step) {
  const near = document.activeElement?.closest?.('tr')?.querySelector('.stepper');
  const all = document.querySelectorAll('main .stepper');
  const found = near || (all.length === 1 ? all[0] : null);
  found?.querySelectorAll('button')[step > 0 ? 1 : 0]?.click();
}
// True if the key was one of these.
export function tableKey(key) {
  if (key === 'j' || key === 'k') move(key === 'j' ? 1 : -1);
  else if (key === '[' || key === ']') speed(key === ']' ? 1 : -1);
  else if (key === '.') (document.activeElement?.closest?.('tr')?.querySelector('[data-menu]') || document.querySelector('main [data-menu]'))?.click();
  else return false;
  return true;
}
