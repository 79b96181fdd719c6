// Requests to the daemon: JSON both ways, CSRF on writes, problems as ApiProblem with the API's code and parameters.
import { lang } from './i18n.js';

const ANSWER_MS = 60000; // a command that has no answer by then has none
export const session = { who: null };

export class ApiProblem extends Error {
  constructor(body, status, writes = false) {
    super(body.detail || body.code || `HTTP ${status}`);
    this.code = body.code || 'internal';
    this.status = status;
    this.writes = writes;
    this.details = body.details || {};
    this.requestId = body.request_id || '';
  }
}

export async function request(method, path, body, headers = {}) {
  const init = { method, headers: { Accept: 'application/json', 'Accept-Language': lang, ...headers }, credentials: 'same-origin' };
  const writes = method !== 'GET';
  const { who } = session;
  if (writes && !(body instanceof Blob)) init.signal = AbortSignal.timeout(ANSWER_MS);
  if (writes && session.who) init.headers['X-CSRF-Token'] = session.who.csrf;
  if (body instanceof Blob) init.body = body;
  else if (body !== undefined) { init.body = JSON.stringify(body); init.headers['Content-Type'] = 'application/json'; }
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiProblem({ code: writes ? 'no_answer' : 'page_offline' }, 0, writes); // what was sent may have arrived
  }
  if (response.status === 204) return { data: null, etag: '' };
  const data = await response.json().catch(() => ({}));
  if (!response.ok) {
    if (response.status === 401 && who && session.who) window.dispatchEvent(new Event('cadran:signed-out'));
    throw new ApiProblem(data, response.status, writes);
  }
  return { data, etag: response.headers.get('ETag') || '' };
}

export const get = async (path) => (await request('GET', '/api/v1' + path)).data;
export const post = async (path, body) => (await request('POST', '/api/v1' + path, body)).data;
export const patch = (path, body, etag) => request('PATCH', '/api/v1' + path, body, { 'If-Match': etag || '*' });
export const remove = (path, etag) => request('DELETE', '/api/v1' + path, undefined, { 'If-Match': etag || '*' });

export async function all(path) {
  const rows = [];
  let after = 0;
  do {
    const page = await get(`${path}?limit=500&after=${after}`);
    rows.push(...page.rows);
    after = page.next_after;
  } while (after);
  return rows;
}

export const may = (right) => Boolean(session.who && session.who.rights.includes(right));

export async function signIn(token) {
  session.who = null;
  session.who = (await request('POST', '/api/v1/session', { token })).data;
}
export async function whoAmI() {
  session.who = (await request('GET', '/api/v1/session')).data;
}
export async function signOut() {
  await request('DELETE', '/api/v1/session').catch(() => {});
  session.who = null;
}
