// Numbers, rates, durations, instants. 0, « — » (does not apply) and « ? » (unknown) are three different things.
import { lang, locale } from './i18n.js';

const cache = new Map();
function formatter(digits) {
  const key = locale + digits;
  if (!cache.has(key)) {
    cache.set(key, new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return cache.get(key);
}
export const num = (v, digits = 0) => (v === null || v === undefined ? '?' : formatter(digits).format(v));
const PERCENT = () => (lang === 'fr' ? '\u202f%' : '%');
export const pct = (v, digits = 0) => (v === null || v === undefined ? '—' : formatter(digits).format(v * 100) + PERCENT());

// Under 30 events a rate says nothing: « 2 sur 19 ».
export function share(count, total, of, digits = 1) {
  if (!total) return '—';
  if (total < 30) return of(num(count), num(total));
  return pct(count / total, digits);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return '?';
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(s / 3600);
  const rest = `${hours ? two(Math.floor(s / 60) % 60) : Math.floor(s / 60)}:${two(s % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

export const total = (seconds) => {
  const minutes = Math.round((seconds || 0) / 60);
  return `${Math.floor(minutes / 60)}\u00a0h\u00a0${String(minutes % 60).padStart(2, '0')}`;
};

const clockFormat = (withSeconds) => new Intl.DateTimeFormat(locale, {
  hour: '2-digit', minute: '2-digit', ...(withSeconds ? { second: '2-digit' } : {}), hourCycle: 'h23',
});
export const clock = (date, seconds = true) => clockFormat(seconds).format(date);
export const day = (date) => new Intl.DateTimeFormat(locale, { day: '2-digit', month: '2-digit' }).format(date);
export const date = (d) => new Intl.DateTimeFormat(locale, { day: '2-digit', month: '2-digit', year: 'numeric' }).format(d);
export const dateTime = (text) => {
  if (!text) return '—';
  const date = new Date(text);
  return `${day(date)} ${clock(date, false)}`;
};

// +33199001234 → 01 99 00 12 34 (pairs, as French numbers are read); others stay E.164. Masked digits pass through.
export function phone(e164) {
  if (!e164) return '—';
  const national = e164.startsWith('+33') ? `0${e164.slice(3)}` : e164;
  if (!/^0[\d•]{9}$/.test(national)) return e164;
  return national.match(/.{2}/g).join('\u00a0');
}
