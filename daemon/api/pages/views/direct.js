// Direct: what dials, what stops the rest, is abandonment safe, who talks, who needs me. The floor supervisor's page.
import { h, icon } from '../lib/dom.js';
import { t, word, lang, typeset } from '../lib/i18n.js';
import { num, pct, duration, clock } from '../lib/format.js';
import { live, since, paint } from '../lib/live.js';
import { post, may } from '../lib/api.js';
import { explain } from '../lib/explain.js';
import { termed } from '../lib/terms.js';
import { ahead } from './ahead.js';
import { fewAnswers } from './answers.js';
import { concerns } from './alerts.js';
import * as first from './first.js';
import { begin, plots } from './plots.js';
import { STATE_ICON, meter, roomText, levelMark, request, waiting, whyNot, confirm, toast, siteDown, windowLevel, empty, heads, grid } from '../lib/ui.js';

const STATES = ['on_call', 'ready', 'reserved', 'ringing', 'on_hold', 'wrap_up', 'paused', 'unreachable'];
const STAGES = ['dialling', 'ringing', 'answered', 'waiting', 'talking'];
export const CALLS_SHOWN_MAX = 40;

export const campaigns = () => Object.values(live.state.campaigns).sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
const rank = (c) => ({ running: 0, paused: 1 }[c.state] ?? 2);

export function agentCounts(rows = Object.values(live.state.agents)) {
  const counts = { total: 0, over: 0 };
  for (const agent of rows) {
    counts[agent.state] = (counts[agent.state] || 0) + 1;
    if (agent.state !== 'signed_out') counts.total += 1;
    if (agent.over_run) counts.over += 1;
  }
  return counts;
}

function occupancy() {
  let handling = 0;
  let ready = 0;
  for (const agent of Object.values(live.state.agents)) { handling += agent.today?.handling_s || 0; ready += agent.today?.ready_s || 0; }
  return handling + ready > 0 ? handling / (handling + ready) : null;
}

function summary() {
  const counts = agentCounts();
  const calls = Object.values(live.state.calls);
  const stages = {};
  for (const call of calls) stages[call.stage] = (stages[call.stage] || 0) + 1;
  const trunks = Object.values(live.state.lines).filter((l) => l.kind === 'trunk');
  const down = Object.values(live.state.links).some((l) => !l.up);
  const shown = (n) => (down ? '?' : num(n));
  return h('section', { class: 'kpis', 'aria-label': t('direct.summary') },
    h('div', { class: 'kpi' },
      h('h2', null, t('direct.agents')), h('b', { class: 'figure' }, num(counts.total)),
      STATES.filter((s) => counts[s] || ['on_call', 'ready', 'paused'].includes(s)).map((s) =>
        h('span', { class: `count s-${s}`, key: s, ...explain(`state.${s}`) }, icon(STATE_ICON[s]), ` ${word('state', s)} `, h('b', null, num(counts[s] || 0)),
          s === 'paused' && counts.over > 0 && h('span', { class: 'mark watch' }, ' ', icon('watch'), t('direct.over', { n: counts.over })))),
      h('span', { class: 'count right', ...explain('occupancy') }, t('direct.occupancy'), ' ', h('b', null, pct(occupancy())))),
    h('div', { class: 'kpi' },
      h('h2', null, t('direct.calls')), h('b', { class: 'figure' }, shown(calls.length)),
      STAGES.map((s) => h('span', { class: 'count', key: s, ...explain(`stage.${s}`) }, `${word('stage', s)} `, h('b', null, shown(stages[s] || 0)))),
      h('span', { class: 'count right' }, t('direct.lines'), ' ',
        h('b', null, `${shown(trunks.reduce((n, l) => n + l.in_use, 0))}/${num(trunks.reduce((n, l) => n + (l.state === 'off' ? 0 : l.capacity), 0))}`))));
}

// ---- campaigns ------------------------------------------------------------------------------------------------
export function setSpeed(c, wanted) {
  const from = c.speed;
  if (wanted < 0 || wanted > 10 || wanted === from) return;
  const tight = c.windows.some((w) => w.abandoned > 0 && w.room < 3);
  const send = () => request(`speed:${c.id}`, wanted, () => live.state.campaigns[c.id]?.speed === wanted,
    () => post(`/campaigns/${c.id}/tune`, { speed: wanted, from_speed: from }));
  if (wanted >= 7 && wanted > from && tight) {
    confirm({ title: t('speed.tight', { name: c.name, speed: wanted }), body: t('speed.tight_body'), verb: t('speed.raise'), act: send });
  } else send();
}

