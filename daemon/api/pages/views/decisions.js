// The pacing's own sentences, in a drawer: the last sixty, or those around an instant that somebody asks about.
import { h } from '../lib/dom.js';
import { t, lang, typeset } from '../lib/i18n.js';
import { clock, dateTime } from '../lib/format.js';
import { live, paint, serverNow } from '../lib/live.js';
import { get } from '../lib/api.js';
import { attempt, ui, closer, computed, empty } from '../lib/ui.js';

const SHOWN = 60;
const LOOK_BACK_MS = 1800000;
const AROUND_MS = 60000;

// `at`: an instant; without it, the last ones.
export async function decisions(campaignId, at) {
  const centre = at && Date.parse(at);
  const [from, to] = centre ? [centre - AROUND_MS, centre + AROUND_MS] : [serverNow() - LOOK_BACK_MS, serverNow() + AROUND_MS];
  const iso = (ms) => encodeURIComponent(new Date(ms).toISOString());
  const found = await attempt(() => get(`/reports/pacing?campaign_id=${campaignId}&language=${lang}&start=${iso(from)}&end=${iso(to)}`));
  if (!found) return;
  const rows = found.rows.slice(-SHOWN).reverse();
  const sites = Object.keys(live.state.links).length > 1;
  ui.drawer = () => [
    h('h2', null, centre ? t('decisions.around', { at: dateTime(at) }) : t('decisions.last'), closer()),
    rows.length === 0 ? empty('decisions.none') : h('ul', { class: 'list events', 'data-decisions': true }, rows.map((r, i) => h('li', { key: `${r.at}${r.site}${i}` }, h('span', { class: 'num muted' }, clock(new Date(r.at))), ` ${sites ? `${r.site} : ` : ''}${lang === 'fr' ? typeset(r.sentence) : r.sentence}`))),
    h('p', { class: 'muted' }, computed(found.computed_at), ' pacing.sql')];
  paint();
}
