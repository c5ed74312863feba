// How saimon itself is, where else to look, and how it is connected.

import {get} from './api.js';
import {h} from './dom.js';
import {bytes} from './words.js';

const PHASES = {warmup: 'warming up', young: 'young', mature: 'mature', ended: 'ended', window: 'kept only', history: 'reading history', asleep: 'asleep'};
const LINKS = [
  ['/metrics/scores', 'the newest score of every series and the anomalies under way, for Prometheus; ?match[]= selects'],
  ['/metrics', 'saimon about itself, for Prometheus'],
  ['/docs', 'the API, to try it on'],
  ['/openapi.json', 'the same for programs'],
  ['/api/v1/anomalies', 'anomalies as JSON'],
  ['/api/v1/config', 'the configuration in force, secrets hidden'],
  ['/health', 'state, version, series and store as JSON; /-/healthy and /-/ready for probes'],
];
const YAML = `remote_write:
  - url: http://localhost:9925/api/v1/write
scrape_configs:
  - job_name: saimon
    static_configs: [{targets: ['localhost:9925']}]
  - job_name: saimon-scores
    honor_labels: true
    metrics_path: /metrics/scores
    static_configs: [{targets: ['localhost:9925']}]`;

export function status(main) {
  const state = h('p', {class: 'lead', role: 'status'}), tiles = h('dl', {class: 'tiles'}), phases = h('tbody', {}), groups = h('tbody', {});
  const grouped = h('section', {class: 'panel pad', 'aria-labelledby': 'groups', hidden: true}, h('h2', {id: 'groups'}, 'Most unusual groups'), h('table', {class: 'list'},
    h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'Group'), h('th', {scope: 'col', class: 'num'}, 'Score'), h('th', {scope: 'col', class: 'num'}, 'Anomalous'))), groups));
  main.append(h('h1', {class: 'unseen'}, 'Status'), state, tiles, h('div', {class: 'columns'},
    h('section', {class: 'panel pad', 'aria-labelledby': 'phases'}, h('h2', {id: 'phases'}, 'Series by phase'), h('table', {class: 'list'}, phases)), grouped),
    h('div', {class: 'columns'},
      h('section', {class: 'panel pad', 'aria-labelledby': 'elsewhere'}, h('h2', {id: 'elsewhere'}, 'Elsewhere'), h('dl', {class: 'links'}, LINKS.map(([path, text]) => h('div', {}, h('dt', {}, h('a', {href: path}, path)), h('dd', {}, text))))),
      h('section', {class: 'panel pad', 'aria-labelledby': 'connect'}, h('h2', {id: 'connect'}, 'In prometheus.yml'), h('pre', {tabindex: 0}, YAML))));
  let last, lastGroups;
  async function refresh() {
    const [now, all] = await Promise.all([get('/api/v1/status'), get('/api/v1/groups', {limit: 10})]);
    if (now !== last) {
      last = now;
      const total = Object.values(now.series).reduce((a, b) => a + b, 0);
      const sick = !now.store.ok ? 'the store cannot be used: see the log' : now.store.moved_aside ? 'the store was damaged and begun anew' : '';
      state.replaceChildren(h('strong', {}, now.recovering ? 'Reading what was kept' : now.stage[0].toUpperCase() + now.stage.slice(1)), h('span', {class: 'dim'}, `version ${now.version}`), sick ? h('span', {class: 'severity is-critical'}, sick) : '');
      const active = Object.values(now.active_anomalies).reduce((a, b) => a + b, 0);
      tiles.replaceChildren(...[
        ['Series', total.toLocaleString('en')], ['Room for', now.series_limit.toLocaleString('en')], ['Models with scores', now.active_models.toLocaleString('en')],
        ['Active anomalies', active.toLocaleString('en')], ['Anomalies on record', now.records === null ? 'none kept' : now.records.toLocaleString('en')], ['Store', bytes(now.store.bytes)],
      ].map(([name, value]) => h('div', {class: 'tile'}, h('dt', {}, name), h('dd', {}, value))));
      phases.replaceChildren(...Object.entries(PHASES).map(([name, text]) => h('tr', {}, h('th', {scope: 'row'}, text), h('td', {class: 'num'}, (now.series[name] ?? 0).toLocaleString('en')))));
    }
    if (all !== lastGroups) {
      lastGroups = all;
      grouped.hidden = !all.groups.length;
      groups.replaceChildren(...all.groups.slice(0, 10).map((g) => h('tr', {}, h('th', {scope: 'row'}, Object.entries(g.labels).map(([n, v]) => `${n}="${v}"`).join(', ')), h('td', {class: 'num'}, g.score.toFixed(2)), h('td', {class: 'num'}, `${g.anomalous} of ${g.members}`))));
    }
  }
  return {refresh};
}