export function stepper(c) {
  if (c.mode !== 'predictive') return h('span', { class: 'muted' }, '—');
  const asked = waiting(`speed:${c.id}`);
  const base = asked ? asked.wanted : c.speed;
  const off = whyNot();
  return h('span', { class: 'stepper' },
    h('b', { class: 'figure' }, num(c.speed)),
    asked && h('span', { class: `asked ${asked.slow ? 'slow' : ''}`, title: asked.late ? t('pending.late') : t('pending.asked') }, `→ ${num(asked.wanted)}${asked.late ? ' ?' : ''}`),
    may('steer') && [
      h('button', { 'aria-label': t('speed.down', { name: c.name }), disabled: Boolean(off) || base <= 0, title: off, onclick: () => setSpeed(c, base - 1) }, '−'),
      h('button', { 'aria-label': t('speed.up', { name: c.name }), disabled: Boolean(off) || base >= 10, title: off, onclick: () => setSpeed(c, base + 1) }, '+')]);
}

const inState = (id, state) => () => live.state.campaigns[id]?.state === state;
export function steer(c, verb) {
  const target = { start: 'running', pause: 'paused', stop: 'stopped' }[verb];
  const send = (body) => request(`state:${c.id}`, target, inState(c.id, target), () => post(`/campaigns/${c.id}/${verb}`, body));
  if (verb === 'stop') {
    const talking = c.stages.talking || 0;
    const up = (c.stages.dialling || 0) + (c.stages.ringing || 0);
    confirm({
      title: t('stop.title', { name: c.name }),
      body: t('stop.body', { talking: num(talking), ringing: num(up) }),
      check: up > 0 && t('stop.hang_up', { n: up }), verb: t('do.stop'), act: ({ checked }) => send({ hang_up_ringing: checked }),
    });
    return undefined;
  }
  const before = c.state;
  const sent = send();
  const back = { running: 'start', paused: 'pause', stopped: 'stop' }[before];
  if (verb === 'pause') toast(t('pause.done', { name: c.name }), { undo: () => steer(live.state.campaigns[c.id] || c, back) });
  return sent;
}

export function controls(c) {
  if (!may('steer')) return null;
  const asked = waiting(`state:${c.id}`);
  const off = whyNot();
  const button = (verb, glyph) => h('button', { key: verb, class: verb === 'start' ? 'go' : '', disabled: Boolean(off || asked), title: off, 'aria-label': `${t(`do.${verb}`)} ${c.name}`, onclick: () => steer(c, verb) }, icon(glyph), ' ', t(`do.${verb}`));
  return h('span', { class: 'controls' },
    asked && h('span', { class: 'asked slow' }, t('pending.asked')),
    c.state === 'running' ? button('pause', 'pause') : button('start', 'play'),
    c.state !== 'stopped' && button('stop', 'stop'));
}

export const modeWord = (c) => (c.mode === 'predictive' ? t('mode.predictive', { level: c.level }) : word('mode', c.mode));
export const why = (c) => (siteDown(c.site) ? t('why.pbx', { site: c.site }) : lang === 'fr' ? typeset(c.why_fr || '') : c.why || '');
const win = (c, name) => c.windows.find((w) => w.name === name || (name === '30d' && ['30d', '30_days'].includes(w.name)));
export const dueOf = (c) => c.leads.due;

