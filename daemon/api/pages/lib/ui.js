// Shared pieces: toasts, dialogs, pending commands, state chips, meters, forms. No view of its own.
import { h, icon } from './dom.js';
import { t, word, has, lang, load } from './i18n.js';
import { clock, num, share } from './format.js';
import { live, paint, fresh, serverNow } from './live.js';
import { ApiProblem } from './api.js';

export const STATE_ICON = {
  ready: 'ready', on_call: 'call', on_hold: 'pause', reserved: 'half', ringing: 'half', wrap_up: 'pen', paused: 'pause',
  signed_out: 'off', unreachable: 'lost',
};
export const chip = (state, text) => h('span', { class: `chip s-${state}` }, icon(STATE_ICON[state] || 'off'), ' ', text ?? word('state', state));

// ---- messages -----------------------------------------------------------------------------------------------
// `reading`: a view is asking for what it shows; `unread`: why it did not get it, which stands where it would be.
export const ui = { toasts: [], dialog: null, drawer: null, reading: false, unread: null };
let nextToast = 1;
export function toast(text, more = {}) {
  const item = { id: nextToast++, text, kind: more.kind || 'info', undo: more.undo, detail: more.detail };
  ui.toasts.push(item);
  if (ui.toasts.length > 4) ui.toasts.shift();
  paint();
  setTimeout(() => { ui.toasts = ui.toasts.filter((x) => x !== item); paint(); }, more.kind === 'alert' ? 15000 : 10000);
}
export const problemText = (error) => {
  if (!(error instanceof ApiProblem)) return String(error);
  return has(`error.${error.code}`) ? t(`error.${error.code}`, error.details) : error.message;
};
export const complain = (error) => toast(problemText(error), {
  kind: 'alert', detail: error instanceof ApiProblem ? `${error.code} ${error.requestId}` : '',
});
export async function attempt(work) {
  try { return await work(); } catch (error) { if (ui.reading && !error.writes) ui.unread = error; else complain(error); return undefined; }
}

// A dialog that stays open shows why in itself: what stands behind it is out of reach.
export const toasts = () => said(ui.toasts.filter((x) => !ui.dialog?.typed || x.kind !== 'alert'));
const said = (items) => h('div', { class: 'toasts' },
  items.map((item) => h('div', { key: item.id, class: `toast ${item.kind}`, title: item.detail || false },
    h('span', null, item.text),
    item.undo && h('button', { onclick: () => { ui.toasts = ui.toasts.filter((x) => x !== item); item.undo(); } }, t('do.undo')),
    h('button', { class: 'quiet', 'aria-label': t('do.close'), onclick: () => { ui.toasts = ui.toasts.filter((x) => x !== item); paint(); } }, '×'))));

// What closes the drawer, at the end of its heading.
export const closeDrawer = () => { ui.drawer = null; paint(); };
export const closer = () => h('button', { class: 'quiet right', 'aria-label': t('do.close'), onclick: closeDrawer }, '×');
export const languages = () => ['fr', 'en'].map((code) => h('button', { key: code, type: 'button', class: 'quiet', 'aria-pressed': String(lang === code), onclick: () => load(code).then(paint) }, code.toUpperCase()));

