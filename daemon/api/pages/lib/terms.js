// The pacing's sentence with a definition behind each of its terms. The daemon's words stay as they are: they are cut where
// it put its commas, and each piece is a button. One stop of the Tab key a sentence; the arrows go from term to term.
import { h } from './dom.js';
import { explain, openExplained } from './explain.js';

const HEAD = /^((?:placing \d+|\d+\sappels? lancés?)\s?:) (.*?)(?: \(([^()]*)\))?$/; // \s: French figures and signs have narrow spaces
const PIECES = [
  [/\sready$|\sprêts?$/, 'ready'], [/\sexpected free$|\sattendus?$/, 'expected'], [/\sanswer$|^réponse\s/, 'answer'], [/^ris[kq]/, 'risk'],
  [/\sallowed$|\spermis$/, 'allowed'], [/\sin flight$|\sen cours$/, 'in_flight'], [/^hung up |raccroch/, 'hung_up'],
];
const termOf = (text) => PIECES.find(([pattern]) => pattern.test(text))?.[1];
// [[what stands before, text, its term or undefined], …]; a button is a box of its own, and a bracket outside it could be
// parted from it by the end of a line. null: this is no sentence of the pacing.
export function pieces(sentence) {
  const found = HEAD.exec(sentence);
  if (!found) return null;
  const [, head, middle, limit] = found;
  return [['', head, 'placing'], ...middle.split(', ').map((text, i) => [i ? ', ' : ' ', text, termOf(text)]), ...(limit ? [[' ', `(${limit})`, 'limit']] : [])];
}

function move(e) {
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[e.key];
  if (!step) return;
  const all = [...e.currentTarget.querySelectorAll('.term')];
  const at = Math.min(all.length - 1, Math.max(0, all.indexOf(document.activeElement) + step));
  all[at].focus();
  e.preventDefault();
}
// `key`: whose sentence. It stands still while it is pointed at or has the focus.
const held = new Map();
export function termed(latest, key) {
  const still = held.has(key) && pieces(latest) && document.querySelector(`[data-terms="${key}"]:is(:hover, :focus-within)`);
  if (!still) held.set(key, latest);
  const sentence = held.get(key);
  const found = pieces(sentence);
  if (!found) { held.delete(key); return sentence; }
  const names = found.filter(([, , term]) => term).map(([, , term]) => `term.${term}`);
  return h('span', { key: 'terms', 'data-terms': key, onkeydown: move }, found.map(([before, text, term]) => [before,
    term ? h('button', { key: term, class: 'term', type: 'button', tabindex: term === 'placing' ? 0 : -1, ...explain(`term.${term}`), onclick: () => openExplained(names, `term.${term}`) }, text) : text]));
}
