// Alerts: what is amiss now and who looks after it, what was told to whom, and a try of the sinks.
import { h, icon } from '../lib/dom.js';
import { t, word } from '../lib/i18n.js';
import { num, dateTime, duration } from '../lib/format.js';
import { paint, since, live } from '../lib/live.js';
import { get, may, post } from '../lib/api.js';
import { attempt, toast, whyNot, empty, heads } from '../lib/ui.js';

let data = null;
let heard = '';
export async function enter() {
  data = (await attempt(() => get('/alerts'))) || data;
  paint();
}
// What an alert concerns, by its name if the page knows it: "campaign 3", "line 2", "site main".
export function concerns(about) {
  const [kind, id] = about.split(' ');
  const known = { campaign: live.state.campaigns, line: live.state.lines }[kind]?.[id];
  return known ? known.name : about;
}
const acknowledge = async (key) => { data = (await attempt(() => post('/alerts/acknowledge', { key }))) || data; paint(); };
const tryAll = async () => { if (await attempt(() => post('/alerts/try'))) { toast(t('alerts.tried')); await enter(); } };

function open(a) {
  return h('tr', { key: a.key },
    h('th', { scope: 'row' }, h('span', { class: 'mark act' }, icon('alert'), ` ${word('alert', a.code)}`)), h('td', null, concerns(a.about)), h('td', { class: 'n num' }, duration(since(a.since))),
    h('td', null, a.acknowledged_by ? t('alerts.seen_by', { who: a.acknowledged_by, at: dateTime(a.acknowledged_at) })
      : may('steer') ? h('button', { 'data-store': true, disabled: Boolean(whyNot()), onclick: () => acknowledge(a.key) }, t('alerts.acknowledge')) : '—'));
}
const details = (d) => Object.entries(d).map(([name, value]) => `${name} ${typeof value === 'number' ? num(value) : value}`).join(' · ');

// What raises an alert, always: limits are those of the campaigns, lines and settings.
const RULES = ['caller_id_resting', 'line_resting', 'line.minutes', 'campaign_suspended', 'originating_off', 'read_missing', 'database_older', 'click2call.quota', 'click2call.failures', 'click2call.no_line', 'recording_failed', 'recordings_disk_full', 'webhook.dead', 'work_failed'];
const rules = () => h('section', { class: 'card' }, h('h2', null, t('alerts.rules')), h('ul', { class: 'list', 'data-rules': true }, RULES.map((code) => h('li', { key: code }, word('alert', code)))));

export function view() {
  if (!data) return empty('loading');
  const now = JSON.stringify(Object.values(live.state.system)[0]?.alerts || []);
  if (heard !== now) { heard = now; setTimeout(enter); } // the stream says that one opened or closed
  return [
    h('section', { class: 'card' }, h('h1', null, t('nav.alertes')),
      data.open.length === 0 ? empty('alerts.none') : h('table', { class: 'grid' }, h('caption', { class: 'sr' }, t('alerts.open')), heads('alerts.', ['what', 'about', 'since', 'seen'], ['since']), h('tbody', null, data.open.map(open)))),
    h('section', { class: 'card' }, h('div', { class: 'toolbar' }, h('h2', null, t('alerts.sinks')), h('span', { class: 'grow' }), may('administer') && h('button', { disabled: Boolean(whyNot()), onclick: tryAll }, t('alerts.try'))),
      h('ul', { class: 'list' }, h('li', null, t('alerts.log')), h('li', null, data.mail_to ? t('alerts.mail', { n: num(data.mail_to) }) : t('alerts.no_mail')), h('li', null, t('alerts.webhooks', { n: num(data.webhooks) })))),
    rules(),
    h('section', { class: 'card' }, h('h2', null, t('alerts.told')),
      data.told.length === 0 ? empty('alerts.none_told') : h('table', { class: 'grid' }, h('caption', { class: 'sr' }, t('alerts.told')), heads('alerts.', ['at', 'what', 'about']), h('tbody', null, data.told.map((a, i) => h('tr', { key: `${a.at}${i}` }, h('td', { class: 'num' }, dateTime(a.at)), h('th', { scope: 'row' }, word('alert', a.details.code || a.topic)), h('td', null, details(a.details)))))))];
}
