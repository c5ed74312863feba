// Why a sample has the score that it has, as /api/v1/series/{id}/explain says it.

import {get} from './api.js';
import {h} from './dom.js';
import {count, duration, number, percent} from './words.js';

const seriesPath = (id) => `/api/v1/series/${encodeURIComponent(id)}`;

/** A panel; `show` takes the time of a sample, or nothing for the newest. */
export function explanation(id) {
  const box = h('div', {class: 'explain', 'aria-live': 'polite'});
  let asked, last;
  async function show(at) {
    const mine = (asked = {});
    let said;
    try {
      said = await get(`${seriesPath(id)}/explain`, {time: at});
    } catch (error) {
      if (mine !== asked) return;
      last = undefined;
      box.replaceChildren(h('p', {class: 'dim'}, error.status === 404 || error.status === 400 ? `Not to be explained: ${error.message}.` : error.message));
      return;
    }
    if (mine !== asked || said === last) return;
    last = said;
    box.replaceChildren(...content(said));
  }
  return {box, show};
}

function content(said) {
  const facts = [
    ['The day before', said.yesterday && number(said.yesterday.value)],
    ['The week before', said.last_week && number(said.last_week.value)],
    ['Season', said.season === 'day' ? 'the time of day counts' : 'none known'],
    ['Forest', said.learned?.forest && `version ${said.learned.forest.version}`],
    ['Learned from', said.learned && [count(said.learned.samples, 'value'), said.learned.span_seconds ? ` in ${duration(said.learned.span_seconds)}` : '']],
  ].filter(([, value]) => value);
  const parts = (said.detectors ?? []).filter((part) => part.share >= 0.005);
  return [
    ...(said.sentences ?? []).map((text) => h('p', {}, text)),
    said.rule ? h('p', {class: 'dim'}, `The rule ${said.rule} says more than the detectors.`) : null,
    parts.length ? shares('What says so', parts) : null,
    h('dl', {class: 'facts'}, facts.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))),
  ].filter(Boolean);
}

/** Detectors and their shares, as bars. */
export function shares(caption, parts) {
  return h('table', {class: 'shares'}, h('caption', {}, caption), h('tbody', {}, parts.map((part) => {
    const bar = h('span', {class: 'bar', 'aria-hidden': 'true'});
    bar.style.setProperty('--share', String(Math.min(1, part.share)));
    return h('tr', {}, h('th', {scope: 'row'}, part.part.replaceAll('_', ' ')), h('td', {class: 'num'}, percent(part.share)), h('td', {class: 'c-bar'}, bar));
  })));
}
