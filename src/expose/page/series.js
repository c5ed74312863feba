// Series: which there are, and one with its values, what was expected of them, and why.

import {anomalyRow, anomalyTable, renew, severityMark} from './anomalies.js';
import {get} from './api.js';
import {chart} from './chart.js';
import {field, h, keyed, select, time} from './dom.js';
import {explanation} from './explain.js';
import {LINE, ago, arrow, bytes, clock, duration, labelsText, number, reason, score, selector} from './words.js';

const RANGES = [['1', '1 h'], ['3', '3 h'], ['12', '12 h'], ['24', '24 h']];
/** Samples of one picture; more than there are pixels would tell no more. */
const SAMPLES_MAX = 6000;
const path = (id) => `/api/v1/series/${encodeURIComponent(id)}`;

/**
 * A picture of a series between two times, which `span` gives. The band is worked out for each sample,
 * so what cannot be had with it is shown without.
 */
export function picture(id, {span, pick, at}) {
  const box = h('div', {class: 'panel chart-panel', 'aria-busy': 'true'}, h('p', {class: 'dim pad'}, 'Reading\u2026'));
  let drawn = {}, chosen = at;
  async function refresh(anomalies, counter) {
    const [from, to] = span(), between = {start_time: new Date(from).toISOString(), end_time: new Date(to).toISOString(), limit: SAMPLES_MAX};
    let window, note = '';
    if (!drawn.window) {
      // what there is at once, what has to be worked out after that
      try {
        drawn = {window: await get(`${path(id)}/window`, between), anomalies, counter, from, to, note};
        draw();
      } catch (error) {
        if (error.status !== 404 && error.status !== 400) throw error;
      }
    }
    try {
      window = await get(`${path(id)}/window`, {...between, scores: 'true'});
    } catch (error) {
      if (error.status !== 400 && error.status !== 404) throw error;
      if (error.status === 404) { box.replaceChildren(h('p', {class: 'dim pad'}, `No picture: ${error.message}.`)); box.removeAttribute('aria-busy'); return; }
      window = await get(`${path(id)}/window`, between);
      note = 'Too many samples to say again what was expected of them: choose a shorter time.';
    }
    if (drawn.window === window && drawn.anomalies === anomalies) return;
    drawn = {window, anomalies, counter, from, to, note};
    draw();
  }
  function draw() {
    const width = box.clientWidth - 24;
    if (!drawn.window || width <= 0) return;
    const focused = box.contains(document.activeElement) && document.activeElement.type === 'range';
    const {window, anomalies, counter, from, to, note} = drawn;
    const choose = (sample) => { chosen = sample.t; pick?.(sample); };
    box.replaceChildren(chart({samples: window.samples, from, to, spans: anomalies, width, counter, pick: choose, at: chosen}));
    if (window.truncated || note) box.append(h('p', {class: 'dim pad'}, note || 'Only the newest samples of this time are shown.'));
    if (focused) box.querySelector('input[type=range]')?.focus();
    box.removeAttribute('aria-busy');
  }
  return {box, refresh, draw};
}

/** The facts of a model. */
function model(of) {
  const m = of.model;
  if (!m) return [['Model', of.kind === 'asleep' ? 'put aside until the next sample' : 'none']];
  return [
    ['Usual interval', m.interval_seconds ? duration(m.interval_seconds) : '\u2013'],
    ['Values judged', m.samples.toLocaleString('en')],
    ['Level', number(m.level)], ['Usual distance', number(m.scale)],
    ['Season', m.season === 'day' ? 'day' : 'none known'],
    ['Forest', m.forest.version ? `version ${m.forest.version}` : m.forest.state.replaceAll('_', ' ')],
    ['Memory', bytes(m.bytes + (m.forest.bytes ?? 0))],
  ];
}

const now = (of) => (of.anomaly
  ? [severityMark(of.anomaly.severity), ` ${of.anomaly.state}: ${reason(of.anomaly.reason)} ${arrow(of.anomaly.direction)}`]
  : of.missing ? 'missing' : of.score === null ? (of.phase === 'warmup' ? 'no score yet' : 'no score now') : of.score >= LINE ? 'over the line' : 'as usual');