// ---- dialogs of kind B and C -------------------------------------------------------------------------------------
export function confirm({ title, body, verb, danger = true, check, typed, act }) {
  ui.dialog = { title, body, verb, danger, check, typed, act, checked: false, text: '', reason: '' };
  paint();
}
export function dialog() {
  const d = ui.dialog;
  if (!d) return null;
  const close = () => { ui.dialog = null; paint(); };
  const ok = () => {
    if (ui.dialog !== d) return undefined;
    const el = document.querySelector('dialog.confirm');
    const data = { checked: el.querySelector('[name=check]')?.checked || false, reason: el.querySelector('[name=reason]')?.value || '' };
    if (d.typed && el.querySelector('[name=typed]').value.trim() !== d.typed) { el.querySelector('[name=typed]').focus(); return undefined; }
    if (d.typed && !data.reason.trim()) { el.querySelector('[name=reason]').focus(); return undefined; }
    if (!d.typed) { close(); d.act(data); return undefined; }
    return d.act(data).then((done) => done && ui.dialog === d && close()); // what was typed stays until it has served
  };
  return h('dialog', { key: 'dialog', class: 'confirm', oncancel: (e) => { e.preventDefault(); close(); } },
    h('h2', null, d.title),
    [d.body].flat().map((line) => h('p', null, line)),
    d.check && h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'check' }), ' ', d.check),
    d.typed && h('label', null, t('confirm.type', { text: d.typed }), h('input', { name: 'typed', autocomplete: 'off' })),
    d.typed && h('label', null, t('confirm.reason'), h('input', { name: 'reason' })),
    h('div', { class: 'buttons' },
      h('button', { name: 'cancel', onclick: close }, t('do.cancel')),
      h('button', { class: d.danger ? 'danger' : 'primary', name: 'ok', onclick: ok }, d.verb)), d.typed && said(ui.toasts.filter((x) => x.kind === 'alert')));
}
export function showDialog() {
  const el = document.querySelector('dialog.confirm');
  if (el && !el.open) { el.showModal(); el.querySelector('[name=cancel]').focus(); }
}

// ---- requested → in force: a change shows as done only when the engine's fact is on the stream ------------------------
const pending = new Map();
export function request(key, wanted, isDone, send) {
  const entry = { wanted, isDone, at: Date.now(), said: false };
  pending.set(key, entry);
  paint();
  return send().catch((error) => { pending.delete(key); complain(error); paint(); });
}
export function waiting(key) {
  const entry = pending.get(key);
  if (!entry) return null;
  if (entry.isDone()) { pending.delete(key); return null; }
  const waited = Date.now() - entry.at;
  if (waited > 10000) {
    pending.delete(key);
    toast(t('pending.given_up'), { kind: 'alert' });
    return null;
  }
  return { wanted: entry.wanted, slow: waited > 150, late: waited > 3000 };
}
export const whyNot = () => (fresh() ? false : t('age.commands'));

// ---- abandonment ---------------------------------------------------------------------------------------------
export function windowLevel(w) {
  if (!w || !w.abandoned) return '';
  if (w.room <= 0) return 'act';
  if (w.room < 3 || (w.live && w.abandoned / w.live >= 0.8 * w.ceiling)) return 'watch';
  return '';
}
// What is left of a window, told without alarm before anybody was abandoned: so few have answered that one would be over
// the ceiling, from how many answers on one is allowed; at the ceiling, what Cadran does by itself, and until when.
export function roomText(w, { full = false } = {}) {
  if (!w.abandoned && w.room <= 0) return t('abandon.from', { n: num(Math.ceil(1 / w.ceiling)) });
  if (full && w.abandoned && w.room <= 0) return t(`abandon.held.${w.name === 'hour' ? 'hour' : w.name === 'day' ? 'day' : 'window'}`, { at: nextHour() });
  return t('abandon.left', { n: num(Math.max(0, w.room)) });
}
const nextHour = () => { const at = new Date(serverNow()); at.setMinutes(60, 0, 0); return clock(at, false); };
const LEVEL_ICON = { watch: 'watch', act: 'alert' };
export const levelMark = (level, inWords, title) => level && h('span', { class: `mark ${level}`, title: title || t(`level.${level}`) }, icon(LEVEL_ICON[level]), h('span', { class: inWords ? '' : 'sr' }, t(`level.${level}`)));

