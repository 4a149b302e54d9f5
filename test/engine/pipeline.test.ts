import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Phase } from '../../src-main/core/contract/job.ts';
import { PusaError } from '../../src-main/core/errors.ts';
import { baseBytes } from '../../src-main/core/plan/memory.ts';
import { firstFitting, tilingLadder, type CodecNeeds } from '../../src-main/core/plan/tiles.ts';
import type { Tensor } from '../../src-main/engine/networks.ts';
import { JobFolder } from '../../src-main/engine/pipeline/job-folder.ts';
import {
  conditionLatents,
  guide,
  pixelsToTensor,
  predictClean,
  tensorToPixels,
} from '../../src-main/engine/pipeline/latents.ts';
import { ProgressMeter } from '../../src-main/engine/pipeline/progress.ts';
import { Tiles } from '../../src-main/engine/pipeline/tiles.ts';
import { runJob, type JobModel, type PipelineHooks } from '../../src-main/engine/pipeline/pipeline.ts';
import type { Result } from '../../src-main/engine/pipeline/result.ts';
import { textPasses } from '../../src-main/engine/pipeline/stages/text.ts';
import type { Wish } from '../../src-main/engine/pipeline/watch.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { fitPreview } from '../../src-main/engine/wan/preview.ts';
import { loadModel, type LoadedModel } from '../../src-main/engine/weights/load-model.ts';
import { openPackage } from '../../src-main/engine/weights/package.ts';
import { gradients, noisyCells, outcomeOf, smallDraft, smallJob, type SmallJob, tensor } from './jobs.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'pusa-pipeline-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const model = { id: 'test-pattern', hash: 'a'.repeat(64) };

