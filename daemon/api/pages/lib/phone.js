// What lines outside tell an agent's desk: pages of OVHcloud's lines (asked for with a long poll), calls on a Zadarma
// extension (on the live stream). One band at the top; a page opens as the line's settings say.
import { h, icon } from './dom.js';
import { t, word } from './i18n.js';
import { phone } from './format.js';
import { get } from './api.js';
import { live, onPhone, paint } from './live.js';
import { confirm } from './ui.js';

const WAIT_S = 20;
const REST_MS = 60000;
const KEPT_MS = 180000;
const shown = { call: null, pop: null };
let open = null;
let running = false;

const rest = (ms) => new Promise((done) => setTimeout(done, ms));
const last = () => Number(sessionStorage.getItem('cadran.ovh.last') || 0);

function take(row) {
  if (Date.now() + live.skew - Date.parse(row.at) > KEPT_MS) return;
  shown.pop = row;
  const steered = open(row.url, true);
  if (!steered && row.display === 'modal') confirm({ title: t('outside.line', { number: number(row.calling) }), body: row.url, verb: t('desk.open'), danger: false, act: () => open(row.url, false) });
}
async function follow() {
  for (;;) {
    const at = Date.now();
    const found = await get(`/ovh/pops?after=${last()}&wait_s=${WAIT_S}`).catch(() => null);
    if (found) {
      sessionStorage.setItem('cadran.ovh.last', String(found.last));
      found.rows.forEach(take);
      if (found.rows.length) paint();
    }
    // An answer at once and without a page: no line here, or no daemon. Ask seldom.
    if (!found?.rows.length && Date.now() - at < 1000) await rest(REST_MS);
  }
}
const number = (text) => phone(/^00[0-9]{6,}$/.test(text) ? `+${text.slice(2)}` : text);

// `opener(url, quietly)`: shows a page in the CRM's window; quietly = only if that is there already. Returns whether.
export function startPhone(opener) {
  open = opener;
  if (running) return;
  running = true;
  onPhone((told) => { shown.call = told; paint(); });
  follow();
}
const close = (what) => () => { shown[what] = null; paint(); };
const band = (key, text, what, more) => h('p', { key, class: 'band info', role: 'status', 'data-phone': key }, icon('call'), ' ', text, ' ', more, h('button', { class: 'quiet', 'aria-label': t('do.close'), onclick: close(what) }, '×'));
export const phoneBands = () => [
  shown.call && band('zadarma', t('outside.zadarma', { state: word('outside_call', `${shown.call.direction}_${shown.call.state}`), who: [shown.call.name, phone(shown.call.e164)].filter(Boolean).join(' ') || '—' }), 'call'),
  shown.pop && band('ovh', t('outside.line', { number: number(shown.pop.calling) }), 'pop', h('button', { onclick: () => open(shown.pop.url, false) }, t('desk.open'))),
];