export function series(main, {id, query}) {
  let hours = RANGES.some(([value]) => value === query.get('hours')) ? query.get('hours') : '3';
  const title = h('h1', {class: 'series-title'}, id), sub = h('p', {class: 'labels'}), facts = h('dl', {class: 'facts'});
  const body = h('tbody', {}), none = h('p', {class: 'dim'}, 'No anomalies on record.');
  const why = explanation(id);
  let chosen;
  const span = () => { const step = hours * 30e3, to = Math.ceil(Date.now() / step) * step; return [to - hours * 3600e3, to]; };
  const drawing = picture(id, {span, pick: (sample) => { chosen = sample.time; why.show(chosen).catch(() => {}); }});
  const range = h('div', {class: 'segments', role: 'group', 'aria-label': 'Time shown'}, RANGES.map(([value, name]) => h('button', {
    type: 'button', 'data-hours': value, 'aria-pressed': String(value === hours),
    onclick: () => {
      hours = value;
      for (const button of range.children) button.setAttribute('aria-pressed', String(button.dataset.hours === hours));
      history.replaceState(null, '', `#/series/${encodeURIComponent(id)}?hours=${hours}`);
      dispatchEvent(new Event('saimon:refresh'));
    }}, name)));
  main.append(h('p', {class: 'crumb'}, h('a', {href: '#/series'}, 'Series')), h('div', {class: 'title-line'}, title, range), sub, drawing.box,
    h('div', {class: 'columns'},
      h('section', {class: 'panel pad', 'aria-labelledby': 'why'}, h('h2', {id: 'why'}, 'Why'), why.box),
      h('section', {class: 'panel pad', 'aria-labelledby': 'known'}, h('h2', {id: 'known'}, 'What is known'), facts)),
    h('section', {'aria-labelledby': 'past'}, h('h2', {id: 'past'}, 'Its newest anomalies'), anomalyTable('Newest anomalies of this series', body), none));
  let shown;
  async function refresh() {
    const of = await get(path(id));
    if (of !== shown) {
      shown = of;
      title.textContent = of.metric_name;
      sub.textContent = labelsText(of.labels);
      const all = [['Now', now(of)], ['Score', score(of.score)], ['Kind', of.kind], ['Phase', of.phase], ['Last sample', of.last_time ? time(of.last_time, ago(of.last_time), {'data-since': of.last_time}) : '\u2013'], ...model(of), ...feedback(of)];
      facts.replaceChildren(...all.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
      keyed(body, of.anomalies, (a) => a.id, (a) => anomalyRow(a));
      body.closest('.scroll').hidden = !of.anomalies.length;
      none.hidden = Boolean(of.anomalies.length);
    }
    renew(main);
    await Promise.all([drawing.refresh(of.anomalies, of.kind === 'counter'), chosen ? null : why.show()]);
  }
  return {refresh, resize: drawing.draw};
}

/** The lines that what people said of its anomalies has moved, as far as this saimon tells. */
function feedback(of) {
  const lines = (of.lines ?? of.feedback?.lines ?? []).map((line) => `${reason(line.reason)} \u00d7 ${number(line.factor)}`);
  return lines.length ? [['Line moved by feedback', lines.join(', ')]] : [];
}

export function seriesList(main, {query}) {
  const wanted = {q: query.get('match') ?? query.get('q') ?? '', phase: query.get('phase') ?? '', missing: query.get('missing') ?? ''};
  const body = h('tbody', {}), foot = h('p', {class: 'foot'}), bad = h('p', {class: 'bad', role: 'alert', hidden: true});
  const text = h('input', {type: 'search', name: 'q', value: wanted.q, placeholder: 'part of a name, or {job="node"}', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off'});
  let limit = 100, last;
  const changed = () => {
    limit = 100;
    const all = Object.entries(wanted).filter(([, value]) => value);
    history.replaceState(null, '', `#/series${all.length ? `?${new URLSearchParams(all)}` : ''}`);
    dispatchEvent(new Event('saimon:refresh'));
  };
  const choice = (name, label, options) => field(label, select({name, onchange: (event) => { wanted[name] = event.target.value; changed(); }}, options, wanted[name]));
  const form = h('form', {class: 'filters', role: 'search', 'aria-label': 'Find series', onsubmit: (event) => { event.preventDefault(); wanted.q = text.value; changed(); }},
    field('Series', text, {class: 'field wide'}),
    choice('phase', 'Phase', [['', 'Any phase'], ['warmup', 'Warm-up'], ['young', 'Young'], ['mature', 'Mature'], ['ended', 'Ended'], ['none', 'Not modelled']]),
    choice('missing', 'Sending', [['', 'Sending or not'], ['true', 'Missing'], ['false', 'Not missing']]));
  text.addEventListener('change', () => form.requestSubmit());
  const more = h('button', {type: 'button', class: 'quiet', hidden: true, onclick: () => { limit = Math.min(limit + 200, 1000); dispatchEvent(new Event('saimon:refresh')); }}, 'Show more');
  main.append(h('h1', {}, 'Series'), form, bad, h('div', {class: 'scroll'}, h('table', {class: 'list'}, h('caption', {class: 'unseen'}, 'Series'),
    h('thead', {}, h('tr', {}, [['Series'], ['Now'], ['Score', 'num'], ['Kind'], ['Phase'], ['Last sample', 'num']].map(([name, of]) => h('th', {scope: 'col', class: of}, name)))), body)), foot, more);
  async function refresh() {
    let page;
    try {
      page = await get('/api/v1/series', {'match[]': selector(wanted.q), phase: wanted.phase, missing: wanted.missing, limit});
    } catch (error) {
      if (error.status !== 400) throw error;
      bad.textContent = `This is no selector: ${error.message.replace(/^match\[\]: /, '')}`;
      bad.hidden = false;
      return;
    }
    bad.hidden = true;
    if (page !== last) {
      last = page;
      // one that fits and no other is what was meant: a link of an alert knows labels and no id
      if (query.has('match') && page.series.length === 1 && !page.next_page_token) { location.replace(`#/series/${page.series[0].id}`); return; }
      keyed(body, page.series, (of) => of.id, (of) => h('tr', {class: of.anomaly ? `row-${of.anomaly.severity}` : ''},
        h('th', {scope: 'row', class: 'c-series'}, h('a', {class: 'series-name', href: `#/series/${of.id}`}, h('b', {}, of.metric_name), h('span', {class: 'labels'}, labelsText(of.labels)))),
        h('td', {}, now(of)), h('td', {class: 'num'}, score(of.score)), h('td', {}, of.kind), h('td', {}, of.phase),
        h('td', {class: 'num'}, of.last_time ? time(of.last_time, ago(of.last_time), {'data-since': of.last_time}) : '\u2013')));
      foot.textContent = page.series.length ? `${page.series.length}${page.next_page_token ? ' and more' : ''} series, in the order of their ids` : 'No series that fit.';
      more.hidden = !page.next_page_token || limit >= 1000;
    }
    renew(body);
  }
  return {refresh, resize() {}};
}
