// Draws what the panels of the dashboards show, from the answers that the end-to-end test wrote
// (SAIMON_PANELS), with uPlot in Chromium: pictures for docs/dashboards.md.
//
//   node render.mjs panels.json FOLDER_OF_DASHBOARDS FOLDER_WITH_node_modules OUT
//
// It is no Grafana: places, titles, colours, bands, thresholds and units are those of the dashboards,
// the rest is drawn plainly.
import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {execFileSync} from 'node:child_process';
import {join, resolve} from 'node:path';
import {tmpdir} from 'node:os';
import {reduce} from './palette.mjs';

const [answers, dashboards, tools, out] = process.argv.slice(2).map((p) => resolve(p));
const all = JSON.parse(readFileSync(answers, 'utf8'));
const uplot = (name) => readFileSync(join(tools, 'node_modules/uplot/dist', name), 'utf8');
const chromium = process.env.CHROMIUM ?? 'chromium';
const COLUMN = 48, ROW = 30, GAP = 8;
mkdirSync(out, {recursive: true});

for (const name of readdirSync(dashboards).filter((n) => n.endsWith('.json')).sort()) {
  const dashboard = JSON.parse(readFileSync(join(dashboards, name), 'utf8'));
  const panels = dashboard.panels.map((panel) => ({
    ...panel,
    answers: all.filter((a) => a.dashboard === dashboard.uid && a.panel === panel.title),
  }));
  // a row that this saimon has no data for is left out
  const row = (panel) => panels.filter((p) => p.type === 'row' && p.gridPos.y <= panel.gridPos.y).at(-1);
  const empty = panels.filter((p) => p.type !== 'row' && !p.answers.some((a) => a.result.length)).map(row);
  const shown = panels.filter((p) => !empty.includes(row(p)) || !row(p));
  const height = Math.max(...shown.map((p) => (p.gridPos.y + p.gridPos.h) * ROW)) + 48;
  const width = 24 * COLUMN + GAP;
  // small enough to be kept in a repository
  const scale = height > 1500 ? 0.8 : 0.9;
  const html = join(tmpdir(), `${dashboard.uid}.html`);
  writeFileSync(html, page(dashboard.title, shown, width, height));
  execFileSync(chromium, [
    '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--virtual-time-budget=4000',
    `--window-size=${width},${height}`, `--force-device-scale-factor=${scale}`, `--screenshot=${join(out, `${dashboard.uid}.png`)}`, `file://${html}`,
  ], {stdio: 'ignore'});
  reduce(join(out, `${dashboard.uid}.png`));
  console.log(`${dashboard.uid}.png: ${width} x ${height}`);
}

function page(title, panels, width, height) {
  return `<!doctype html><meta charset="utf-8"><title>${title}</title>
<style>${uplot('uPlot.min.css')}
body{margin:0;background:#f4f5f5;font:12px sans-serif;color:#24292e;width:${width}px;height:${height}px;position:relative}
h1{font-size:16px;margin:0;padding:10px ${GAP}px}
.panel{position:absolute;background:#fff;border:1px solid #dcdfe3;overflow:hidden;box-sizing:border-box}
.panel h2{font-size:12px;margin:5px 8px 2px;font-weight:600;white-space:nowrap}
.row{position:absolute;font-weight:600;font-size:13px;padding:6px 2px}
.stat{display:flex;justify-content:space-around;align-items:center;height:calc(100% - 24px);text-align:center}
.stat b{display:block;font-size:24px}
table{border-collapse:collapse;width:100%;font-size:10.5px}td,th{padding:2px 6px;text-align:left;border-bottom:1px solid #eceef0;white-space:nowrap}
.legend{font-size:10px;margin:0 8px;white-space:nowrap;overflow:hidden;height:14px}
.legend i{display:inline-block;width:10px;height:3px;margin:0 4px 3px 8px}
.u-legend{display:none}</style>
<h1>${title}</h1><script>${uplot('uPlot.iife.min.js')}</script>
<script>const PANELS=${JSON.stringify(panels).replaceAll('</', '<\\/')};const [COLUMN,ROW,GAP]=[${COLUMN},${ROW},${GAP}];
(${draw.toString()})();</script>`;
}

