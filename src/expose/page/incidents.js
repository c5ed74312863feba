// Incidents: anomalies that began together, and where they likely came from.

import {anomalyTable, renew, severityMark} from './anomalies.js';
import {get} from './api.js';
import {h, keyed, time} from './dom.js';
import {ago, clock, count, duration} from './words.js';

export function incidents(main) {
  const body = h('tbody', {}), foot = h('p', {class: 'foot'});
  main.append(h('h1', {}, 'Incidents'), foot);
  return {async refresh() {}};
}
export function incident(main) { return {async refresh() {}}; }
