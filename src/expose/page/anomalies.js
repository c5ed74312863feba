// Anomalies now and over time: what is under way, a timeline, a list, and filters for both.

import {get} from './api.js';
import {field, h, keyed, select, time} from './dom.js';
import {timeline} from './timeline.js';
import {REASONS, SEVERITIES, ago, arrow, clock, count, duration, labelsText, list, number, reason, score, selector} from './words.js';

const PAGE = 100, MOST = 1000;
const RANGES = [['1h', '1 hour', 1], ['6h', '6 hours', 6], ['24h', '24 hours', 24], ['7d', '7 days', 168], ['30d', '30 days', 720]];
const STATES = [['', 'Any'], ['pending,active', 'Under way'], ['active', 'Active'], ['pending', 'Pending'], ['resolved', 'Resolved']];

export const severityMark = (severity) => h('span', {class: `severity is-${severity}`}, severity);

/** The name of a series as a link to what is known of it, its labels below. */
export const seriesName = (a, href) => h('a', {class: 'series-name', href}, h('b', {}, a.metric_name), h('span', {class: 'labels'}, labelsText(a.labels)));

const lasted = (a) => (a.state === 'resolved' ? duration(a.duration_seconds ?? 0) : h('span', {class: `state is-${a.state}`}, a.state));

/** A row of a table of anomalies. */
export function anomalyRow(a, isNew) {
  const {value, expected} = a.peak;
  return h('tr', {class: `row-${a.severity}${isNew ? ' is-new' : ''}`},
    h('td', {class: 'c-severity'}, severityMark(a.severity)),
    h('th', {scope: 'row', class: 'c-series'}, seriesName(a, `#/anomalies/${encodeURIComponent(a.id)}`)),
    h('td', {class: 'c-what'}, `${reason(a.reason)} `, h('span', {'aria-label': a.direction}, arrow(a.direction))),
    h('td', {class: 'c-value num'}, number(value), expected === null ? null : h('span', {class: 'dim under'}, ` expected ${number(expected)}`)),
    h('td', {class: 'c-score num'}, score(a.peak.score)),
    h('td', {class: 'c-began num'}, time(a.start_time, clock(a.start_time, false)), h('span', {class: 'dim since', 'data-since': a.start_time}, ago(a.start_time))),
    h('td', {class: 'c-lasted num'}, lasted(a)));
}

export const anomalyTable = (caption, body) => h('div', {class: 'scroll'}, h('table', {class: 'anomalies'},
  h('caption', {class: 'unseen'}, caption),
  h('thead', {}, h('tr', {}, ['Severity', 'Series', 'What', 'Peak', 'Score', 'Began', 'Lasted'].map((name, i) => h('th', {scope: 'col', class: i > 2 ? 'num' : ''}, name)))), body));

/** What is said of how long ago something was, as of now. */
export function renew(root) {
  for (const element of root.querySelectorAll('[data-since]')) element.textContent = ago(element.dataset.since);
}

