// The chain Page ─ Cadran ─ PBX ─ Base, each with its state and since when, and a sentence for each link that is lost.
import { h, icon } from './dom.js';
import { t } from './i18n.js';
import { clock, duration, num } from './format.js';
import { live, age, fresh, serverNow, since } from './live.js';

export function chain() {
  const silent = age();
  const heard = fresh();
  const links = live.beat?.links || [];
  const heardOnce = silent !== null; // until then nothing is known, and nothing is wrong
  const piece = (name, up, tip) => !heardOnce ? h('span', { key: name, class: 'link' }, `${name} `, icon('off'), h('span', { class: 'sr' }, t('loading'))) : h('span', { key: name, class: `link ${up ? 'up' : 'down'}`, title: tip || false }, `${name} `, icon(up ? 'dot' : 'lost'), h('span', { class: 'sr' }, up ? t('link.up') : t('link.down')));
  return h('span', { class: 'chain', 'aria-label': t('link.chain') },
    piece(t('link.page'), heard, heard ? '' : t('age.silent', { s: Math.round(silent || 0) })),
    piece('Cadran', heard && !live.beat?.draining, live.version),
    links.map((l) => piece(`PBX ${l.site}`, heard && l.up, t(l.up ? 'link.since' : 'link.down_since', { at: clock(new Date(l.since)) }))),
    piece(t('link.base'), heard && live.beat?.store_ok, live.beat?.journal_pending ? t('link.journal', { n: num(live.beat.journal_pending) }) : ''));
}

const band = (key, sign, ...text) => h('p', { key, class: 'band watch', role: 'alert' }, icon(sign), ' ', ...text);
// What a reader is told once (the alert's words stand still) and what the eye sees: how long, and when it is tried again.
function lostPbx(l) {
  const at = clock(new Date(l.since));
  const next = live.state.links[l.site]?.next_try_at || l.next_try_at; // the beat comes each 2 s, the stream at once
  const wait = next ? Math.ceil((Date.parse(next) - serverNow()) / 1000) : null;
  const again = wait === null ? '' : ` ${wait > 0 ? t('link.next_try', { s: num(wait) }) : t('link.trying')}`;
  return band(l.site, 'lost', h('span', { 'aria-hidden': 'true' }, t('error.pbx_unreachable_since', { site: l.site, since: `${at} (${duration(since(l.since))})` }), again),
    h('span', { class: 'sr' }, t('error.pbx_unreachable_since', { site: l.site, since: at })));
}
export function linkBands() {
  const silent = age();
  if (silent === null) return null;
  if (!fresh()) {
    const lost = t('age.lost', { at: clock(new Date(live.beatAt + live.skew)) });
    if (silent >= 15) return band('age', 'watch', lost);
    // seconds that count up are for the eye alone: a reader would be told anew each second
    return band('age', 'watch', h('span', { 'aria-hidden': 'true' }, t('age.old', { s: Math.round(silent) })), h('span', { class: 'sr' }, lost));
  }
  return [
    live.beat.links.filter((l) => !l.up).map(lostPbx),
    live.beat.store_ok === false && band('store', 'lost', t('error.store_unavailable'), ' ', t('link.journal', { n: num(live.beat.journal_pending) })),
  ];
}
