// One measured act of baking in a process of its own: prints what it took as JSON, the peak of its memory included.
import { readFile } from 'node:fs/promises';
import { PusaError } from '../../src-main/core/errors.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { bakePackage } from '../../src-main/engine/weights/bake-package.ts';
import { importPackage } from '../../src-main/engine/weights/import-package.ts';
import { loadModel } from '../../src-main/engine/weights/load-model.ts';
import { openCheckpoint } from '../../src-main/engine/weights/open-checkpoint.ts';
import { openPackage } from '../../src-main/engine/weights/package.ts';
import { recognise } from '../../src-main/engine/weights/recognise.ts';
import { clip, forward, psnr } from '../support/clip.ts';
import { randomValues, relativeError, timed } from './support.ts';

const [act = '', source = '', target = '', ...rest] = process.argv.slice(2);

async function main(): Promise<Record<string, unknown>> {
  switch (act) {
    case 'recognise': {
      let found: unknown;
      const ms = await timed(async () => {
        const checkpoint = await openCheckpoint(source);
        const recognised = recognise(checkpoint);
        found = { family: recognised.family, config: 'config' in recognised ? recognised.config : null };
        await checkpoint.close();
      });
      return { ms, found };
    }
    case 'import':
      return { ms: await timed(() => importPackage(source)) };
    case 'bake': {
      const [precision, ...flags] = rest;
      const model = await openPackage(source);
      const ms = await timed(() =>
        bakePackage(model, target, {
          id: 'baked',
          precision: precision as 'int8',
          search: flags.includes('search'),
        }),
      );
      return { ms };
    }
    case 'begin': {
      // Ends as soon as the first block of the model is in the file.
      const [bytes, ...flags] = rest;
      const stop = new AbortController();
      const model = await openPackage(source);
      const ms = await timed(() =>
        bakePackage(model, target, {
          id: 'baked',
          precision: 'int8',
          mergeLoras: flags.includes('merge'),
          signal: stop.signal,
          onProgress: ({ doneBytes }) => {
            if (doneBytes >= Number(bytes)) stop.abort();
          },
        }).catch((thrown: unknown) => {
          if (!(thrown instanceof PusaError) || thrown.code !== 'CANCELLED') throw thrown;
        }),
      );
      const journal = await readFile(`${target}.part/diffusion-model.int8.safetensors.journal`, 'utf8');
      return { ms, tensors: journal.trimEnd().split('\n').length - 1 };
    }
    case 'compare': {
      const [a, b] = [await openPackage(source), await openPackage(target)];
      const error = relativeError(await forward(b, 1), await forward(a, 1));
      return { ms: 0, forward: error, psnr: psnr(await clip(b, 8), await clip(a, 8)) };
    }
    case 'step': {
      const model = loadModel(createRuntime('cpu'), await openPackage(source));
      const denoiser = await model.denoiser();
      const latents = { data: randomValues(16 * 60 * 104, 1, 3), shape: [16, 1, 60, 104] };
      const context = { data: randomValues(512 * 4096, 0.1, 4), shape: [512, 4096] };
      let finite = false;
      const ms = await timed(async () => {
        const { data } = await denoiser.velocity(latents, Float32Array.of(900), context, 1);
        finite = data.every(Number.isFinite);
      });
      await model.release();
      return { ms, finite };
    }
    default:
      throw new Error(`No such act: ${act}`);
  }
}

const result = await main();
process.stdout.write(`${JSON.stringify({ ...result, peakBytes: process.resourceUsage().maxRSS * 1024 })}\n`);
