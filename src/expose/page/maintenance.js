import {h} from './dom.js';

export function maintenance(main) {
  main.append(h('h1', {}, 'Maintenance'));
  return {async refresh() {}};
}