function answered(c) {
  const few = fewAnswers(c);
  return h('td', { class: 'n', ...explain('col.answer') }, few && [levelMark(few.level, false, t('ahead.answers', { now: pct(few.now), mean: pct(few.mean) })), ' '], c.answer_rate === null ? '—' : pct(c.answer_rate));
}
function campaignRows(c) {
  const windows = c.windows.filter((w) => w.abandoned > 0 || w.live > 0);
  const least = windows.reduce((m, w) => (m === null || w.room < m.room ? w : m), null);
  const running = c.state === 'running';
  const agents = Object.values(c.agents || {}).reduce((a, b) => a + b, 0);
  const dialling = running && !c.suspended && !siteDown(c.site) && c.causes.slice(0, 5).every((x) => x.ok);
  return [
    h('tr', { key: `c${c.id}`, class: `campaign ${c.state}` },
      h('th', { scope: 'row' },
        h('span', { class: `dot ${running ? (dialling ? 'on' : 'held') : 'off'}` }, icon(running ? 'dot' : c.state === 'paused' ? 'pause' : 'off'), h('span', { class: 'sr' }, word('campaign_state', c.state))),
        ' ', h('a', { href: `#/campagnes/${c.id}` }, c.name)),
      h('td', null, modeWord(c)),
      h('td', { class: 'n' }, stepper(c)),
      h('td', { class: 'n' }, num(agents), ' ', h('span', { class: 's-on_call nowrap' }, num(c.agents.on_call || 0), icon('call'))),
      h('td', { class: 'n', ...explain('col.wait') }, c.wait_s === null ? '—' : `${num(c.wait_s)} s`),
      answered(c),
      ['hour', 'day', '30d'].map((name) => h('td', { key: name, class: 'n', 'data-explain': `col.${name === '30d' ? 'month' : name}` }, meter(win(c, name), t(`window.${name}`)))),
      h('td', { class: 'n', ...explain('col.room') }, least ? h('span', { title: least.abandoned || least.room > 0 ? false : t('abandon.from_tip', { n: num(Math.ceil(1 / least.ceiling)), live: num(least.live) }) }, roomText(least), levelMark(windowLevel(least))) : '—'),
      h('td', { class: 'n', ...explain('col.due') }, dueOf(c) === undefined ? '?' : num(dueOf(c)))),
    h('tr', { key: `w${c.id}`, class: 'why' },
      h('td', { colspan: 8 }, c.suspended && h('span', { class: 'mark act' }, icon('alert'), ` ${c.suspended} `), termed(why(c), c.id),
        ' ', h('a', { href: `#/campagnes/${c.id}` }, t('direct.why'))),
      h('td', { colspan: 3, class: 'n' }, controls(c))),
  ];
}

function campaignTable() {
  const rows = campaigns();
  const ceiling = rows.length && rows[0].windows.length ? rows[0].windows[0].ceiling : 0.03;
  const head = ['campaign', 'mode', 'speed', 'agents', 'wait', 'answer', 'hour', 'day', 'month', 'room', 'due'];
  return h('section', { class: 'card' },
    h('table', { class: 'grid campaigns' },
      h('caption', { class: 'sr' }, t('direct.campaigns')),
      h('thead', null, h('tr', null, head.map((name, i) => h('th', { scope: 'col', key: name, class: i > 1 ? 'n' : '', ...explain(`col.${name}`) }, t(`col.${name}`, { ceiling: num(ceiling * 100) }))))),
      h('tbody', null, rows.map(campaignRows))));
}

// ---- below: what needs a person, what changed, which calls --------------------------------------------------------
function attention() {
  const items = [];
  for (const a of Object.values(live.state.agents)) {
    if (a.over_run || a.state === 'unreachable') items.push({ key: `a${a.id}`, level: a.state === 'unreachable' ? 'act' : 'watch', text: `${a.extension} ${a.name}`, what: word('state', a.state) + (a.code ? ` ${a.code}` : ''), since: since(a.since) });
  }
  for (const l of Object.values(live.state.lines)) {
    if (l.state === 'resting' || l.state === 'unavailable') items.push({ key: `l${l.id}`, level: 'watch', text: l.name, what: word('line_state', l.state) + (l.reason ? ` : ${l.reason}` : '') });
  }
  items.push(...ahead());
  for (const alert of Object.values(live.state.system)[0]?.alerts || []) { const [code, about] = alert.split(': '); items.push({ key: alert, level: 'act', text: word('alert', code), what: concerns(about || '') }); }
  return h('section', { class: 'card' }, h('h2', null, t('direct.attention'), ' ', items.length > 0 && h('b', null, num(items.length))),
    items.length === 0 ? empty('direct.calm')
      : h('ul', { class: 'list' }, items.slice(0, 20).map((i) => h('li', { key: i.key }, levelMark(i.level), ` ${i.text} `, h('span', { class: 'muted' }, i.what), i.since !== undefined && h('span', { class: 'right num' }, duration(i.since))))));
}

