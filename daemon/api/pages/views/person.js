// One person in the drawer: who, where, what was said and tried, by which proof each call was allowed.
import { h, icon } from '../lib/dom.js';
import { lang, t, word, has } from '../lib/i18n.js';
import { num, dateTime, phone } from '../lib/format.js';
import { paint } from '../lib/live.js';
import { get } from '../lib/api.js';
import { attempt, ui, closer, closeDrawer, rowName, empty } from '../lib/ui.js';
import { place } from '../lib/place.js';

export const nameOf = (lead) => `${lead.first_name || ''} ${lead.last_name || ''}`.trim() || lead.company || '—';
export const numberOf = (lead) => (!lead.e164 || lead.e164.startsWith('~') ? '—' : phone(lead.e164));
const ruleWord = (rule) => (rule === 'dnc' ? word('rule', rule) : has(`rule.${rule}`) ? t(`rule.${rule}`) : rule);

// Rule by rule: what was known, and whether it allowed the call.
export const proofs = (rows) => h('ul', { class: 'list proofs' }, rows.map((e) => h('li', { key: e.rule, class: e.allowed ? '' : 'binding' },
  h('span', { class: e.allowed ? 's-ready' : 'mark act' }, icon(e.allowed ? 'ready' : 'alert'), h('span', { class: 'sr' }, t(e.allowed ? 'proof.allows' : 'proof.forbids'))),
  h('span', null, h('b', null, t(`proof.${e.rule}`) === `proof.${e.rule}` ? ruleWord(e.rule) : t(`proof.${e.rule}`)), ` ${lang === 'fr' ? e.known_fr : e.known} `, h('span', { class: 'muted' }, ['dnc', 'number', 'rule_set'].includes(e.rule) ? '' : e.clause)))));

// The calls made to a person, newest first, each with its proof folded under it.
export function account(calls) {
  if (calls.length === 0) return empty('proof.no_call');
  return calls.map((c) => h('details', { key: c.number, class: 'section' },
    h('summary', null, dateTime(c.at), ' ', c.allowed === null ? t('proof.no_rules') : h('span', { class: c.allowed ? 's-ready' : 'mark act' }, icon(c.allowed ? 'ready' : 'alert'), ' ', t(c.allowed ? 'proof.was_allowed' : 'proof.was_not')), h('span', { class: 'muted' }, ` ${rowName('campaigns', c.campaign_id)} · ${c.rule_set}`)),
    c.evidence.length > 0 && proofs(c.evidence)));
}

const entry = (x) => ({
  refusal: () => `${t('lead.refused')} ${ruleWord(x.rule)}`,
  callback: () => t('lead.callback', { at: dateTime(x.due_at) }),
}[x.type] || (() => `${word('outcome', x.outcome)} ${x.disposition || ''} ${x.notes || ''}`))();

export async function openLead(lead) {
  const history = (await attempt(() => get(`/leads/${lead.id}/history`))) || [];
  let made = null;
  const prove = async () => { made = (await attempt(() => get(`/leads/${lead.id}/lawfulness`))) || []; paint(); };
  const where = place(lead);
  const held = lead.blocked_by || lead.eligible_at;
  addEventListener('hashchange', closeDrawer, { once: true });
  ui.drawer = () => [
    h('h2', null, nameOf(lead), closer()),
    h('p', { title: lead.e164 }, numberOf(lead), lead.company ? ` · ${lead.company}` : ''),
    where && h('p', { 'data-place': true, title: [lead.address1, lead.postal_code, lead.city, lead.state].filter(Boolean).join(' ') }, where),
    held && h('p', { class: 'muted' }, t('lead.held', { by: lead.blocked_by ? word('blocked', lead.blocked_by) : word('blocked', 'waiting'), until: lead.eligible_at ? dateTime(lead.eligible_at) : t('held.never') })),
    h('h2', null, t('lead.history')),
    history.length === 0 ? empty('lead.no_history') : h('ul', { class: 'list' }, history.map((x, i) => h('li', { key: i }, h('span', { class: 'num muted' }, dateTime(x.at)), entry(x)))),
    h('h2', null, t('proof.title'), made && h('span', { class: 'muted' }, num(made.length))),
    made === null ? h('button', { 'data-store': true, onclick: prove }, t('proof.show')) : account(made),
  ];
  paint();
}
