// `npm run bench [-- NAME [PART …] …]`: measurements, each against a baseline of the same run.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, root, script } from './support.mjs';

/** Run only when they are named. */
const long = {
  bake: 'most of an hour on two cores, 10 GB of disk; its parts 14b, 1.3b and starter run alone when named behind it',
  vae: 'about a quarter of an hour, 6 GB of memory',
};

const folder = join(root, 'test/bench');
const all = readdirSync(folder)
  .filter((name) => name.endsWith('.bench.ts'))
  .map((name) => name.slice(0, -'.bench.ts'.length));
/** Each bench with what stands behind its name. */
const wanted = [];
for (const word of process.argv.slice(2)) {
  if (all.includes(word)) wanted.push({ name: word, args: [] });
  else if (wanted.length > 0) wanted.at(-1).args.push(word);
  else {
    console.error(`No such bench: ${word}. There are: ${all.join(', ')}.`);
    process.exit(2);
  }
}
if (wanted.length === 0) {
  wanted.push(...all.filter((name) => !(name in long)).map((name) => ({ name, args: [] })));
  console.error(`Runs ${wanted.map(({ name }) => name).join(', ')}. Left out unless named:`);
  for (const [name, why] of Object.entries(long)) console.error(`  ${name}: ${why}.`);
}
let status = build();
for (const { name, args } of wanted) {
  status ||= script(join(folder, `${name}.bench.ts`), args, { cwd: root });
}
process.exit(status);
