// Holds every dashboard against the types that Grafana publishes of its dashboards, oldest and newest
// version that are meant. Usage: node check.mjs FOLDER_OF_DASHBOARDS FOLDER_WITH_node_modules
//
// Each dashboard becomes a TypeScript literal that must satisfy the types: a key that Grafana does not
// know, a missing one and a value of another kind are errors. Enumerations are taken by their values.
import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {createRequire} from 'node:module';

const [folder, tools] = process.argv.slice(2).map((p) => resolve(p));
const ts = createRequire(join(tools, 'x.js'))('typescript');

const kinds = {
  timeseries: ['timeseries', 'TimeSeriesPanelCfg', 'Options', 'FieldConfig'],
  stat: ['stat', 'StatPanelCfg', 'Options'],
  'state-timeline': ['statetimeline', 'StateTimelinePanelCfg', 'Options', 'FieldConfig'],
  table: ['table', 'TablePanelCfg', 'Options', 'FieldConfig'],
};

const head = (schema) => `
import type {Dashboard, Panel, RowPanel, VariableModel} from '${schema}';
${Object.values(kinds)
  .map(([dir, file]) => `import type * as ${dir} from '${schema}/dist/esm/raw/composable/${dir}/panelcfg/x/${file}_types.gen';`)
  .join('\n')}
import type * as prometheus from 'grafana-10/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen';

// The values of an enumeration instead of its names.
type Plain<T> = T extends string ? \`\${T}\`
  : T extends number ? (number extends T ? number : \`\${T}\` extends \`\${infer N extends number}\` ? N : T)
  : T extends (infer U)[] ? Plain<U>[]
  : T extends (...a: never[]) => unknown ? T
  : T extends object ? {[K in keyof T]: Plain<T[K]>}
  : T;
// What of defaults is filled in may be left out.
type Deep<T> = T extends (infer U)[] ? Deep<U>[] : T extends object ? {[K in keyof T]?: Deep<T[K]>} : T;
type Query = Partial<Plain<prometheus.PrometheusDataQuery>>
  & {refId: string; expr: string; datasource: {type: string; uid: string}};
type Of<O, F> = Omit<Plain<Panel<Record<string, unknown>, F>>, 'options' | 'targets' | 'type'> & {
  type: string; options: Deep<Plain<O>>; targets: Query[];
};
`;

let failed = 0;
for (const schema of ['grafana-10', 'grafana-13']) {
  for (const name of readdirSync(folder).filter((n) => n.endsWith('.json')).sort()) {
    const dashboard = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    const {panels, templating, ...rest} = dashboard;
    const parts = [head(schema)];
    parts.push(`export const dashboard = ${JSON.stringify(rest, null, 1)} satisfies Plain<Dashboard>;`);
    for (const variable of templating.list) {
      parts.push(`export const v_${variable.name} = ${JSON.stringify(variable, null, 1)} satisfies Plain<VariableModel>;`);
    }
    panels.forEach((panel, i) => {
      let type = 'Plain<RowPanel>';
      if (panel.type !== 'row') {
        const kind = kinds[panel.type];
        if (!kind) throw new Error(`${name}: no types for panels of type ${panel.type}`);
        const [dir, , options, field] = kind;
        type = `Of<${dir}.${options}, ${field ? `${dir}.${field}` : 'Record<string, unknown>'}>`;
      }
      parts.push(`export const p_${i} = ${JSON.stringify(panel, null, 1)} satisfies ${type};`);
    });
    const file = join(tools, `${schema}-${name.replace('.json', '.ts')}`);
    writeFileSync(file, parts.join('\n'));
    const program = ts.createProgram([file], {
      strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler, types: [],
      // the types of panels name the package that they are part of
      paths: {'@grafana/schema': [join(tools, 'node_modules', schema, 'dist/index.d.ts')]},
    });
    const errors = ts.getPreEmitDiagnostics(program).filter((d) => d.file?.fileName === file);
    const lines = readFileSync(file, 'utf8').split('\n');
    for (const error of errors) {
      const {line} = error.file.getLineAndCharacterOfPosition(error.start);
      console.log(`${schema}: ${name}: ${lines[line].trim()}: ${ts.flattenDiagnosticMessageText(error.messageText, '\n  ')}`);
    }
    if (errors.length) failed += 1;
    else console.log(`${schema}: ${name}: ${panels.length} panels, ${templating.list.length} variables: ok`);
  }
}
process.exit(failed ? 1 : 0);
