import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openStudio } from '../../src-main/studio/studio.ts';

/** A studio in a process of its own, which says `step` when a job has saved one; it is killed by its test. */
const studio = await openStudio({ dataFolder: process.argv[2]!, samples: false });
studio.context.store.onChange(({ diffs }) => {
  for (const { table, after } of diffs) {
    if (table !== 'jobs' || after === null || !('state' in after)) continue;
    process.stdout.write(`${after.state}\n`);
  }
});
setInterval(() => {
  for (const id of readdirSync(studio.context.folders.jobs)) {
    const names = readdirSync(join(studio.context.folders.jobs, id));
    if (names.some((name) => /^step-\d+\.bin$/.test(name))) process.stdout.write('step\n');
  }
}, 20);
