// Incidents: anomalies that began together, and where they likely came from.

import {anomalyRow, anomalyTable, renew, severityMark} from './anomalies.js';
import {get} from './api.js';
import {field, h, keyed, select, time} from './dom.js';
import {SEVERITIES, ago, arrow, clock, count, duration, labelsText, reason} from './words.js';

const STATES = [['', 'Any state'], ['open', 'Open'], ['closed', 'Closed'], ['merged', 'Merged']];
const LIMIT = 100;
const to = (id) => `#/incidents/${encodeURIComponent(id)}`;
const where = (labels) => labelsText(labels) || 'no label in common';

export function incidents(main, {query}) {
  const wanted = {state: query.get('state') ?? '', severity: query.get('severity') ?? ''};
  const body = h('tbody', {}), foot = h('p', {class: 'foot'});
  const choice = (name, label, options) => field(label, select({name, onchange: (event) => {
    wanted[name] = event.target.value;
    const all = Object.entries(wanted).filter(([, value]) => value);
    history.replaceState(null, '', `#/incidents${all.length ? `?${new URLSearchParams(all)}` : ''}`);
    dispatchEvent(new Event('saimon:refresh'));
  }}, options, wanted[name]));
  main.append(h('h1', {}, 'Incidents'),
    h('form', {class: 'filters', 'aria-label': 'Filter incidents', onsubmit: (event) => event.preventDefault()},
      choice('state', 'State', STATES), choice('severity', 'Severity', [['', 'Any severity'], ...[...SEVERITIES].reverse().map((name) => [name, name])])),
    h('div', {class: 'scroll'}, h('table', {class: 'list'}, h('caption', {class: 'unseen'}, 'Incidents, the newest first'),
      h('thead', {}, h('tr', {}, [['Severity'], ['What'], ['State'], ['Anomalies', 'num'], ['Began', 'num'], ['Lasted', 'num']].map(([name, of]) => h('th', {scope: 'col', class: of}, name)))), body)), foot);
  let last;
  async function refresh() {
    const page = await get('/api/v1/incidents', {...wanted, limit: LIMIT});
    if (page !== last) {
      last = page;
      keyed(body, page.incidents, (of) => of.id, row);
      foot.textContent = page.incidents.length ? (page.next_page_token ? `The newest ${LIMIT}.` : `${count(page.incidents.length, 'incident')} on record`) : 'No incidents.';
    }
    renew(body);
  }
  return {refresh};
}

const row = (of) => h('tr', {},
  h('td', {}, severityMark(of.severity)),
  h('th', {scope: 'row'}, h('a', {class: 'series-name', href: to(of.id)}, h('b', {}, where(of.labels))), of.origin ? h('span', {class: 'origin'}, `likely from ${of.origin.metric_name} (${reason(of.origin.reason)} ${arrow(of.origin.direction)})`) : null),
  h('td', {}, h('span', {class: `state is-${of.state === 'open' ? 'active' : of.state}`}, of.state)),
  h('td', {class: 'num'}, of.state === 'open' ? `${of.members_active} of ${of.members}` : String(of.members), h('span', {class: 'dim under'}, `on ${count(of.series, 'series', 'series')}`)),
  h('td', {class: 'num'}, time(of.start_time, clock(of.start_time, false)), h('span', {class: 'dim under', 'data-since': of.start_time}, ago(of.start_time))),
  h('td', {class: 'num'}, of.end_time ? duration(of.duration_seconds ?? 0) : 'not over'));

export function incident(main, {id}) {
  const top = h('div', {}), origin = h('section', {class: 'panel pad', 'aria-labelledby': 'origin', hidden: true}), body = h('tbody', {});
  main.append(h('p', {class: 'crumb'}, h('a', {href: '#/incidents'}, 'Incidents')), top, origin, h('h2', {id: 'members', class: 'apart'}, 'Its anomalies, in the order in which they began'), anomalyTable('Anomalies of this incident', body));
  let last;
  async function refresh() {
    const answer = await get(`/api/v1/incidents/${encodeURIComponent(id)}`);
    if (answer !== last) {
      last = answer;
      const of = answer.incident ?? answer;
      top.replaceChildren(h('h1', {class: 'series-title'}, where(of.labels)),
        h('p', {class: 'lead'}, severityMark(of.severity), h('span', {class: `state is-${of.state === 'open' ? 'active' : of.state}`}, of.state),
          h('span', {class: 'dim'}, `${count(of.members, 'anomaly', 'anomalies')}${of.members_left_out ? ` and ${of.members_left_out} more` : ''} on ${count(of.series, 'series', 'series')}, began `, time(of.start_time, clock(of.start_time)), ', ', of.end_time ? `lasted ${duration(of.duration_seconds ?? 0)}` : h('span', {'data-since': of.start_time}, ago(of.start_time))),
          of.merged_into ? h('a', {href: to(of.merged_into)}, 'part of another incident') : null),
        h('p', {class: 'summary'}, of.summary));
      const from = of.origin;
      origin.hidden = !from;
      if (from) {
        origin.replaceChildren(h('h2', {id: 'origin'}, 'Likely origin'),
          h('a', {class: 'series-name', href: `#/anomalies/${encodeURIComponent(from.anomaly)}`}, h('b', {}, from.metric_name), h('span', {class: 'labels'}, labelsText(from.labels))),
          h('p', {}, `${reason(from.reason)} ${arrow(from.direction)} at ${clock(from.start_time)}: ${from.why}`));
      }
      keyed(body, answer.anomalies ?? of.anomalies ?? [], (a) => a.id, (a) => anomalyRow(a));
    }
    renew(main);
  }
  return {refresh};
}
