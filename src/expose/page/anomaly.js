// One anomaly: what, when, how far out, why; the series around it; and what people say of it.

import {renew, severityMark} from './anomalies.js';
import {get, has, send} from './api.js';
import {field, h, time} from './dom.js';
import {explanation, shares} from './explain.js';
import {picture} from './series.js';
import {ago, arrow, clock, duration, labelsText, number, reason, score} from './words.js';

const SHAPE = '/api/v1/anomalies/{id}/feedback';
const NAME = 'saimon.author';

export function anomaly(main, {id}) {
  const path = `/api/v1/anomalies/${encodeURIComponent(id)}`;
  const top = h('div', {}), facts = h('dl', {class: 'facts'}), parts = h('div', {}), said = h('section', {class: 'panel pad', 'aria-labelledby': 'verdict', hidden: true});
  const lines = h('dl', {class: 'facts'}), traces = h('section', {class: 'panel pad', 'aria-labelledby': 'traces', hidden: true}, h('h2', {id: 'traces'}, 'Traces near its beginning'), lines);
  const slot = h('div', {}), reasons = h('div', {});
  main.append(h('p', {class: 'crumb'}, h('a', {href: '#/'}, 'Anomalies')), top, slot,
    h('div', {class: 'columns'},
      h('section', {class: 'panel pad', 'aria-labelledby': 'why'}, h('h2', {id: 'why'}, 'Why'), reasons),
      h('div', {class: 'stack'}, h('section', {class: 'panel pad', 'aria-labelledby': 'peak'}, h('h2', {id: 'peak'}, 'At its peak'), facts, parts), traces, said)));
  let last, drawing, why, counter, explained;

  /** From some time before it to some time after it, or now. */
  function span() {
    const from = Date.parse(last.start_time), end = last.end_time ? Date.parse(last.end_time) : Date.now();
    const room = Math.min(Math.max((end - from) * 1.5, 20 * 60e3), 3 * 3600e3), step = 10e3;
    const first = Math.max(from - room, end - 24 * 3600e3);
    return [first, Math.ceil(Math.min(end + room / 2, Date.now()) / step) * step];
  }

  function show(a) {
    top.replaceChildren(
      h('h1', {class: 'series-title'}, h('a', {href: `#/series/${a.series_id}`}, a.metric_name)),
      h('p', {class: 'labels'}, labelsText(a.labels)),
      h('p', {class: 'lead'}, severityMark(a.severity), h('strong', {}, `${reason(a.reason)} ${arrow(a.direction)}`), h('span', {class: `state is-${a.state}`}, a.state),
        h('span', {class: 'dim'}, 'began ', time(a.start_time, clock(a.start_time)), ', ', a.end_time ? `lasted ${duration(a.duration_seconds)}` : h('span', {'data-since': a.start_time}, ago(a.start_time)),
          a.ended_by && a.ended_by !== 'samples' ? `, ended by ${a.ended_by}` : ''),
        a.incident ? h('a', {href: `#/incidents/${encodeURIComponent(a.incident)}`}, 'part of an incident') : null));
    const p = a.peak;
    const band = p.lower_bound === null && p.upper_bound === null ? '\u2013' : p.lower_bound === p.upper_bound ? 'nothing' : `${p.lower_bound === null ? 'any' : number(p.lower_bound)} to ${p.upper_bound === null ? 'any' : number(p.upper_bound)}`;
    const rare = Number.isFinite(p.rarity) ? `once in ${number(10 ** p.rarity)} values` : '\u2013';
    const change = a.change && (typeof a.change === 'string' ? a.change : a.change.kind ?? 'yes');
    const all = [['Time', time(p.time, clock(p.time))], ['Value', number(p.value)], ['Expected', number(p.expected)], ['Would have been normal', band], ['Score', score(p.score)], ['Evidence', `${number(p.deviation)} \u00d7 the line`], ['How rare', rare], change ? ['During a change', String(change).replaceAll('_', ' ')] : null];
    facts.replaceChildren(...all.filter(Boolean).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
    parts.replaceChildren(p.contributions.length ? shares('What said so', p.contributions) : '');
    const seen = a.exemplars ?? [];
    traces.hidden = !seen.length;
    lines.replaceChildren(...seen.map((e) => h('div', {}, h('dt', {}, time(e.timestamp, clock(e.timestamp))), h('dd', {}, e.labels.trace_id ?? labelsText(e.labels)))));
  }

  const verdict = feedback(path, said);
  async function refresh() {
    const a = await get(path);
    if (a !== last) { last = a; show(a); }
    renew(main);
    if (!drawing) {
      drawing = picture(a.series_id, {span, at: Date.parse(a.peak.time), pick: (sample) => why.show(sample.time).catch(() => {})});
      why = explanation(a.series_id);
      slot.replaceChildren(drawing.box);
      reasons.replaceChildren(why.box);
      try { counter = (await get(`/api/v1/series/${a.series_id}`)).kind === 'counter'; } catch (error) { if (error.status !== 404) throw error; }
    }
    if (explained !== a.peak.time) { explained = a.peak.time; why.show(a.peak.time).catch(() => {}); }
    await Promise.all([drawing.refresh([a], counter), verdict()]);
  }
  return {refresh, resize: () => drawing?.draw()};
}

/** Whether it was one, as somebody says; gives what asks for it again. */
function feedback(path, section) {
  let there, last, writing = false;
  const remembered = () => { try { return localStorage.getItem(NAME) ?? ''; } catch { return ''; } };
  const state = h('p', {role: 'status'}), problem = h('p', {class: 'bad', role: 'alert', hidden: true});
  const author = h('input', {name: 'author', autocomplete: 'username', maxlength: 200, value: remembered()});
  const comment = h('textarea', {name: 'comment', rows: 2, maxlength: 2000});
  const button = (verdict, text) => h('button', {type: 'button', 'data-verdict': verdict, onclick: () => change(() => send('POST', `${path}/feedback`, {verdict, author: author.value.trim() || undefined, comment: comment.value.trim() || undefined}))}, text);
  const undo = h('button', {type: 'button', class: 'quiet', 'data-verdict': 'undo', hidden: true, onclick: () => change(() => send('DELETE', `${path}/feedback`))}, 'Take back');
  const buttons = h('div', {class: 'buttons'}, button('confirmed', 'It was an anomaly'), button('rejected', 'False alarm'), undo);
  const lines = h('p', {class: 'dim'});
  section.append(h('h2', {id: 'verdict'}, 'Was it one?'), state, lines,
    h('div', {class: 'pair'}, field('Your name', author), field('Comment', comment)), buttons, problem);

  async function change(what) {
    if (writing) return;
    writing = true;
    problem.hidden = true;
    for (const b of buttons.children) b.disabled = true;
    try {
      try { localStorage.setItem(NAME, author.value); } catch { /* not remembered then */ }
      await what();
      comment.value = '';
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      writing = false;
      for (const b of buttons.children) b.disabled = false;
      refresh().catch(() => {});
    }
  }

  async function refresh() {
    there ??= await has(SHAPE, 'post');
    section.hidden = !there;
    if (!there) return;
    let given = null;
    try {
      given = await get(`${path}/feedback`);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    if (given === last && last !== undefined) return;
    last = given;
    const verdict = given?.verdict;
    for (const b of buttons.querySelectorAll('[data-verdict]')) if (b !== undo) b.setAttribute('aria-pressed', String(b.dataset.verdict === verdict));
    undo.hidden = !verdict;
    const words = {confirmed: 'Confirmed', rejected: 'Rejected'}[verdict] ?? verdict;
    const when = given?.given_time;
    const moved = (given?.lines ?? []).map((line) => `${reason(line.reason)} \u00d7 ${number(line.factor)}`);
    lines.textContent = moved.length ? `The line of this series is moved: ${moved.join(', ')}.` : '';
    state.textContent = verdict ? `${words}${given.author ? ` by ${given.author}` : ''}${when ? `, ${ago(when)}` : ''}${given.comment ? `: ${given.comment}` : '.'}` : 'Nobody has said yet. A rejection makes saimon less sensitive for this series and reason, confirmations more.';
  }
  return refresh;
}
