// One series over time: its values, what was expected, the band around that, and the score below.

import {h, s} from './dom.js';
import {LINE, clock, number, score} from './words.js';
import {markText, marks} from './timeline.js';

const PLOT = 220, GAP = 22, STRIP = 56, FOOT = 20, LEFT = 52, RIGHT = 8, TOP = 8;
const HEIGHT = TOP + PLOT + GAP + STRIP + FOOT;

const shown = (sample) => (sample.scored ? sample.scored.value : sample.value);
const isOver = (sample) => Boolean(sample.scored && sample.scored.score >= LINE);

/** Of a counter what is shown is its rate; where none was scored it is worked out here. */
function rates(samples) {
  let before;
  for (const x of samples) {
    const value = x.value;
    if (!x.scored) x.value = before && value !== null && x.t > before.t ? ((value < before.value ? value : value - before.value) * 1000) / (x.t - before.t) : null;
    if (value !== null) before = {t: x.t, value};
  }
}

/** Lines of a scale between two values, at round numbers. */
function scale(low, high, most) {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((m) => m >= raw) ?? 10 * power;
  const all = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9 && all.length < 20; v += step) all.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return all;
}

/** The values that are shown, by what was there, and no more of the band than leaves the values readable. */
function bounds(samples) {
  const plain = samples.flatMap((x) => [shown(x), x.scored?.expected]).filter(Number.isFinite);
  if (!plain.length) return [0, 1];
  let [low, high] = [Math.min(...plain), Math.max(...plain)];
  const room = high - low || Math.abs(high) || 1;
  for (const {scored} of samples) {
    if (Number.isFinite(scored?.lower_bound)) low = Math.min(low, Math.max(scored.lower_bound, low - room * 0.6));
    if (Number.isFinite(scored?.upper_bound)) high = Math.max(high, Math.min(scored.upper_bound, high + room * 0.6));
  }
  const edge = (high - low || 1) * 0.05;
  return [low - edge, high + edge];
}

/** Stretches of samples that have something, without holes in time. */
function stretches(samples, has, hole) {
  const all = [];
  let last;
  for (const sample of samples) {
    if (!has(sample)) { last = undefined; continue; }
    if (last === undefined || sample.t - last > hole) all.push([]);
    all.at(-1).push(sample);
    last = sample.t;
  }
  return all;
}

/**
 * Draws samples as /api/v1/series/{id}/window gives them with scores, between two times in ms.
 * `spans` are anomalies; `pick` gets the sample that is chosen, `at` is the time of the one chosen so far.
 */
