// Anomalies under way over time, a stack of severities for each part of it.

import {h, s} from './dom.js';
import {SEVERITIES, clock, count, list} from './words.js';

const HEIGHT = 84, FOOT = 18, LEFT = 26;
const sum = (part) => SEVERITIES.reduce((all, name) => all + part.under_way[name], 0);
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400].map((minutes) => minutes * 60);

/** Times at which a scale over `[from, to]` (ms) is marked, at most `most` of them, at round hours of the reader. */
export function marks(from, to, most) {
  const step = (STEPS.find((seconds) => (to - from) / 1000 / seconds <= most) ?? STEPS.at(-1)) * 1000;
  const zone = new Date(from).getTimezoneOffset() * 60000;
  const all = [];
  for (let t = Math.ceil((from - zone) / step) * step + zone; t <= to; t += step) all.push(t);
  return all;
}

/** Text of a mark: the time, or the date where a day begins. */
export function markText(t, from, to) {
  const at = new Date(t), midnight = at.getHours() === 0 && at.getMinutes() === 0;
  if (midnight || to - from > 4 * 86400e3) return at.toLocaleDateString('en', {month: 'short', day: 'numeric'});
  return at.toTimeString().slice(0, to - from < 5 * 60e3 ? 8 : 5);
}

/** Draws an answer of /api/v1/anomalies/timeline, `width` pixels wide; `pick` gets a part that is chosen. */
export function timeline(data, width, pick) {
  const from = Date.parse(data.start_time), to = Date.parse(data.end_time);
  const most = Math.max(1, ...data.parts.map(sum)), step = (width - LEFT) / data.parts.length;
  const x = (t) => LEFT + ((t - from) / (to - from)) * (width - LEFT);
  const y = (n) => HEIGHT - (n / most) * (HEIGHT - 8);
  const busiest = data.parts.reduce((a, b) => (sum(b) > sum(a) ? b : a), data.parts[0]);
  const said = sum(busiest) ? `At most ${count(sum(busiest), 'anomaly', 'anomalies')} at once, around ${clock(busiest.time, false)}.` : 'None under way in this time.';
  const bars = data.parts.map((part, i) => {
    let below = 0;
    const rects = SEVERITIES.map((name) => {
      const n = part.under_way[name];
      if (!n) return null;
      const top = y(below + n), rect = s('rect', {class: `fill-${name}`, x: LEFT + i * step + 0.5, y: top, width: Math.max(1, step - 1), height: y(below) - top});
      below += n;
      return rect;
    });
    const words = SEVERITIES.filter((name) => part.under_way[name]).map((name) => `${part.under_way[name]} ${name}`);
    const title = `${clock(part.time, false)}: ${words.length ? `${list(words)} under way, ${part.began} began` : 'none under way'}`;
    return s('g', {class: 'part', onclick: () => pick?.(part, data.part_seconds)},
      s('title', {}, title), s('rect', {class: 'room', x: LEFT + i * step, y: 0, width: step, height: HEIGHT}), rects);
  });
  const grid = [...new Set([most, Math.round(most / 2)])].filter(Boolean).map((n) => [
    s('line', {class: 'grid', x1: LEFT, x2: width, y1: y(n), y2: y(n)}),
    s('text', {class: 'tick', x: LEFT - 5, y: y(n) + 4, 'text-anchor': 'end'}, String(n)),
  ]);
  const ticks = marks(from, to, Math.max(2, width / 90)).map((t) => [
    s('line', {class: 'grid', x1: x(t), x2: x(t), y1: HEIGHT, y2: HEIGHT + 4}),
    s('text', {class: 'tick', x: Math.min(Math.max(x(t), LEFT + 14), width - 18), y: HEIGHT + FOOT - 3, 'text-anchor': 'middle'}, markText(t, from, to)),
  ]);
  return h('figure', {class: 'timeline'},
    s('svg', {width, height: HEIGHT + FOOT, viewBox: `0 0 ${width} ${HEIGHT + FOOT}`, role: 'img', 'aria-label': `Anomalies under way from ${clock(data.start_time)} to ${clock(data.end_time)}. ${said}`},
      grid, s('line', {class: 'axis', x1: LEFT, x2: width, y1: HEIGHT, y2: HEIGHT}), bars, ticks));
}
