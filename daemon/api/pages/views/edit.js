// One row of the settings in a drawer: only changed fields are sent; what somebody else changed meanwhile is shown beside
// the field and nothing is overwritten until it is saved again.
import { h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { paint } from '../lib/live.js';
import { patch, remove, request as http } from '../lib/api.js';
import { attempt, complain, confirm, field, formValues, select, toast, ui, closer, closeDrawer } from '../lib/ui.js';

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const words = (text) => text.split(/[\s,;]+/).filter(Boolean);
const shown = (v) => (Array.isArray(v) ? v.join(', ') : v === true ? t('status.yes') : v === false ? t('status.no') : String(v));

function input({ name, choices, min = 0, max = false, max_length = 200, unit = 1 }, value) {
  if (choices) return select(name, value, choices);
  if (typeof value === 'boolean') return h('input', { type: 'checkbox', name, checked: value });
  if (typeof value === 'number') return h('input', { type: 'number', name, value: value / unit, min, max, required: true, step: unit > 1 ? 'any' : 1 });
  return h('input', { name, value: Array.isArray(value) ? value.join(', ') : value, maxlength: max_length });
}

// path: of the row; fields: [{name, label, hint, choices, min, max, unit}], `unit` times what is typed being what is stored;
// done(row): after it was saved; gone(): once deleted, offered only if given.
export async function edit({ path, title, fields, done, gone }) {
  const found = await attempt(() => http('GET', `/api/v1${path}`));
  if (!found) return;
  let { data: row, etag } = found;
  let theirs = {};
  const save = async (e) => {
    e.preventDefault();
    const values = formValues(e.target);
    const changes = {};
    for (const { name, unit = 1 } of fields) {
      const now = Array.isArray(row[name]) ? words(values[name]) : typeof row[name] === 'number' ? Number(values[name]) * unit : values[name];
      if (values[name] !== undefined && !same(now, row[name])) changes[name] = now;
    }
    if (!Object.keys(changes).length) { toast(t('save.nothing')); return; }
    try {
      const saved = await patch(path, changes, etag);
      toast(t('save.done'));
      closeDrawer();
      await done(saved.data);
    } catch (error) {
      const current = error.code === 'changed_meanwhile' && error.details.current;
      if (!current) { complain(error); return; }
      theirs = Object.fromEntries(fields.filter(({ name }) => !same(current[name], row[name])).map(({ name }) => [name, current[name]]));
      [row, etag] = [{ ...row, version: current.version }, `"${current.version}"`];
      toast(t('edit.meanwhile'), { kind: 'alert' });
    }
    paint();
  };
  const drop = () => confirm({
    title: t('edit.drop', { name: title }), body: t('edit.drop_body'), verb: t('do.delete'),
    act: async () => { if (await attempt(async () => (await remove(path, etag)) || true)) { closeDrawer(); await gone(); } },
  });
  ui.drawer = () => [
    h('h2', null, title, closer()),
    h('form', { class: 'form', key: path, 'data-edit': true, onsubmit: save },
      fields.map((f) => field(f.label, input(f, row[f.name]), f.name in theirs ? h('span', { class: 'mark watch' }, t('edit.theirs', { value: shown(f.unit ? theirs[f.name] / f.unit : theirs[f.name]) })) : f.hint)),
      h('div', { class: 'buttons wide' }, gone && h('button', { 'data-store': true, type: 'button', onclick: drop }, t('do.delete_dots')), h('button', { class: 'primary' }, t('do.save'))))];
  paint();
  requestAnimationFrame(() => document.querySelector('[data-edit] input, [data-edit] select')?.focus());
}