export function chart({samples: raw, from, to, spans, width, counter, pick, at}) {
  const samples = raw.map((x) => ({...x, t: Date.parse(x.time)}));
  if (counter) rates(samples);
  const steps = samples.slice(1).map((x, i) => x.t - samples[i].t).sort((a, b) => a - b);
  const hole = Math.max((steps[Math.floor(steps.length / 2)] ?? 0) * 4, 1000);
  const [low, high] = bounds(samples);
  const x = (t) => LEFT + ((t - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (v) => TOP + PLOT - ((Math.min(Math.max(v, low), high) - low) / (high - low)) * PLOT;
  const strip = TOP + PLOT + GAP, yScore = (v) => strip + STRIP - v * STRIP;
  const path = (part, of) => part.map((p, i) => `${i ? 'L' : 'M'}${x(p.t).toFixed(1)},${of(p).toFixed(1)}`).join('');
  const has = (name) => (p) => Number.isFinite(p.scored?.[name]);

  const bands = stretches(samples, (p) => p.scored && (p.scored.lower_bound !== null || p.scored.upper_bound !== null), hole).map((part) => {
    const upper = path(part, (p) => y(p.scored.upper_bound ?? high));
    const lower = path([...part].reverse(), (p) => y(p.scored.lower_bound ?? low));
    return s('path', {class: 'band', d: `${upper}${lower.replace('M', 'L')}Z`});
  });
  const expected = stretches(samples, has('expected'), hole).map((part) => s('path', {class: 'expected', d: path(part, (p) => y(p.scored.expected))}));
  const values = stretches(samples, (p) => Number.isFinite(shown(p)), hole);
  const lines = values.map((part) => (part.length === 1
    ? s('circle', {class: 'dot-value', cx: x(part[0].t), cy: y(shown(part[0])), r: 1.5})
    : s('path', {class: 'value', d: path(part, (p) => y(shown(p)))})));
  const over = samples.filter((p) => isOver(p) && Number.isFinite(shown(p))).map((p) => s('circle', {class: 'over', cx: x(p.t), cy: y(shown(p)), r: 2.4}));
  const scores = stretches(samples, (p) => p.scored, hole).flatMap((part) => {
    const top = path(part, (p) => yScore(p.scored.score));
    return [s('path', {class: 'score-area', d: `${top}L${x(part.at(-1).t).toFixed(1)},${yScore(0)}L${x(part[0].t).toFixed(1)},${yScore(0)}Z`}), s('path', {class: 'score', d: top})];
  });
  const areas = spans.map((a) => {
    const [first, last] = [Math.max(Date.parse(a.start_time), from), Math.min(a.end_time ? Date.parse(a.end_time) : to, to)];
    if (last < from || first > to) return null;
    return s('rect', {class: `span fill-${a.severity}`, x: x(first), y: TOP, width: Math.max(2, x(last) - x(first)), height: PLOT + GAP + STRIP});
  });
  const grid = scale(low, high, 5).map((v) => [
    s('line', {class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v)}),
    s('text', {class: 'tick', x: LEFT - 6, y: y(v) + 4, 'text-anchor': 'end'}, number(v)),
  ]);
  const ticks = marks(from, to, Math.max(2, width / 110)).map((t) => [
    s('line', {class: 'grid', x1: x(t), x2: x(t), y1: TOP, y2: strip + STRIP}),
    s('text', {class: 'tick', x: Math.min(Math.max(x(t), LEFT + 12), width - 20), y: HEIGHT - 5, 'text-anchor': 'middle'}, markText(t, from, to)),
  ]);
  const line = s('line', {class: 'cursor', y1: TOP, y2: strip + STRIP}), dot = s('circle', {class: 'cursor-dot', r: 3.5});
  const cursor = s('g', {visibility: 'hidden'}, line, dot);
  const said = h('p', {class: 'readout', 'aria-live': 'off'});
  const picture = s('svg', {width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', class: 'plot', 'aria-label': label(samples)},
    areas, grid, ticks, bands, expected, lines, over,
    s('line', {class: 'axis', x1: LEFT, x2: width - RIGHT, y1: strip + STRIP, y2: strip + STRIP}),
    s('text', {class: 'tick', x: LEFT - 6, y: yScore(LINE) + 4, 'text-anchor': 'end'}, '0.7'),
    s('text', {class: 'tick', x: LEFT - 6, y: yScore(0) + 4, 'text-anchor': 'end'}, '0'),
    s('text', {class: 'tick name', x: LEFT + 4, y: strip - 6}, 'score'),
    scores, s('line', {class: 'line', x1: LEFT, x2: width - RIGHT, y1: yScore(LINE), y2: yScore(LINE)}), cursor);

  const slider = h('input', {type: 'range', class: 'scrub', min: 0, max: Math.max(0, samples.length - 1), step: 1, 'aria-label': 'Sample'});
  const rest = Math.max(0, at ? nearest(samples, at) : samples.length - 1);
  const show = (i) => {
    const p = samples[i];
    if (!p) return;
    slider.value = i;
    slider.setAttribute('aria-valuetext', words(p));
    said.replaceChildren(...readout(p));
    cursor.setAttribute('visibility', 'visible');
    line.setAttribute('x1', x(p.t));
    line.setAttribute('x2', x(p.t));
    const v = shown(p);
    dot.setAttribute('visibility', Number.isFinite(v) ? 'inherit' : 'hidden');
    if (Number.isFinite(v)) { dot.setAttribute('cx', x(p.t)); dot.setAttribute('cy', y(v)); }
  };
  const under = (event) => {
    const box = picture.getBoundingClientRect();
    return nearest(samples, from + ((event.clientX - box.left - LEFT) / (width - LEFT - RIGHT)) * (to - from));
  };
  let chosen = rest;
  const choose = (i) => { chosen = i; show(i); if (samples[i]) pick?.(samples[i]); };
  picture.addEventListener('pointermove', (event) => show(under(event)));
  picture.addEventListener('pointerleave', () => show(chosen));
  picture.addEventListener('click', (event) => choose(under(event)));
  slider.addEventListener('input', () => show(Number(slider.value)));
  slider.addEventListener('change', () => choose(Number(slider.value)));
  if (samples.length) show(rest);
  else said.append('No samples are kept of this time.');
  const legend = h('ul', {class: 'legend', 'aria-hidden': 'true'},
    ['value', 'expected', 'band', 'over'].map((name) => h('li', {class: `key-${name}`}, name === 'over' ? 'over the line' : counter && name === 'value' ? 'rate per second' : name)));
  return h('figure', {class: 'chart'}, h('div', {class: 'chart-head'}, said, legend), picture, samples.length > 1 ? slider : null);
}

function nearest(samples, t) {
  let best = -1;
  samples.forEach((p, i) => { if (best < 0 || Math.abs(p.t - t) < Math.abs(samples[best].t - t)) best = i; });
  return best;
}

const band = ({lower_bound: lower, upper_bound: upper}) => {
  if (lower === null && upper === null) return 'any';
  if (lower === upper) return 'none';
  if (lower === null) return `up to ${number(upper)}`;
  return upper === null ? `from ${number(lower)}` : `${number(lower)} to ${number(upper)}`;
};

const words = (p) => `${clock(p.time)}, value ${number(shown(p))}${p.scored ? `, expected ${number(p.scored.expected)}, band ${band(p.scored)}, score ${score(p.scored.score)}` : ', no score'}`;

function readout(p) {
  const part = (name, text, attributes) => h('span', attributes, h('i', {}, name), text);
  const all = [part('', clock(p.time), {class: 'at'}), part('value', number(shown(p)))];
  if (p.scored) all.push(part('expected', number(p.scored.expected)), part('band', band(p.scored)), part('score', score(p.scored.score), {class: isOver(p) ? 'is-over' : ''}));
  return all;
}

function label(samples) {
  const values = samples.map(shown).filter(Number.isFinite), over = samples.filter(isOver).length;
  if (!values.length) return 'A chart without values.';
  return `Chart of ${values.length} values from ${number(Math.min(...values))} to ${number(Math.max(...values))}, ${over ? `${over} of them over the line` : 'none over the line'}. The slider below goes through them.`;
}
