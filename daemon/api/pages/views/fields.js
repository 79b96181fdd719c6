// What a campaign's settings show beyond the first lines: sections, the bounds the API keeps, fields inside an object.
// "amd_settings.greeting" is the field `greeting` of the object `amd_settings`; only objects that changed are sent.
import { h } from '../lib/dom.js';
import { t, has } from '../lib/i18n.js';
import { field, select } from '../lib/ui.js';

const AMD = ['initial_silence', 'greeting', 'after_greeting_silence', 'total_analysis_time', 'min_word_length', 'between_words_silence', 'maximum_words', 'silence_threshold', 'notsure_hangs_up'];
const INBOUND = ['dids', 'greeting', 'greeting_s', 'queue_max', 'wait_max_s', 'announce_every_s', 'overflow', 'closed_message', 'closed_message_s', 'skill', 'missed_call_owner', 'default_agent_id', 'call_back', 'show_name'];
export const SECTIONS = {
  agent: ['screen_pop_url', 'script', 'preview_timeout_s', 'extend_s'],
  machines: ['amd', ...AMD.map((name) => `amd_settings.${name}`), 'voicemail_message'],
  tape: ['recording'],
  law: ['business', 'running_contract', 'safe_message'],
  inbound: INBOUND.map((name) => `inbound.${name}`),
};
const BOUNDS = {
  'amd_settings.initial_silence': [0, 10000], 'amd_settings.greeting': [0, 10000], 'amd_settings.after_greeting_silence': [0, 5000], 'amd_settings.total_analysis_time': [0, 15000],
  'amd_settings.min_word_length': [0, 1000], 'amd_settings.between_words_silence': [0, 1000], 'amd_settings.maximum_words': [0, 20], 'amd_settings.silence_threshold': [0, 32767],
  'inbound.greeting_s': [0, 120], 'inbound.closed_message_s': [1, 120], 'inbound.wait_max_s': [5, 3600], 'inbound.queue_max': [0, 10000], 'inbound.announce_every_s': [0, 600], preview_timeout_s: [5, 3600], extend_s: [0, 600],
};

const part = (row, name) => { const [top, inner] = name.split('.'); return inner ? row[top]?.[inner] : row[top]; };
function input(name, value, row, options) {
  const own = (kind) => (options[kind] || []).filter((r) => r.group_id === row.group_id);
  if (name === 'inbound.dids') {
    const known = own('caller_id_ids').map((r) => r.e164);
    return h('select', { name, multiple: true, size: 5 }, [...new Set([...value, ...known])].map((e164) => h('option', { key: e164, value: e164, selected: value.includes(e164) }, e164)));
  }
  if (name === 'inbound.missed_call_owner') return select(name, value, ['pool', 'default_user'].map((o) => [o, t(`missed.owner_${o}`)]));
  if (name === 'inbound.default_agent_id') return select(name, value, [[0, '—'], ...own('agent_ids').map((r) => [r.id, `${r.extension} ${r.name}`])]);
  if (name === 'script') return h('textarea', { name, rows: 3, value: value ?? '' });
  if (typeof value === 'boolean') return h('input', { type: 'checkbox', name, checked: value });
  if (typeof value === 'number') { const [min, max] = BOUNDS[name] || [0, false]; return h('input', { type: 'number', step: 'any', name, value, min, max }); }
  return h('input', { name, value: value ?? '' });
}

// Folded; the section of the mode in force stands open.
export const sections = (row, options, mode) => Object.entries(SECTIONS).map(([name, fields]) => h('details', { key: name, class: 'wide section', 'data-section': name, open: name === 'inbound' && mode === 'inbound' },
  h('summary', null, t(`campaign.section.${name}`)),
  h('div', { class: 'form' }, fields.map((f) => field(t(`campaign.${f}`), h('span', null, input(f, part(row, f), row, options)), has(`campaign.${f}.hint`) && t(`campaign.${f}.hint`)))),
  name === 'inbound' && h('p', { class: 'muted' }, t('campaign.inbound.hours'), ' ', h('a', { href: `#/campagnes/${row.id}/horaires` }, t('tab.horaires')))));

export function changed(row, values) {
  const out = {};
  for (const [name, given] of Object.entries(values)) {
    const [top, inner] = name.split('.');
    const was = part(row, name);
    const now = typeof was === 'number' ? Number(given) : given;
    if (JSON.stringify(now) === JSON.stringify(was)) continue;
    out[top] = inner ? { ...(out[top] || row[top]), [inner]: now } : now;
  }
  return out;
}
