// What is shown, and when it is asked for again.
//
// A view is a function of the route: it puts itself into `main` and gives `refresh`, which asks and
// shows what has changed. One question is under way at a time; a view that is left is not heard any more.

import {get, has} from './api.js';
import {anomalies} from './anomalies.js';
import {anomaly} from './anomaly.js';
import {incident, incidents} from './incidents.js';
import {maintenance} from './maintenance.js';
import {series, seriesList} from './series.js';
import {status} from './status.js';
import {arrow, count, reason} from './words.js';

const EVERY_MS = 5000;
const TITLE = 'saimon';
const main = document.getElementById('main'), trouble = document.getElementById('trouble');
const news = document.getElementById('news'), live = document.getElementById('live');
/** By the first part of the address: the view of all, and that of one. */
const VIEWS = {'': [anomalies], anomalies: [anomalies, anomaly], incidents: [incidents, incident], series: [seriesList, series], maintenance: [maintenance], status: [status]};

let view, turn = 0, timer, isLive = true, known;

/** `#/section/id?query` in its parts. */
function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const [section = '', id] = path.split('/').map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  return {section, id: id || undefined, query: new URLSearchParams(query)};
}

function open() {
  const at = route(), of = VIEWS[at.section] ?? VIEWS[''];
  turn += 1;
  view?.leave?.();
  main.replaceChildren();
  view = (at.id && of[1] ? of[1] : of[0])(main, at);
  const name = at.section === '' ? 'anomalies' : at.section;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.section === name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  scrollTo(0, 0);
  refresh();
}

async function refresh() {
  clearTimeout(timer);
  const mine = turn;
  try {
    await Promise.all([view.refresh(), heads()]);
    if (mine === turn) say('');
  } catch (error) {
    if (mine === turn && error.name !== 'AbortError') say(error);
  }
  if (mine === turn && isLive && !document.hidden) timer = setTimeout(refresh, EVERY_MS);
}

function say(error) {
  const text = error ? error.message ?? String(error) : '';
  if (error && !('status' in error)) console.error(error);
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = !text;
  document.body.classList.toggle('stale', Boolean(text));
}

/** What began since the last time is said, whichever view is open. */
async function heads() {
  let open;
  try {
    open = (await get('/api/v1/anomalies', {state: 'active', limit: 100})).anomalies;
  } catch (error) {
    if (error.status === 404) return;
    throw error;
  }
  document.title = open.length ? `(${open.length}${open.length === 100 ? '+' : ''}) ${TITLE}` : TITLE;
  const ids = new Set(open.map((a) => a.id));
  const fresh = known ? open.filter((a) => !known.has(a.id)) : [];
  known = ids;
  if (fresh.length === 1) news.textContent = `New anomaly: ${fresh[0].severity}, ${reason(fresh[0].reason)} ${arrow(fresh[0].direction)} of ${fresh[0].metric_name}${fresh[0].instance ? ` on ${fresh[0].instance}` : ''}`;
  else if (fresh.length) news.textContent = `${count(fresh.length, 'new anomaly', 'new anomalies')}, the first of ${fresh.at(-1).metric_name}`;
}

live.addEventListener('click', () => {
  isLive = !isLive;
  live.setAttribute('aria-pressed', String(isLive));
  document.getElementById('live-text').textContent = isLive ? 'Live' : 'Paused';
  if (isLive) refresh(); else clearTimeout(timer);
});
document.addEventListener('visibilitychange', () => { if (!document.hidden && isLive) refresh(); });
addEventListener('hashchange', open);
addEventListener('saimon:refresh', refresh);
let width = innerWidth;
addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; view?.resize?.(); } });
open();

for (const [section, path] of [['incidents', '/api/v1/incidents'], ['maintenance', '/api/v1/maintenance']]) {
  has(path).then((there) => { document.querySelector(`nav a[data-section=${section}]`).hidden = !there; }).catch(() => {});
}
