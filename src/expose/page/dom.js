// Elements. Everything that came from outside is put into the page as text and never as markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** An element of HTML: its name, its attributes (`on...` are listeners), its children. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** An element of SVG. */
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** A time that a reader may hover over for its date in UTC. */
export const time = (iso, text, attributes) => h('time', {datetime: iso, title: iso, ...attributes}, text);

/** A select with these options: pairs of value and text. */
export const select = (attributes, options, chosen) => {
  const element = h('select', attributes, options.map(([value, text]) => h('option', {value}, text)));
  element.value = chosen;
  return element;
};

/** Labelled content of a form. */
export const field = (label, control, attributes) => h('label', {class: 'field', ...attributes}, h('span', {}, label), control);

/**
 * Puts rows into a container, keeping those that are the same so that focus, selection and what is
 * being read stay where they are.
 */
export function keyed(container, items, key, make) {
  const old = new Map([...container.children].map((child) => [child.dataset.key, child]));
  const all = items.map((item) => {
    const id = key(item), content = JSON.stringify(item), before = old.get(id);
    if (before?.dataset.content === content) return before;
    const element = make(item, !before);
    element.dataset.key = id;
    element.dataset.content = content;
    // a row that has the focus is changed, not taken away from under the reader
    if (before?.contains(document.activeElement)) {
      const at = [...before.querySelectorAll('a, button')].indexOf(document.activeElement);
      queueMicrotask(() => element.querySelectorAll('a, button')[at]?.focus());
    }
    return element;
  });
  const same = all.length === container.children.length && all.every((e, i) => e === container.children[i]);
  if (!same) container.replaceChildren(...all);
}
