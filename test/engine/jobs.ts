import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sampler } from '../../src-main/core/contract/project.ts';
import type { Tensor } from '../../src-main/engine/networks.ts';
import { buildPlan, type PlanInput } from '../../src-main/core/plan/plan.ts';
import {
  createJobFolder,
  type JobDraft,
  type SourcePixels,
} from '../../src-main/engine/pipeline/job-folder.ts';

/** A small job's settings; what is left out is 17 frames of 48×80, four Euler steps with CFG 3. */
export interface SmallJob {
  readonly model: { readonly id: string; readonly hash: string };
  readonly sampler?: Partial<Sampler>;
  readonly width?: number;
  readonly height?: number;
  /** Marks of the five cells; default image → video from cell 0 with a blended last cell. */
  readonly cells?: PlanInput['cells'];
  readonly prompt?: string;
}

export const smallSampler: Sampler = {
  solver: 'euler',
  steps: 4,
  cfg: 3,
  shift: 5,
  seed: 1234,
  loraStrength: 1,
};

const noisy = { kind: 'noisy', m: 1 } as const;

/** Cell 0 conditioned by a picture, cells 1 and 2 fixed by a clip with one cell of run-in, the last one blended. */
export const conditionedCells: PlanInput['cells'] = [
  { kind: 'interpolated', m: 0.2 },
  { kind: 'fixed', m: 0 },
  { kind: 'interpolated', m: 0.4 },
  noisy,
  { kind: 'interpolated', m: 0.7 },
];

/** Cells without a condition: text → video. */
export const noisyCells: PlanInput['cells'] = [noisy, noisy, noisy, noisy, noisy];

/** A draft and its pixels. The conditioned form has a picture in cell 0 and a clip in cells 1 and 2. */
export function smallDraft(id: string, options: SmallJob): { draft: JobDraft; pixels: SourcePixels[] } {
  const { width = 80, height = 48, cells = conditionedCells } = options;
  const sampler = { ...smallSampler, ...options.sampler };
  const conditioned = cells.some(({ m }) => m < 1);
  const plan = buildPlan({
    frames: 17,
    cells,
    sourced: [conditioned, conditioned, conditioned, false, false],
    sampler,
  });
  const sources = conditioned
    ? [
        { firstCell: 0, cells: 1, dropCells: 0, frameCount: 1 },
        { firstCell: 1, cells: 2, dropCells: 1, frameCount: 9 },
      ]
    : [];
  const draft: JobDraft = {
    version: 1,
    id,
    software: 'Pusa Studio test',
    createdAt: '2026-01-02T03:04:05.000Z',
    width,
    height,
    fps: 16,
    prompt: options.prompt ?? 'A red ball rolls over a green meadow.',
    negativePrompt: 'static',
    sampler,
    plan,
    model: options.model,
    sources,
    // Frame 1 is the first of cell 1, whose pixels follow the run-in cell's one frame.
    originals: conditioned ? [1, 2, 3, 4].map((frame) => ({ frame, source: 1, at: frame })) : [],
  };
  const pixels = sources.map(({ frameCount }, i) => gradients(frameCount, height, width, i));
  return { draft, pixels };
}

/** Writes a small job's folder. */
export async function smallJob(path: string, options: SmallJob): Promise<void> {
  const { draft, pixels } = smallDraft('job-1', options);
  await createJobFolder(path, draft, pixels);
}

/** How many units each phase of the conditioned small job has: prompts, encoded cells, steps, decoded cells. */
export function smallUnits(steps: number): {
  text: number;
  sources: number;
  denoise: number;
  decode: number;
} {
  return { text: 2, sources: 4, denoise: steps, decode: 5 };
}

/** Moving gradients, RGB8 [frames, height, width, 3]. */
export function gradients(frames: number, height: number, width: number, phase: number): Uint8Array {
  const rgb = new Uint8Array(frames * height * width * 3);
  let i = 0;
  for (let t = 0; t < frames; t++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        rgb[i++] = (x * 3 + t * 5 + phase * 40) % 256;
        rgb[i++] = (y * 5 + t * 2) % 256;
        rgb[i++] = ((x + y) * 2 + phase * 90) % 256;
      }
    }
  }
  return rgb;
}

/** A tensor whose i-th number is `value(i)`. */
export function tensor(shape: readonly number[], value: (i: number) => number): Tensor {
  return { data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)), shape };
}

/** SHA-256 of each file of a folder that two runs of one job must have alike. */
export function outcomeOf(folder: string, steps: number): Record<string, string> {
  const names = readdirSync(folder).filter((name) =>
    /^(frames\.rgb|context\.bin|condition-\d+\.bin)$/.test(name),
  );
  return Object.fromEntries(
    [...names, `step-${steps}.bin`, `step-${steps - 1}.bin`].sort().map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    ]),
  );
}