function jobIn(name: string): string {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

test('latents: clips land in their cells, blends are weighted, predictions follow the plan', () => {
  const { draft } = smallDraft('job-1', { model });
  const { plan } = draft;
  const sources = draft.sources.map((source) => ({ ...source, sha256: '' }));
  // Two channels; a latent's value says its source, cell and channel.
  const encoded = sources.map(({ dropCells, cells }, s) =>
    tensor(
      [2, dropCells + cells, 1, 2],
      (i) => 100 * (s + 1) + 10 * (Math.floor(i / 2) % (dropCells + cells)) + (i % 2),
    ),
  );
  const condition = conditionLatents(plan, sources, encoded, [2, 5, 1, 2]);
  const cell = (t: Tensor, f: number): number[] => [...t.data.subarray(2 * f, 2 * f + 2)];
  expect(cell(condition, 0)).toEqual([100, 101]);
  // The clip's first latent is run-in.
  expect(cell(condition, 1)).toEqual([210, 211]);
  expect(cell(condition, 2)).toEqual([220, 221]);
  expect(cell(condition, 3)).toEqual([0, 0]);
  // Cell 4 has only cell 2 beside it.
  expect(cell(condition, 4)).toEqual([220, 221]);
  const between = structuredClone(plan);
  between.cells[4] = {
    kind: 'interpolated',
    m: 0.7,
    source: {
      from: 'blend',
      of: [
        { cell: 0, weight: 0.25 },
        { cell: 2, weight: 0.75 },
      ],
    },
  };
  expect(cell(conditionLatents(between, sources, encoded, [2, 5, 1, 2]), 4)).toEqual([190, 191]);

  const latents = tensor([1, 5, 1, 1], () => 1);
  const velocity = tensor([1, 5, 1, 1], () => 0.5);
  const k = 1;
  const prediction = predictClean(plan, k, latents, velocity);
  for (const [f, { m }] of plan.cells.entries()) {
    expect(prediction.data[f], `cell ${f}`).toBeCloseTo(1 - plan.sigmas[k]! * m * 0.5, 6);
  }
  // A frozen cell's velocity means nothing.
  const frozen = structuredClone(plan);
  frozen.sigmaSteps[k]![4] = 0;
  expect(predictClean(frozen, k, latents, velocity).data[4]).toBe(1);
  expect([
    ...guide(
      tensor([2], () => 3),
      tensor([2], (i) => i),
      2,
    ).data,
  ]).toEqual([6, 5]);
});

test('pixels survive the way to tensors and back, and are cut as the reference does', () => {
  const rgb = gradients(3, 4, 6, 1);
  const pixels = pixelsToTensor(rgb, 3, 4, 6);
  expect(pixels.shape).toEqual([3, 3, 4, 6]);
  expect(pixels.data[0]).toBeCloseTo((rgb[0]! * 2) / 255 - 1, 6);
  expect(pixels.data[3 * 4 * 6]).toBeCloseTo((rgb[1]! * 2) / 255 - 1, 6);
  // Truncation may lose one step of 256 to rounding, never more.
  const back = tensorToPixels(pixels);
  expect(Math.max(...back.map((value, i) => Math.abs(value - rgb[i]!)))).toBeLessThanOrEqual(1);
  const levels = tensor([3, 1, 1, 2], (i) => [-1.5, -1, -0.001, 0.999, 1, 7][i]!);
  expect([...tensorToPixels(levels)]).toEqual([0, 127, 255, 0, 254, 255]);
});

test('progress is measured: no seconds before a step was timed, and a share that never falls', () => {
  let now = 100;
  const units: Record<Phase, number> = { load: 1, text: 2, sources: 3, denoise: 4, decode: 5, save: 1 };
  const meter = new ProgressMeter(units, {}, () => now);
  let last = 0;
  const see = (progress: ReturnType<ProgressMeter['begin']>) => {
    expect(progress.fraction).toBeGreaterThanOrEqual(last);
    last = progress.fraction;
    return progress;
  };
  expect(see(meter.begin('load', 0)).secondsLeft).toBeNull();
  see(meter.begin('text', 0));
  now += 2;
  see(meter.advance(1));
  now += 2;
  expect(see(meter.advance(2)).secondsLeft).toBeNull();
  see(meter.begin('sources', 3));
  expect(see(meter.begin('denoise', 0)).secondsLeft).toBeNull();
  now += 2;
  expect(see(meter.advance(0.2)).secondsLeft).toBeNull();
  now += 3;
  // Half a step took 5 seconds; decoding was never timed and is not in it.
  expect(see(meter.advance(0.5))).toMatchObject({ phase: 'denoise', done: 0, total: 4, secondsLeft: 35 });
  now += 5;
  expect(see(meter.advance(1))).toMatchObject({ done: 1, secondsLeft: 30 });
  now += 4;
  see(meter.advance(2));
  now += 4;
  // The first step, which loaded the model, is forgotten.
  expect(see(meter.advance(3))).toMatchObject({ done: 3, secondsLeft: 4 });
  now += 4;
  see(meter.advance(4));
  see(meter.begin('decode', 0));
  now += 3;
  expect(see(meter.advance(3))).toMatchObject({ done: 3, secondsLeft: 2 });
  expect(meter.rates()).toEqual({ text: 2, denoise: 4, decode: 1 });
  // Decoded again with smaller tiles: the phase starts anew, the share does not.
  expect(see(meter.begin('decode', 0)).done).toBe(0);

  const again = new ProgressMeter(units, meter.rates(), () => now);
  expect(again.begin('load', 0).secondsLeft).toBe(2 * 2 + 4 * 4 + 5 * 1);
});

test('tiles follow the memory there is, and only shrink', async () => {
  expect(tilingLadder(6, 10)).toEqual([null]);
  const rungs = tilingLadder(60, 104);
  expect(rungs.length).toBe(4);
  const needs: CodecNeeds = { weightBytes: 5000, bytesPerLatent: 100_000, stride: [4, 8, 8] };
  const size = { width: 832, height: 480, frames: 17 };
  const bytes = (height: number, width: number): number => 5000 + height * width * 100_000;
  // In tiles the whole video is held: three colours of each frame, and one weight.
  const blend = 4 * (3 * 17 + 1) * 832 * 480;
  const first = (available: number): number => firstFitting(rungs, needs, size, available);
  expect(first(bytes(60, 104))).toBe(0);
  expect(first(bytes(60, 104) - 1)).toBe(1);
  expect(first(bytes(30, 52) + blend)).toBe(1);
  expect(first(bytes(30, 52) + blend - 1)).toBe(2);
  expect(first(1)).toBe(3);

  const folder = jobIn('tiles');
  const tiles = await Tiles.open(folder, rungs, 1);
  const tried: unknown[] = [];
  const result = await tiles.run('decode', (tiling) => {
    tried.push(tiling?.tile);
    if (tried.length === 1) throw new PusaError('OUT_OF_MEMORY', 'No.', 'No.');
    // As V8 says it where an array cannot be had.
    if (tried.length === 2) throw new RangeError('Array buffer allocation failed');
    return Promise.resolve('done');
  });
  expect(result).toBe('done');
  expect(tried).toEqual([
    [30, 52],
    [16, 28],
    [8, 14],
  ]);
  // Another process goes on with them, whatever it would have begun with.
  const resumed = await Tiles.open(folder, rungs, 0);
  expect(resumed.tiling?.tile).toEqual([8, 14]);
  expect(resumed.notes).toHaveLength(2);
  const failing = () => Promise.reject(new PusaError('OUT_OF_MEMORY', 'Not even so.', 'No.'));
  await expect(resumed.run('decode', failing)).rejects.toThrow('Not even so.');
  writeFileSync(join(folder, 'tiles.json'), '{"rung":');
  expect((await Tiles.open(folder, rungs, 0)).tiling).toBeNull();
});

describe('a whole job in this process', () => {
  let loaded: LoadedModel;
  beforeAll(async () => {
    const folder = join(import.meta.dirname, '../fixtures/models/test-pattern');
    loaded = loadModel(createRuntime('cpu'), await openPackage(folder));
  });
  afterAll(() => loaded.release());

  async function makeJob(name: string, options: Omit<SmallJob, 'model'>): Promise<JobFolder> {
    const path = join(root, name);
    await smallJob(path, { ...options, model: { id: 'test-pattern', hash: loaded.hash } });
    return JobFolder.open(path);
  }

  function run(
    folder: JobFolder,
    model: Partial<JobModel> = {},
    hooks: Partial<PipelineHooks> = {},
    availableBytes = 2 ** 34,
  ): Promise<Result> {
    return runJob(
      folder,
      { ...loaded, ...model },
      { onProgress: () => undefined, previews: null, log: () => undefined, wish: () => 'run', ...hooks },
      { availableBytes },
    );
  }

  test.each(['euler', 'unipc', 'dpm++'] as const)(
    'with %s stopped after any step goes on to the same bytes, its solver’s memory included',
    async (solver) => {
      const options = { width: 32, height: 32, cells: noisyCells, sampler: { solver, steps: 6, cfg: 2 } };
      const whole = await makeJob(`${solver}-whole`, options);
      const result = await run(whole);
      expect(result).toMatchObject({ partial: false, stepsDone: 6, frames: 17 });

      const stopped = await makeJob(`${solver}-stopped`, options);
      for (let k = 1; k < 6; k++) {
        let reached = 0;
        const wish = () => (reached >= k ? 'cancel' : 'run');
        const onProgress: PipelineHooks['onProgress'] = ({ phase, done }) => {
          if (phase === 'denoise') reached = done;
        };
        await expect(run(stopped, {}, { wish, onProgress })).rejects.toMatchObject({ code: 'CANCELLED' });
        expect(await stopped.savedSteps()).toContain(k);
      }
      await run(stopped);
      expect(outcomeOf(stopped.path, 6)).toEqual(outcomeOf(whole.path, 6));
    },
  );

  test('with CFG 1 runs no negative pass; with another each step runs two', async () => {
    const calls = async (cfg: number): Promise<{ encoded: string[]; velocities: number }> => {
      const encoded: string[] = [];
      let velocities = 0;
      const folder = await makeJob(`cfg-${cfg}`, { width: 32, height: 32, sampler: { cfg, steps: 3 } });
      await run(folder, {
        textEncoder: async () => {
          const encoder = await loaded.textEncoder();
          return {
            encode: (prompt, onSegment) => {
              encoded.push(prompt);
              return encoder.encode(prompt, onSegment);
            },
            release: () => encoder.release(),
          };
        },
        denoiser: async () => {
          const denoiser = await loaded.denoiser();
          return {
            velocity: (...input) => {
              velocities++;
              return denoiser.velocity(...input);
            },
            release: () => denoiser.release(),
          };
        },
      });
      expect(encoded.length).toBe(textPasses(cfg));
      return { encoded, velocities };
    };
    expect(await calls(1)).toEqual({ encoded: ['A red ball rolls over a green meadow.'], velocities: 3 });
    expect(await calls(2.5)).toEqual({
      encoded: ['A red ball rolls over a green meadow.', 'static'],
      velocities: 6,
    });
  });

  test('whose memory runs out is decoded in smaller tiles, and says so', async () => {
    const options = { width: 160, height: 96, cells: noisyCells, sampler: { steps: 1, cfg: 1 } };
    const folder = await makeJob('memory', options);
    // Untiled, this codec has no memory, as a real one on a small machine.
    const codec: JobModel['codec'] = async () => {
      const real = await loaded.codec();
      return {
        ...real,
        decode: (latents, tiling, ...rest) =>
          tiling === null
            ? Promise.reject(new PusaError('OUT_OF_MEMORY', 'No memory.', 'Buy some.'))
            : real.decode(latents, tiling, ...rest),
      };
    };
    const result = await run(folder, { codec });
    expect(result.tiling).toEqual({ tile: [8, 14], stride: [4, 7] });
    expect(result.notes).toEqual([
      {
        code: 'MEMORY_TILES',
        text: 'The memory ran out while the result was decoded; the work went on in tiles of 8×14 latents.',
        values: { phase: 'decode', rows: 8, columns: 14 },
      },
    ]);
    // A machine that is known to be small begins with tiles, and gives the same.
    const planned = await makeJob('memory-planned', options);
    const small = await run(planned, {}, {}, baseBytes);
    expect(small).toMatchObject({ tiling: result.tiling, notes: [], framesSha256: result.framesSha256 });
    // Without memory for the smallest tiles there is no result, and the steps are kept.
    const hopeless = await makeJob('memory-hopeless', options);
    const none: JobModel['codec'] = async () => ({
      ...(await loaded.codec()),
      decode: () => Promise.reject(new PusaError('OUT_OF_MEMORY', 'No memory.', 'Buy some.')),
    });
    await expect(run(hopeless, { codec: none })).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    expect(await hopeless.readResult()).toBeNull();
    expect(await hopeless.savedSteps()).toEqual([1]);
    expect(readdirSync(hopeless.path)).not.toContain('frames.rgb');
  });

  test('goes on without previews, but hears a cancellation while they are prepared', async () => {
    const folder = await makeJob('previews', { width: 32, height: 32, cells: noisyCells });
    const show = (): void => undefined;
    let wish: Wish = 'run';
    const prepare: NonNullable<PipelineHooks['previews']>['prepare'] = async (codec, onSegment) => {
      wish = 'cancel';
      await fitPreview(codec, onSegment);
    };
    const cancelled = run(folder, {}, { previews: { prepare, show }, wish: () => wish });
    await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await folder.savedSteps()).toEqual([]);

    const logged: string[] = [];
    const none = { prepare: () => Promise.reject(new Error('no')), show };
    const result = await run(folder, {}, { previews: none, log: (text) => logged.push(text) });
    expect(result.stepsDone).toBe(4);
    expect(logged).toEqual([expect.stringContaining('There are no previews') as string]);
  });

  test('that goes wrong says what: numbers that are not finite, a size the model cannot make', async () => {
    const folder = await makeJob('nan', { width: 32, height: 32, sampler: { steps: 2, cfg: 1 } });
    const denoiser: JobModel['denoiser'] = async () => {
      const real = await loaded.denoiser();
      return {
        release: () => real.release(),
        velocity: async (...input) => {
          const velocity = await real.velocity(...input);
          velocity.data[velocity.data.length - 1] = NaN;
          return velocity;
        },
      };
    };
    await expect(run(folder, { denoiser })).rejects.toMatchObject({
      code: 'MODEL_CANNOT',
      message: 'The model gave numbers that are not finite in step 1 of 2.',
    });
    expect(await folder.savedSteps()).toEqual([]);

    const codec: JobModel['codec'] = async () => ({ ...(await loaded.codec()), stride: [4, 16, 16] });
    const odd = await makeJob('odd', { width: 48, height: 32, cells: noisyCells });
    await expect(run(odd, { codec })).rejects.toMatchObject({
      code: 'MODEL_CANNOT',
      remedy: 'Choose a width that is a multiple of 32 and a height that is a multiple of 32.',
    });
    await expect(run(folder, { hash: '0'.repeat(64) })).rejects.toMatchObject({ code: 'JOB_MISMATCH' });
    expect(readdirSync(folder.path)).not.toContain('lock');
  });
});
