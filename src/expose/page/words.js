// How numbers, times and the API's words are said.

export const SEVERITIES = ['low', 'medium', 'high', 'critical'];
export const REASONS = ['spike', 'drop', 'level_shift', 'trend', 'season', 'variance', 'flatline', 'absent', 'out_of_range', 'pattern', 'joint'];
/** The score at which a sample is over the line. */
export const LINE = 0.7;

const REASON_WORDS = {level_shift: 'level shift', out_of_range: 'out of range', season: 'wrong time of day', absent: 'absent', joint: 'parted from its group'};
export const reason = (name) => REASON_WORDS[name] ?? name.replaceAll('_', ' ');

const ARROWS = {up: '\u2191', down: '\u2193', both: '\u2195'};
export const arrow = (direction) => ARROWS[direction] ?? '';

/** Three digits that matter, with a prefix for what is large. */
export function number(x) {
  if (x === null || x === undefined || !Number.isFinite(x)) return '\u2013';
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-3 || size >= 1e15)) return x.toExponential(2);
  for (const [unit, name] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (size >= unit) return `${+(x / (unit === 1e4 ? 1e3 : unit)).toPrecision(3)} ${name}`;
  }
  return String(size >= 1000 ? Math.round(x) : +x.toPrecision(size < 1 ? 3 : 4));
}

export const score = (x) => (x === null || x === undefined ? '\u2013' : x.toFixed(2));
export const percent = (x) => `${Math.round(100 * x)} %`;
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

export function bytes(n) {
  let x = n, at = 0;
  while (x >= 1024 && at < 4) { x /= 1024; at += 1; }
  return `${at ? x.toPrecision(3) : x} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][at]}`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return `${minutes} min`;
}

export const ago = (iso, now = Date.now()) => {
  const seconds = (now - Date.parse(iso)) / 1000;
  return seconds < 5 ? 'just now' : `${duration(seconds)} ago`;
};

const two = (n) => String(n).padStart(2, '0');

/** The time of the day, with its date if that is not today; in the reader's time zone. */
export function clock(iso, seconds = true) {
  const t = new Date(iso), today = new Date();
  const time = `${two(t.getHours())}:${two(t.getMinutes())}${seconds ? `:${two(t.getSeconds())}` : ''}`;
  if (t.toDateString() === today.toDateString()) return time;
  const day = `${two(t.getMonth() + 1)}-${two(t.getDate())}`;
  return `${t.getFullYear() === today.getFullYear() ? day : `${t.getFullYear()}-${day}`} ${time}`;
}

export const list = (words) => (words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`);

/** Labels without those that say which series it is at first sight. */
export const labelsText = (labels) => Object.entries(labels)
  .filter(([name]) => name !== '__name__')
  .map(([name, value]) => `${name}="${value}"`).join(', ');

/** A selector of what somebody typed: a selector as it is, matchers without braces, a part of a name. */
export function selector(typed) {
  const text = typed.trim();
  if (!text) return '';
  if (text.includes('{')) return text;
  if (text.includes('=')) return `{${text}}`;
  const pattern = text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&');
  return `{__name__=~".*${pattern.replace(/["\\]/g, '\\$&')}.*"}`;
}
