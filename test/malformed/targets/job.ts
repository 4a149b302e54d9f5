import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkJob } from '../../../src-main/engine/pipeline/check-job.ts';
import { JobFolder } from '../../../src-main/engine/pipeline/job-folder.ts';
import { sampleJob } from '../../support/project.ts';
import {
  emptied,
  explain,
  jsonChanged,
  ofAnotherKind,
  scrambled,
  toJsonText,
  truncated,
  type ByteChange,
  type Random,
  type Target,
} from '../mutate.ts';

const job = sampleJob();
const text = Buffer.from(JSON.stringify(job));

function jsonFile(random: Random): ByteChange {
  const { value, ...change } = jsonChanged(random, job);
  return { ...change, bytes: Buffer.from(toJsonText(value)) };
}

const ways: readonly ((random: Random) => ByteChange)[] = [
  jsonFile,
  jsonFile,
  jsonFile,
  (random) => truncated(random, text),
  (random) => scrambled(random, text, { name: 'text', at: 0, length: text.length }),
  jsonFile,
  ofAnotherKind,
  emptied,
];

/** `job.json` in a job's folder. */
export const jobs: Target = {
  name: 'job.json',
  share: 2,
  prepare(folder) {
    const mutant = ({ bytes, ...change }: ByteChange) => ({
      ...change,
      feed: async () => {
        await writeFile(join(folder, 'job.json'), bytes);
        const opened = await JobFolder.open(folder);
        checkJob(opened.job);
        return explain(job, opened.job);
      },
    });
    return Promise.resolve({
      sound: mutant({ field: 'nothing', change: 'none', mustRefuse: false, bytes: text }),
      draw: (random, index) => Promise.resolve(mutant(ways[index % ways.length]!(random))),
    });
  },
};