const EVENTS_SHOWN = 60; // a page left open all day stays small
let allEvents = false;
let withCalls = true;
let frozen = null;
function events() {
  const list = (frozen || live.events).filter((e) => withCalls || e.kind !== 'call');
  const by = (e) => (e.values.by ? `, ${e.values.by}` : '');
  const name = (table, id) => live.state[table][id]?.name;
  const named = (e, table) => ({ ...e.values, name: name(table, e.values.id) || e.values.name || `#${e.values.id}` });
  const text = (e) => ({
    speed: () => t('event.speed', named(e, 'campaigns')) + by(e),
    mode: () => t('event.mode', { name: named(e, 'campaigns').name, mode: modeWord({ ...live.state.campaigns[e.values.id], ...e.values }) }) + by(e),
    campaign: () => t('event.campaign', { name: named(e, 'campaigns').name, state: word('campaign_state', e.values.state) }) + by(e),
    call: () => t('event.call', { number: num(Number(e.values.number)), who: name('agents', e.values.agent_id) || '—' }),
    link: () => t(e.values.up ? 'event.link_up' : 'event.link_down', e.values),
    agent: () => `${named(e, 'agents').name} : ${word('state', e.values.state)} ${e.values.code}`,
  }[e.kind] || (() => e.kind))();
  return h('section', { class: 'card' },
    h('h2', null, t('direct.events'), h('button', { class: 'quiet right', 'aria-pressed': String(withCalls), onclick: () => { withCalls = !withCalls; paint(); } }, t('direct.calls')), h('button', { class: 'quiet', 'aria-pressed': String(Boolean(frozen)), onclick: () => { frozen = frozen ? null : [...live.events]; paint(); } }, frozen ? t('do.unfreeze', { n: live.events.length - frozen.length }) : t('do.freeze'))),
    list.length === 0 ? empty('direct.no_events')
      : h('ul', { class: 'list events', tabindex: '0', 'aria-label': t('direct.events') }, list.slice(0, allEvents ? 500 : EVENTS_SHOWN).map((e, i) => h('li', { key: `${e.at}-${e.kind}-${list.length - i}`, title: name('campaigns', e.values.campaign_id) || false }, h('span', { class: 'num muted' }, clock(e.at)), ` ${text(e)}`)),
        !allEvents && list.length > EVENTS_SHOWN && h('li', { key: 'all' }, h('button', { class: 'quiet', onclick: () => { allEvents = true; paint(); } }, t('direct.all_events', { n: num(list.length) })))));
}

function calls() {
  const rows = Object.values(live.state.calls).sort((a, b) => (a.started < b.started ? 1 : -1));
  return h('section', { class: 'card' }, h('h2', null, t('direct.in_progress')),
    rows.length === 0 ? empty('direct.no_calls')
      : grid(heads('call.', ['number', 'campaign', 'stage', 'agent', 'line', 'since'], ['number', 'since']),
        rows.slice(0, CALLS_SHOWN_MAX).map((c) => h('tr', { key: c.id },
          h('td', { class: 'n' }, c.number ? num(c.number) : '…'),
          h('td', null, live.state.campaigns[c.campaign_id]?.name || word('kind', c.kind)),
          h('td', null, siteDown(c.site) ? '?' : word('stage', c.stage)),
          h('td', null, live.state.agents[c.agent_id]?.name || '—'),
          h('td', null, live.state.lines[c.line_id]?.name || '—'),
          h('td', { class: 'n num' }, duration(since(c.since)))))),
    rows.length > CALLS_SHOWN_MAX && h('p', { class: 'muted' }, t('direct.more_calls', { n: rows.length - CALLS_SHOWN_MAX })));
}

export const enter = () => { firstRun = false; begin(); };

export function suspendAll() {
  const running = Object.values(live.state.campaigns).filter((c) => c.state === 'running');
  const sum = (name) => running.reduce((n, c) => n + (c.stages[name] || 0), 0);
  const up = sum('dialling') + sum('ringing');
  confirm({
    title: t('suspend.title', { n: running.length }),
    body: t('stop.body', { talking: num(sum('talking')), ringing: num(up) }),
    check: up > 0 && t('stop.hang_up', { n: up }), verb: t('suspend.verb'),
    act: ({ checked }) => request('all', 'paused', () => !Object.values(live.state.campaigns).some((c) => c.state === 'running'), () => post('/campaigns/stop-all', { hang_up_ringing: checked })),
  });
}

let firstRun = false;
export function view() {
  if (!live.state.ready) return empty('loading');
  if (!Object.keys(live.state.campaigns).length) {
    if (!may('manage')) return [summary(), h('section', { class: 'card first' }, h('p', null, t('direct.first')))];
    if (first.left()) return [summary(), h('section', { class: 'card first' }, h('p', { class: 'empty' }, t('direct.none'), ' ', h('button', { class: 'primary', onclick: first.resume }, t('first.resume'))))];
    if (!firstRun) { firstRun = true; setTimeout(first.enter); } // what there is already of the three is asked for once
    return first.view();
  }
  firstRun = false;
  return [summary(), campaignTable(), h('div', { class: 'columns four' }, plots(campaigns()[0]?.windows[0]?.ceiling ?? 0.03), attention(), events()), calls()];
}
