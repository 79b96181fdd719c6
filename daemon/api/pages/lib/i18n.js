// Words: one catalogue a language with the same keys (tests compare them). French spacing is applied here, once.
let words = {};
export let lang = 'fr';
export let locale = 'fr-FR';
let plural = new Intl.PluralRules('fr-FR');

export const typeset = (text) => text
  .replace(/ ([;?!%])/g, '\u202f$1').replace(/ ([:»])/g, '\u00a0$1').replace(/« /g, '«\u00a0').replace(/'/g, '’')
  .replace(/(\d) (?=\d{3}(?!\d))/g, '$1\u202f').replace(/(\d|\}) (?=(?:s|h|min|j|ms|€)(?![\p{L}]))/gu, '$1\u00a0');

export async function load(which) {
  lang = which === 'en' ? 'en' : 'fr';
  locale = lang === 'en' ? 'en-GB' : 'fr-FR';
  plural = new Intl.PluralRules(locale);
  const found = await (await fetch(`/static/words/${lang}.json`)).json();
  words = lang === 'fr' ? Object.fromEntries(Object.entries(found).map(([k, v]) => [k, typeset(v)])) : found;
  document.documentElement.lang = lang;
  localStorage.setItem('cadran.lang', lang);
}

export const chosen = () => localStorage.getItem('cadran.lang')
  || ((navigator.language || 'fr').startsWith('en') ? 'en' : 'fr');

export const has = (key) => key in words;

// t('desk.attempts', {n: 3}): {n} is replaced; a key that also exists as key.one is a plural.
export function t(key, values) {
  let text = words[key];
  if (values && 'n' in values && words[`${key}.one`] !== undefined && plural.select(Number(values.n)) === 'one') {
    text = words[`${key}.one`];
  }
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (_, name) => (values && values[name] !== undefined ? String(values[name]) : '?'));
}

// A word of a set, or the bare code when the set does not know it (a newer daemon).
export const word = (set, code) => (code === '' || code === null || code === undefined ? '—' : has(`${set}.${code}`) ? t(`${set}.${code}`) : code);