export function anomalies(main, {query}) {
  const wanted = {
    severity: new Set((query.get('severity') ?? '').split(',').filter((x) => SEVERITIES.includes(x))),
    state: query.get('state') ?? '', reason: query.get('reason') ?? '', q: query.get('q') ?? '',
    range: query.get('range') ?? '24h', from: query.get('from') ?? '', to: query.get('to') ?? '',
  };
  let limit = PAGE, drawn, line;

  const head = h('p', {class: 'lead'}), bad = h('p', {class: 'bad', id: 'bad-selector', role: 'alert', hidden: true});
  const picture = h('div', {class: 'panel'}), body = h('tbody', {}), foot = h('p', {class: 'foot'});
  const boxes = [...SEVERITIES].reverse().map((name) => {
    const box = h('input', {type: 'checkbox', name: 'severity', value: name, onchange: () => { if (box.checked) wanted.severity.add(name); else wanted.severity.delete(name); changed(); }});
    box.checked = wanted.severity.has(name);
    return h('label', {class: `chip is-${name}`}, box, name);
  });
  const choice = (name, label, options) => field(label, select({name, onchange: (event) => { wanted[name] = event.target.value; changed(); }}, options, wanted[name]));
  const text = h('input', {type: 'search', name: 'q', value: wanted.q, placeholder: 'part of a name, or {job="node"}', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', 'aria-describedby': 'bad-selector'});
  const form = h('form', {class: 'filters', role: 'search', 'aria-label': 'Filter anomalies', onsubmit: (event) => { event.preventDefault(); wanted.q = text.value; changed(); }},
    h('fieldset', {class: 'chips'}, h('legend', {class: 'unseen'}, 'Severity'), boxes),
    choice('state', 'State', STATES),
    choice('reason', 'Reason', [['', 'Any'], ...REASONS.map((name) => [name, reason(name)])]),
    field('Series', text, {class: 'field wide'}),
    choice('range', 'Time', [...RANGES.map(([id, name]) => [id, name]), ['own', 'From, to']]));
  text.addEventListener('change', () => form.requestSubmit());
  const own = h('div', {class: 'own'}, ['from', 'to'].map((name) => field(name === 'from' ? 'From' : 'To', h('input', {type: 'datetime-local', name, step: 1, value: local(wanted[name]), onchange: (event) => { wanted[name] = event.target.value ? new Date(event.target.value).toISOString() : ''; changed(); }}))));
  form.append(own);
  const more = h('button', {type: 'button', class: 'quiet', hidden: true, onclick: () => { limit = Math.min(limit + PAGE, MOST); dispatchEvent(new Event('saimon:refresh')); }}, 'Show more');
  main.append(h('h1', {class: 'unseen'}, 'Anomalies'), head, picture, form, bad, anomalyTable('Anomalies, the newest first', body), foot, more);
  own.hidden = wanted.range !== 'own';

  function changed() {
    limit = PAGE;
    own.hidden = wanted.range !== 'own';
    if (wanted.range === 'own' && !wanted.from) {
      wanted.from = new Date(Date.now() - 86400e3).toISOString();
      own.querySelector('[name=from]').value = local(wanted.from);
    }
    const all = {severity: [...wanted.severity].join(','), state: wanted.state, reason: wanted.reason, q: wanted.q, range: wanted.range === '24h' ? '' : wanted.range};
    if (wanted.range === 'own') Object.assign(all, {from: wanted.from, to: wanted.to});
    const text = new URLSearchParams(Object.entries(all).filter(([, value]) => value)).toString();
    history.replaceState(null, '', `#/${text ? `?${text}` : ''}`);
    dispatchEvent(new Event('saimon:refresh'));
  }

  /** The time that is looked at, in steps so that an answer may stay the same for a while. */
  function span() {
    if (wanted.range === 'own') return [Date.parse(wanted.from) || Date.now() - 86400e3, wanted.to ? Date.parse(wanted.to) : Date.now()];
    const hours = (RANGES.find(([id]) => id === wanted.range) ?? RANGES[2])[2], step = hours * 60e3;
    const to = Math.ceil(Date.now() / step) * step;
    return [to - hours * 3600e3, to];
  }

  function draw() {
    const width = picture.clientWidth - 24;
    if (!line || width <= 0) return;
    picture.replaceChildren(timeline(line, width, (part, seconds) => {
      const start = Date.parse(part.time);
      Object.assign(wanted, {range: 'own', from: new Date(start).toISOString(), to: new Date(start + seconds * 1000).toISOString()});
      form.elements.range.value = 'own';
      for (const name of ['from', 'to']) own.querySelector(`[name=${name}]`).value = local(wanted[name]);
      changed();
    }));
  }

  async function refresh() {
    const [from, to] = span();
    if (!(from < to)) throw Object.assign(new Error('the time must end after it begins'), {status: 0});
    const filter = {'match[]': selector(wanted.q), severity: [...wanted.severity].join(','), reason: wanted.reason, state: wanted.state, start_time: new Date(from).toISOString(), end_time: new Date(to).toISOString()};
    let answers;
    try {
      answers = await Promise.all([
        get('/api/v1/anomalies', {...filter, limit}), get('/api/v1/anomalies/stats', filter),
        get('/api/v1/anomalies/timeline', {...filter, parts: innerWidth < 600 ? 36 : 72}), get('/api/v1/status'),
      ]);
    } catch (error) {
      if (error.status !== 400 || !wanted.q) throw error;
      bad.textContent = `This is no selector: ${error.message.replace(/^match\[\]: /, '')}`;
      bad.hidden = false;
      text.setAttribute('aria-invalid', 'true');
      return;
    }
    bad.hidden = true;
    text.removeAttribute('aria-invalid');
    const [page, stats, parts, now] = answers;
    lead(head, now.active_anomalies, stats);
    if (line !== parts) { line = parts; draw(); }
    if (drawn !== page) {
      const first = !drawn;
      drawn = page;
      keyed(body, page.anomalies, (a) => a.id, (a, added) => anomalyRow(a, added && !first && a.state !== 'resolved'));
    }
    const filtered = wanted.q || wanted.reason || wanted.state || wanted.severity.size;
    foot.textContent = page.anomalies.length === 0 ? (filtered ? 'No anomalies that fit in this time.' : 'No anomalies in this time.')
      : `${page.anomalies.length.toLocaleString('en')} of ${count(stats.total, 'anomaly', 'anomalies')}`;
    more.hidden = !page.next_page_token || limit >= MOST;
    renew(body);
  }

  return {refresh, resize: draw};
}

function lead(element, active, stats) {
  const all = [...SEVERITIES].reverse().filter((name) => active[name]);
  const total = all.reduce((sum, name) => sum + active[name], 0);
  const parts = all.map((name) => h('span', {class: `severity is-${name}`}, `${active[name]} ${name}`));
  const text = `${total}${stats.total}${stats.series}${list(all.map((n) => `${active[n]}${n}`))}`;
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(h('strong', {}, total ? `${count(total, 'anomaly', 'anomalies')} active now` : 'Nothing active now'), ...parts,
    h('span', {class: 'dim'}, stats.total ? `${stats.total.toLocaleString('en')} in this time, on ${count(stats.series, 'series', 'series')}` : 'none in this time'));
}

/** A time as an input for local times has it. */
function local(iso) {
  const t = Date.parse(iso);
  return Number.isFinite(t) ? new Date(t - new Date(t).getTimezoneOffset() * 60e3).toISOString().slice(0, 19) : '';
}
