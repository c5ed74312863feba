// Questions to saimon's API. An answer that has not changed since is not sent again, nor read again.

/** An error as the API says it. */
export class Problem extends Error {
  constructor(status, detail, parameter) {
    super(detail);
    this.status = status;
    this.parameter = parameter;
  }
}

/** Answers that are remembered; the oldest go. */
const KEPT = 40;
const answers = new Map();

const address = (path, params = {}) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== '') query.append(name, one);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
};

async function failed(response) {
  let problem = {};
  try { problem = await response.json(); } catch { /* an answer of somebody between */ }
  const usual = {401: 'not signed in', 403: 'not allowed: another right is needed'}[response.status];
  return new Problem(response.status, problem.detail ?? usual ?? `saimon answers with status ${response.status}`, problem.parameter);
}

async function sent(url, options) {
  try {
    return await fetch(url, {credentials: 'same-origin', ...options});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, 'saimon cannot be reached');
  }
}

/** The answer to a GET. The same object as the last time if nothing has changed. */
export async function get(path, params, signal) {
  const url = address(path, params), known = answers.get(url);
  const headers = known ? {'If-None-Match': known.tag} : {};
  const response = await sent(url, {headers, signal, cache: 'no-store'});
  if (response.status === 304 && known) return known.body;
  if (!response.ok) throw await failed(response);
  const body = await response.json(), tag = response.headers.get('ETag');
  answers.delete(url);
  if (tag) answers.set(url, {tag, body});
  if (answers.size > KEPT) answers.delete(answers.keys().next().value);
  return body;
}

/** Sends something that changes something; what is answered, or null. */
export async function send(method, path, body) {
  const has = body !== undefined;
  const response = await sent(path, {
    method,
    headers: has ? {'Content-Type': 'application/json'} : {},
    body: has ? JSON.stringify(body) : undefined,
  });
  if (!response.ok) throw await failed(response);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

let description;

/** True if this saimon has such an endpoint, as its description says. */
export async function has(path, method = 'get') {
  description ??= get('/openapi.json').catch((error) => { description = undefined; throw error; });
  return Boolean((await description).paths[path]?.[method]);
}
