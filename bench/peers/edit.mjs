// What bench/peers/edit.py does, for libraries from npm: `node edit.mjs PEER FOLDER MODULES`.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [peer, folder, modules] = process.argv.slice(2);
const load = createRequire(join(modules, 'any.js'));
const SECTION = 'general_settings';
const FLAGS = ['disable_spend_logs', 'disable_error_logs'];

const PEERS = {
  yaml() {
    const { parseDocument } = load('yaml');
    return (text) => {
      const document = parseDocument(text);
      if (document.errors.length) throw document.errors[0];
      for (const flag of FLAGS) document.setIn([SECTION, flag], false);
      return document.toString({ lineWidth: 0, flowCollectionPadding: false });
    };
  },
  'yaml-diff-patch'() {
    const { yamlPatch } = load('yaml-diff-patch');
    const operations = FLAGS.map((flag) => ({
      op: 'add',
      path: `/${SECTION}/${flag}`,
      value: false,
    }));
    return (text) => yamlPatch(text, operations);
  },
  'yawn-yaml'() {
    const { default: YAWN } = load('yawn-yaml');
    return (text) => {
      const yawn = new YAWN(text);
      const data = yawn.json;
      data[SECTION] ??= {};
      for (const flag of FLAGS) data[SECTION][flag] = false;
      yawn.json = data;
      return yawn.yaml;
    };
  },
};

const edit = PEERS[peer]();
try {
  edit('general_settings:\n  a: 1\n');
} catch {
  // as in edit.py: only to have everything set up
}
for (const name of readdirSync(folder).filter((each) => each.endsWith('.yaml')).sort()) {
  const path = join(folder, name);
  const text = readFileSync(path, 'utf8');
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  let edited;
  try {
    edited = edit(text);
  } catch (error) {
    writeFileSync(path.replace(/yaml$/, 'refused'), String(error));
    continue;
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
  const sample = { seconds, cpu_seconds: (user + system) / 1e6, peak_mib: peak / 1024 };
  writeFileSync(path.replace(/yaml$/, 'json'), JSON.stringify(sample));
  writeFileSync(path.replace(/yaml$/, 'out'), edited);
}