// `target`: the pacing's, 0..1; with it the meter is wide, and shows where on the same scale the target lies.
export function meter(w, label, target) {
  if (!w) return h('span', { class: 'muted' }, '—');
  const rate = w.live ? w.abandoned / w.live : 0;
  const scale = Math.max(w.ceiling * 1.3, 0.001);
  const level = windowLevel(w);
  const of = (a, b) => t('share.of', { a, b });
  const text = share(w.abandoned, w.live, of);
  const said = t('abandon.said', { window: label, rate: text, ceiling: num(w.ceiling * 100, w.ceiling * 100 % 1 ? 1 : 0), room: roomText(w, { full: true }) });
  return h('span', { class: `meter ${level} ${target === undefined ? '' : 'wide'}`, role: 'meter', 'aria-valuemin': 0, 'aria-valuemax': 1, 'aria-valuenow': rate.toFixed(4), 'aria-label': said, title: said },
    h('span', { class: 'value' }, text), levelMark(level),
    h('svg', { class: 'bar', viewBox: '0 0 40 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      h('rect', { class: 'back', x: 0, y: 0, width: 40, height: 8 }),
      h('rect', { class: 'fill', x: 0, y: 0, width: Math.min(40, (rate / scale) * 40), height: 8 }),
      target > 0 && h('line', { class: 'target', x1: Math.min(40, (target / scale) * 40), x2: Math.min(40, (target / scale) * 40), y1: 0, y2: 8, 'vector-effect': 'non-scaling-stroke' }),
      h('line', { class: 'ceiling', x1: 40 / 1.3, x2: 40 / 1.3, y1: 0, y2: 8, 'vector-effect': 'non-scaling-stroke' })));
}

// A part of what there is, 0..1, as a bar; said in words for those who do not see it.
export const scale = (part, said) => h('svg', { class: 'bar', viewBox: '0 0 40 8', preserveAspectRatio: 'none', role: 'meter', 'aria-valuemin': 0, 'aria-valuemax': 1, 'aria-valuenow': Math.min(1, part).toFixed(3), 'aria-label': said },
  h('rect', { class: 'back', x: 0, y: 0, width: 40, height: 8 }), h('rect', { class: 'fill', x: 0, y: 0, width: 40 * Math.min(1, part), height: 8 }));

// ---- figures that may be unknown ----------------------------------------------------------------------------------
// A wall screen is told of links by the beat alone.
export const siteDown = (site) => (live.state.links[site] ? !live.state.links[site].up : (live.beat?.links || []).some((l) => l.site === site && !l.up));
export const linkFigure = (site, value) => (siteDown(site) ? '?' : value);

// ---- tables -------------------------------------------------------------------------------------------------------
// A word for each column, `words` before its name (one without a name has none); those in `right` hold figures.
export const heads = (words, names, right = []) => h('thead', null, h('tr', null, names.map((n) => h('th', { key: n, scope: 'col', class: right.includes(n) ? 'n' : '' }, n && t(words + n)))));
export const grid = (head, rows, more = {}) => h('table', { class: 'grid', ...more }, head, h('tbody', null, rows));
export const empty = (name) => (name !== 'loading' || !ui.unread) && h('p', { class: 'empty' }, t(name));
export const computed = (at) => t('report.computed', { at: at ? clock(new Date(at)) : '—' });
// A row of the live state by its name; one that the stream does not know by its number.
export const rowName = (table, id) => live.state[table][id]?.name || (Number(id) ? `n° ${id}` : '—');

// ---- small form helpers -------------------------------------------------------------------------------------------
export const field = (label, input, hint) => h('label', { class: 'field' }, h('span', { class: 'label' }, label), input, hint && h('span', { class: 'hint' }, hint));
// A field whose label is read in it while it is empty.
export const labelled = (name, words, more = {}) => h('input', { name, placeholder: t(words), 'aria-label': t(words), ...more });
export function formValues(form) {
  const out = {};
  for (const el of form.elements) {
    if (!el.name) continue;
    if (el.type === 'checkbox') out[el.name] = el.checked;
    else if (el.type === 'number' || el.type === 'range') { if (el.value !== '') out[el.name] = Number(el.value); }
    else if (el.tagName === 'SELECT' && el.multiple) out[el.name] = [...el.selectedOptions].map((o) => (/^\d+$/.test(o.value) ? Number(o.value) : o.value));
    else out[el.name] = el.value;
  }
  return out;
}
export const select = (name, value, options, more = {}) => h('select', { name, ...more, value },
  options.map(([v, label]) => h('option', { value: v, selected: String(v) === String(value) }, label)));