function draw() {
  const named = {green: '#56a64b', blue: '#3274d9', yellow: '#e0b400', orange: '#ff780a', red: '#e02f44'};
  const palette = ['#56a64b', '#e0b400', '#3274d9', '#ff780a', '#e02f44', '#a352cc', '#0a50a1', '#6d9e31', '#8f3bb8', '#b5651d'];
  const html = (s) => String(s).replace(/[&<>]/g, (c) => ({'&': '&amp;', '<': '&lt;', '>': '&gt;'})[c]);
  const short = (v, unit, decimals) => {
    if (v === null || !isFinite(v)) return v === null ? '' : String(v);
    if (v === 0) return '0';
    if (unit === 'percentunit') return (100 * v).toFixed(Math.abs(v) < 0.1 ? 1 : 0) + ' %';
    if (unit === 's') return Math.abs(v) < 1 ? (1000 * v).toPrecision(3) + ' ms' : v.toPrecision(3) + ' s';
    const base = unit === 'bytes' || unit === 'Bps' ? 1024 : 1000, names = ['', 'k', 'M', 'G', 'T'];
    let n = 0, x = v;
    while (Math.abs(x) >= base && n < 4) { x /= base; n += 1; }
    const text = decimals != null && n === 0 ? x.toFixed(decimals) : String(+x.toPrecision(3));
    return text + (n ? ' ' + names[n] : '') + (unit === 'bytes' ? 'B' : unit === 'Bps' ? 'B/s' : '');
  };
  const label = (legend, metric) => {
    if (legend && legend !== '__auto') return legend.replace(/\{\{(\w+)\}\}/g, (_, n) => metric[n] ?? '');
    const {__name__: _, ...rest} = metric;
    return '{' + Object.entries(rest).map(([k, v]) => `${k}="${v}"`).join(', ') + '}';
  };
  const overrides = (panel, name) => Object.assign({}, ...(panel.fieldConfig?.overrides ?? [])
    .filter((o) => o.matcher.options === name)
    .flatMap((o) => o.properties.map((p) => ({[p.id]: p.value}))));
  for (const panel of PANELS) {
    const {x, y, w, h} = panel.gridPos;
    const box = document.createElement('div');
    const title = panel.title.replaceAll('$metric', 'demo_load1');
    box.style.cssText = `left:${x * COLUMN + GAP}px;top:${y * ROW + 40}px;width:${w * COLUMN - GAP}px;height:${h * ROW - GAP}px`;
    document.body.append(box);
    if (panel.type === 'row') { box.className = 'row'; box.textContent = title; continue; }
    box.className = 'panel';
    box.innerHTML = `<h2>${html(title)}</h2>`;
    const custom = panel.fieldConfig.defaults.custom ?? {}, {unit, decimals} = panel.fieldConfig.defaults;
    const series = panel.answers.flatMap((a) => a.result.map((r) => ({name: label(a.legend, r.metric), ...r})));
    const steps = panel.fieldConfig.defaults.thresholds?.steps ?? [];
    const coloured = (v) => named[steps.filter((s) => s.value === null || v >= s.value).at(-1)?.color];
    const words = panel.fieldConfig.defaults.mappings?.[0]?.options ?? {};
    if (panel.type === 'stat') {
      box.innerHTML += `<div class=stat>${series.map((s) => {
        const v = +s.values.at(-1)[1], word = words[String(v)];
        return `<div>${html(s.name)}<b style="color:${named[word?.color] ?? coloured(v) ?? '#24292e'}">${word?.text ?? short(v, unit, decimals)}</b></div>`;
      }).join('')}</div>`;
    } else if (panel.type === 'table') {
      const last = Math.max(...series.map((s) => s.values.at(-1)[0]));
      const now = series.filter((s) => s.values.at(-1)[0] >= last - 1);
      const hidden = panel.transformations?.[0]?.options?.excludeByName ?? {};
      const columns = [...new Set(now.flatMap((s) => Object.keys(s.metric)))].filter((c) => !hidden[c]).sort().slice(0, 9);
      const value = !hidden.Value;
      const rows = now.map((s) => ({...s.metric, Value: +s.values.at(-1)[1]}));
      const by = panel.options.sortBy?.[0];
      rows.sort((a, b) => by?.desc ? b.Value - a.Value : String(a[by?.displayName]).localeCompare(String(b[by?.displayName])));
      const room = Math.floor((h * ROW - 56) / 20);
      box.innerHTML += `<table><tr>${columns.map((c) => `<th>${c}</th>`).join('')}${value ? '<th>value</th>' : ''}</tr>${rows.slice(0, room).map((r) =>
        `<tr>${columns.map((c) => `<td>${html((r[c] ?? '').slice(0, 34))}</td>`).join('')}${value ? `<td style="background:${(coloured(r.Value) ?? '#ffffff')}44">${short(r.Value, unit, decimals)}</td>` : ''}</tr>`).join('')}</table>`;
    } else {
      const times = [...new Set(series.flatMap((s) => s.values.map((v) => v[0])))].sort((a, b) => a - b);
      const at = series.map((s) => { const m = new Map(s.values); return times.map((t) => m.has(t) && isFinite(+m.get(t)) ? +m.get(t) : null); });
      if (panel.type === 'state-timeline') {
        const room = Math.floor((h * ROW - 40) / 22);
        box.innerHTML += series.slice(0, room).map((s, i) => `<div style="display:flex;height:20px;margin:1px 8px"><span style="width:330px;font-size:10px;overflow:hidden;white-space:nowrap">${html(s.name)}</span><span style="flex:1;display:flex">${
          at[i].map((v) => `<span style="flex:1;background:${v === null ? '#fff' : named[words[String(v)]?.color]}"></span>`).join('')}</span></div>`).join('');
        continue;
      }
      const stacked = custom.stacking?.mode === 'normal';
      if (stacked) for (let i = 1; i < at.length; i += 1) at[i] = at[i].map((v, j) => (v ?? 0) + (at[i - 1][j] ?? 0));
      const colours = series.map((s, i) => named[overrides(panel, s.name).color?.fixedColor] ?? palette[i % palette.length]);
      const order = stacked ? series.map((_, i) => i).reverse() : series.map((_, i) => i);
      const bands = [];
      order.forEach((i, k) => {
        const below = overrides(panel, series[i].name)['custom.fillBelowTo'];
        // each upper with the lower that has the same labels
        const key = (s) => JSON.stringify({...s.metric, __name__: ''});
        const low = below && order.findIndex((j) => series[j].name === below && key(series[j]) === key(series[i]));
        if (below && low >= 0) bands.push({series: [k + 1, low + 1], fill: '#3274d930'});
      });
      const plot = document.createElement('div');
      box.append(plot);
      const lines = (u) => {
        if (custom.thresholdsStyle?.mode !== 'line') return;
        for (const s of steps.filter((s) => s.value !== null)) {
          const y = u.valToPos(s.value, 'y', true);
          u.ctx.strokeStyle = named[s.color]; u.ctx.lineWidth = 1; u.ctx.setLineDash([4, 4]);
          u.ctx.beginPath(); u.ctx.moveTo(u.bbox.left, y); u.ctx.lineTo(u.bbox.left + u.bbox.width, y); u.ctx.stroke(); u.ctx.setLineDash([]);
        }
      };
      const {min, max} = panel.fieldConfig.defaults;
      const shown = series.some((s) => s.values.length) ? order : [];
      if (!shown.length) { box.innerHTML += '<p style="margin:20px">no data</p>'; continue; }
      new uPlot({
        width: w * COLUMN - GAP - 4, height: h * ROW - 50, padding: [6, 8, 0, 0], cursor: {show: false}, legend: {show: false},
        scales: {x: {time: true}, y: {range: min != null ? [min, max] : (u, lo, hi) => uPlot.rangeNum(Math.min(lo, stacked ? 0 : lo), hi, 0.1, true)}},
        axes: [{font: '10px sans-serif', size: 26, grid: {stroke: '#eceef0'}}, {font: '10px sans-serif', size: 56, grid: {stroke: '#eceef0'}, values: (u, vs) => vs.map((v) => short(v, unit))}],
        bands, hooks: {draw: [lines]},
        series: [{}, ...order.map((i) => {
          const o = overrides(panel, series[i].name);
          return {stroke: colours[i], width: o['custom.lineWidth'] ?? 1, points: {show: false}, spanGaps: false,
            dash: o['custom.lineStyle'] ? [6, 4] : undefined, fill: stacked ? colours[i] + '55' : undefined};
        })],
      }, [times, ...order.map((i) => at[i])], plot);
      const seen = new Set();
      const legend = document.createElement('div');
      legend.className = 'legend';
      legend.innerHTML = series.map((s, i) => seen.has(s.name) ? '' : (seen.add(s.name), `<i style="background:${colours[i]}"></i>${html(s.name)}`)).join('');
      box.append(legend);
    }
  }
}
