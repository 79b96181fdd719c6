// Where a person is, as far as the imported file told: city and department, in few words.
import { t } from './i18n.js';

// The department a French postal code lies in: overseas three digits, Corsica 2A and 2B.
export function department(lead) {
  const code = lead.postal_code || '';
  if ((lead.country_code && lead.country_code !== 'FR') || !/^\d{5}$/.test(code)) return '';
  if (/^9[78]/.test(code)) return code.slice(0, 3);
  if (code.startsWith('20')) return /^20[01]/.test(code) ? '2A' : '2B';
  return code.slice(0, 2);
}
export function place(lead) {
  const number = department(lead);
  const region = lead.state || (number && t('place.department', { number }));
  if (lead.city && number) return `${lead.city} (${number})`;
  return [lead.city, region].filter(Boolean).join(', ');
}
