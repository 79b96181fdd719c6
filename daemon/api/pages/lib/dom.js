// A small virtual DOM: views return plain trees, `mount` brings the page to that tree with the fewest changes.
// Text only, no innerHTML; elements keep their focus and their typed text, because they are changed in place.
const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'use', 'path', 'g', 'polyline', 'line', 'rect', 'circle', 'text', 'title']);

// A kid knows its place: the index it was written at, those that are absent counted, "2.0" inside an array. So what
// stands behind `condition && h(…)` or behind a list keeps its element when the condition or the list changes.
function place(kids, path, out) {
  kids.forEach((k, i) => {
    if (Array.isArray(k)) place(k, `${path}${i}.`, out);
    else if (k !== null && k !== undefined && typeof k !== 'boolean') {
      const v = typeof k === 'object' ? k : { text: String(k) };
      v.at = `${path}${i}`;
      out.push(v);
    }
  });
  return out;
}

export function h(tag, props, ...kids) {
  return { tag, props: props || {}, key: props ? props.key : undefined, at: '', kids: place(kids, '', []) };
}

// What is pressed and gives a promise is busy until that is kept: pressed again meanwhile, by pointer or by key, it does
// nothing, and says so (aria-busy); the focus stays. So no command goes out twice, whoever presses twice.
const busy = new WeakSet();
const once = (handler) => function press(event) {
  if (busy.has(this)) { event.preventDefault(); return; }
  const work = handler.call(this, event);
  if (!(work instanceof Promise)) return;
  const shown = event.submitter || this;
  busy.add(this);
  shown.setAttribute('aria-busy', 'true');
  work.finally(() => { busy.delete(this); shown.removeAttribute('aria-busy'); });
};

function setProp(el, name, value, before) {
  if (name === 'key') return;
  if (name === 'onclick' || name === 'onsubmit') { el[name] = value ? once(value) : null; return; }
  if (name.startsWith('on')) { el[name] = value || null; return; }
  if (name === 'style') {
    for (const [k, v] of Object.entries(value || {})) if (!before || before[k] !== v) el.style.setProperty(k, v);
    return;
  }
  if (name === 'value') {
    if (value !== before && (document.activeElement !== el || el.type === 'range')) el.value = value ?? '';
    return;
  }
  if (name === 'checked' || name === 'indeterminate') { if (value !== before) el[name] = Boolean(value); return; }
  if (value === before) return;
  if (value === false || value === null || value === undefined) el.removeAttribute(name);
  else el.setAttribute(name, value === true ? '' : value);
}

function create(v, inSvg) {
  if (v.tag === undefined) { v.el = document.createTextNode(v.text); return v.el; }
  const svg = v.tag === 'svg' || (inSvg && SVG_TAGS.has(v.tag));
  v.el = svg ? document.createElementNS(SVG, v.tag) : document.createElement(v.tag);
  // Before its options come: a list for one choice would keep only the last of those that are selected, or take the first.
  if (v.tag === 'select' && v.props.multiple) v.el.multiple = true;
  for (const kid of v.kids) v.el.appendChild(create(kid, svg));
  for (const [name, value] of Object.entries(v.props)) setProp(v.el, name, value, undefined);
  return v.el;
}

function update(old, v) {
  v.el = old.el;
  if (v.tag === undefined) { if (old.text !== v.text) v.el.data = v.text; return; }
  patchKids(v.el, old.kids, v.kids, v.tag === 'svg' || v.el.namespaceURI === SVG);
  for (const name of Object.keys(old.props)) if (!(name in v.props)) setProp(v.el, name, undefined, old.props[name]);
  for (const [name, value] of Object.entries(v.props)) setProp(v.el, name, value, old.props[name]);
}

// Which old kid each new one goes on as: by its key; else by its place; else the next of its tag that is left, a field of
// a form only under its own name (typed text must not move to another field).
const FIELD = new Set(['input', 'select', 'textarea']);
function partners(olds, news) {
  const keyed = new Map();
  const placed = new Map();
  for (const o of olds) {
    if (o.key === undefined) placed.set(o.at, o);
    else if (keyed.has(o.key)) keyed.get(o.key).push(o);
    else keyed.set(o.key, [o]);
  }
  const found = new Map();
  const used = new Set();
  const fits = (o, v) => o && o.tag === v.tag && !used.has(o) && (!FIELD.has(v.tag) || o.props.name === v.props.name);
  const take = (o, v) => { used.add(o); found.set(v, o); };
  for (const v of news) {
    const o = v.key === undefined ? placed.get(v.at) : keyed.get(v.key)?.shift();
    if (fits(o, v)) take(o, v);
  }
  for (const v of news) {
    if (found.has(v) || v.key !== undefined) continue;
    const o = olds.find((x) => x.key === undefined && fits(x, v));
    if (o) take(o, v);
  }
  return { found, used };
}

function patchKids(parent, olds, news, svg) {
  const { found, used } = partners(olds, news);
  for (const v of news) { const o = found.get(v); if (o) update(o, v); else create(v, svg); }
  for (const o of olds) if (!used.has(o)) o.el.remove();
  let cursor = parent.firstChild;
  for (const v of news) {
    if (v.el === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(v.el, cursor);
  }
}

const roots = new WeakMap();
export function mount(parent, ...kids) {
  const news = h('x', null, kids).kids;
  patchKids(parent, roots.get(parent) || [], news, false);
  roots.set(parent, news);
}

export const icon = (name) =>
  h('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true' }, h('use', { href: '#i-' + name }));
