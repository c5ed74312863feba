// Maintenance: windows in which nobody is alerted or nothing is learned, and changes at targets.

import {get, has, send} from './api.js';
import {field, h, keyed, select, time} from './dom.js';
import {ago, clock} from './words.js';

const PATH = '/api/v1/maintenance';
// What is ended where it comes from.
const FROM = {config: 'from the configuration', alertmanager: 'a silence of the Alertmanager'};
const LENGTHS = [['30m', '30 minutes'], ['1h', '1 hour'], ['2h', '2 hours'], ['4h', '4 hours'], ['8h', '8 hours'], ['24h', '1 day']];
const SECONDS = {m: 60, h: 3600};
const seconds = (text) => parseInt(text, 10) * SECONDS[text.at(-1)];

const when = (of) => (of.schedule
  ? [h('code', {}, of.schedule), ` for ${of.duration}${of.time_zone ? `, ${of.time_zone}` : ''}`]
  : [of.start_time ? time(of.start_time, clock(of.start_time, false)) : 'at once', ' to ', of.end_time ? time(of.end_time, clock(of.end_time, false)) : 'its end']);
const what = (of) => ([!of.alert && 'no alerts', !of.learn && 'no learning'].filter(Boolean).join(', ') || 'nothing changes');

export function maintenance(main, {query}) {
  const body = h('tbody', {}), foot = h('p', {class: 'foot'}), bad = h('p', {class: 'bad', role: 'alert', hidden: true}), done = h('p', {role: 'status', class: 'unseen'});
  const input = (name, attributes) => h('input', {name, autocomplete: 'off', ...attributes});
  const check = (name, text, on) => { const box = h('input', {type: 'checkbox', name}); box.checked = on; return h('label', {}, box, text); };
  const form = h('form', {onsubmit: (event) => { event.preventDefault(); create(); }},
    field('Series', input('selector', {required: true, placeholder: '{job="node", instance="a:9100"}', value: query.get('selector') ?? '', spellcheck: 'false', autocapitalize: 'off'})),
    h('div', {class: 'trio'},
      field('From (now if empty)', input('start', {type: 'datetime-local'})),
      field('For', select({name: 'lasts'}, LENGTHS, '1h')),
      field('Again and again (cron, if so)', input('schedule', {placeholder: '0 2 * * SUN', spellcheck: 'false'})),
      field('Time zone of that', input('zone', {value: Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC', spellcheck: 'false'}))),
    h('div', {class: 'checks'}, check('quiet', 'Alert nobody', true), check('still', 'Learn nothing', true)),
    h('div', {class: 'pair'}, field('Your name', input('author', {autocomplete: 'username', maxlength: 200})), field('What for', input('comment', {maxlength: 2000}))),
    h('div', {class: 'buttons'}, h('button', {type: 'submit', class: 'primary'}, 'Begin or plan it')), bad, done);
  const changes = h('tbody', {}), changed = h('section', {'aria-labelledby': 'changes', hidden: true}, h('h2', {id: 'changes', class: 'apart'}, 'Changes at targets'),
    h('div', {class: 'scroll'}, h('table', {class: 'list'}, h('caption', {class: 'unseen'}, 'Changes, the newest first'), h('thead', {}, h('tr', {}, ['What', 'Where', 'When', 'Marks anomalies until', 'Who and why'].map((name) => h('th', {scope: 'col'}, name)))), changes)));
  main.append(h('h1', {}, 'Maintenance'),
    h('div', {class: 'scroll'}, h('table', {class: 'list'}, h('caption', {class: 'unseen'}, 'Windows of maintenance'),
      h('thead', {}, h('tr', {}, ['State', 'Series', 'When', 'What', 'Who and why', ''].map((name) => h('th', {scope: 'col'}, name || h('span', {class: 'unseen'}, 'Act'))))), body)), foot,
    h('section', {class: 'panel pad planned', 'aria-labelledby': 'new'}, h('h2', {id: 'new'}, 'A new window'), form), changed);
  let last, lastChanges, hasChanges, writing = false;

  async function act(of, said) {
    if (writing) return;
    writing = true;
    bad.hidden = true;
    try {
      await of();
      done.textContent = said;
    } catch (error) {
      bad.textContent = error.message;
      bad.hidden = false;
    } finally {
      writing = false;
      dispatchEvent(new Event('saimon:refresh'));
    }
  }

  function create() {
    const of = form.elements, start = of.start.value ? new Date(of.start.value) : undefined, schedule = of.schedule.value.trim();
    const text = (name) => of[name].value.trim() || undefined;
    const times = schedule
      ? {schedule, duration: of.lasts.value, time_zone: text('zone'), start_time: start?.toISOString()}
      : {start_time: start?.toISOString(), end_time: new Date((start ?? new Date()).getTime() + seconds(of.lasts.value) * 1000).toISOString()};
    act(async () => {
      await send('POST', PATH, {selector: of.selector.value, ...times, alert: !of.quiet.checked, learn: !of.still.checked, author: text('author'), comment: text('comment')});
      for (const name of ['selector', 'start', 'schedule', 'comment']) of[name].value = '';
    }, 'The window is there.');
  }

  const row = (of) => h('tr', {},
    h('td', {}, h('span', {class: `state is-${of.state}`}, of.state === 'expired' && of.ended_time ? 'ended' : of.state)),
    h('th', {scope: 'row'}, h('code', {}, of.selector)),
    h('td', {}, when(of)), h('td', {}, what(of)),
    h('td', {}, of.comment ?? '', of.author ? h('span', {class: 'dim under'}, of.author) : null, FROM[of.source] ? h('span', {class: 'dim under'}, FROM[of.source]) : null),
    h('td', {class: 'num'}, of.state !== 'expired' && !FROM[of.source]
      ? h('button', {type: 'button', class: 'quiet', 'aria-label': `End the window of ${of.selector}`, onclick: () => act(() => send('DELETE', `${PATH}/${encodeURIComponent(of.id)}`), 'The window is ended.')}, 'End') : null));

  const change = (of) => h('tr', {},
    h('td', {}, of.kind), h('th', {scope: 'row'}, `${of.job}${of.instance ? ` ${of.instance}` : ''}`),
    h('td', {}, time(of.time, clock(of.time)), h('span', {class: 'dim under', 'data-since': of.time}, ago(of.time))), h('td', {}, clock(of.until_time)),
    h('td', {}, of.comment ?? '', of.author ? h('span', {class: 'dim under'}, of.author) : null));

  async function refresh() {
    const {windows} = await get(PATH);
    if (windows !== last) {
      last = windows;
      keyed(body, windows, (of) => of.id, row);
      foot.textContent = windows.length ? '' : 'No windows: everything alerts and is learned from.';
    }
    hasChanges ??= await has('/api/v1/changes');
    if (!hasChanges) return;
    const all = await get('/api/v1/changes', {limit: 20});
    if (all === lastChanges) return;
    lastChanges = all;
    changed.hidden = !all.changes.length;
    keyed(changes, all.changes, (of) => `${of.kind} ${of.job} ${of.instance} ${of.time}`, change);
  }
  return {refresh};
}
