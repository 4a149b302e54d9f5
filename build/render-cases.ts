// Renders evaluation cases through the application's own engine:
//   node build/render-cases.ts CASES.json OUT     (written and read by starter-model/evaluation.py)
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { samplerSchema, type Clip, type Project } from '../src-main/core/contract/project.ts';
import { newProject, newRange } from '../src-main/core/presets/defaults.ts';
import { parseMarks } from '../src-main/core/timeline/parse-marks.ts';
import { readFrames } from '../src-main/engine/pipeline/job-folder.ts';
import { createSupervisor } from '../src-main/engine/supervisor.ts';
import { openPackage } from '../src-main/engine/weights/package.ts';
import { toAsset } from '../src-main/media/asset.ts';
import { freezeJob } from '../src-main/studio/freeze.ts';
import { findPlaces } from '../src-main/studio/places.ts';

const casesSchema = z.strictObject({
  /** Folder of the model package. */
  model: z.string(),
  cases: z.array(
    z.strictObject({
      name: z.string().regex(/^[a-z0-9_.-]+$/),
      prompt: z.string(),
      frames: z.int(),
      /** Pictures or folders of frames, and the frame at which each begins. */
      clips: z.array(z.strictObject({ path: z.string(), start: z.int(), frames: z.int() })),
      /** As `--marks` of `render` has them. */
      marks: z.string(),
      sampler: samplerSchema.partial(),
    }),
  ),
});

const [casesPath, out] = process.argv.slice(2);
if (casesPath === undefined || out === undefined)
  throw new Error('Usage: node build/render-cases.ts CASES.json OUT');
const { model, cases } = casesSchema.parse(JSON.parse(await readFile(casesPath, 'utf8')));
const modelPackage = await openPackage(resolve(model));
const { native, recommended } = modelPackage.manifest;
const supervisor = createSupervisor({ entry: findPlaces().engineEntry });
await mkdir(out, { recursive: true });
try {
  for (const [index, { name, prompt, frames, clips, marks, sampler }] of cases.entries()) {
    const path = join(out, `${name}.rgb`);
    if (await stat(path).catch(() => null)) continue;
    const folder = join(out, 'job');
    await rm(folder, { recursive: true, force: true });
    const paths = new Map<string, string>();
    const assets: Project['assets'] = [];
    const placed: Clip[] = [];
    for (const [i, clip] of clips.entries()) {
      const asset = await toAsset(clip.path, `a${i}`, { sequenceFps: native.fps });
      assets.push(asset);
      paths.set(asset.id, clip.path);
      const { start, frames: length } = clip;
      placed.push({
        id: `c${i}`,
        assetId: asset.id,
        track: 0,
        start,
        frames: length,
        sourceStart: 0,
        fit: 'crop',
      });
    }
    const { width, height, fps } = native;
    const base = newRange({ id: 'range', frames, recommended });
    const range = {
      ...base,
      prompt,
      negativePrompt: '',
      marks: parseMarks(marks, frames),
      sampler: samplerSchema.parse({ ...base.sampler, ...sampler }),
      keepOriginalPixels: false,
    };
    const project: Project = {
      ...newProject({ id: 'case', name, now: new Date().toISOString(), width, height, fps }),
      assets,
      clips: placed,
      ranges: [range],
    };
    const find = (asset: { readonly id: string }): Promise<string> => Promise.resolve(paths.get(asset.id)!);
    await freezeJob(project, range, modelPackage.manifest, find, folder, 'case');
    const result = await supervisor.render(folder, resolve(model));
    await pipeline(Readable.from(readFrames(folder, result)), createWriteStream(`${path}.part`));
    await rename(`${path}.part`, path);
    process.stderr.write(`\r${index + 1} of ${cases.length}  `);
  }
} finally {
  await supervisor.close();
  await rm(join(out, 'job'), { recursive: true, force: true });
}
process.stderr.write('\n');
