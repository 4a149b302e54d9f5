import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  ftruncateSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Note } from '../../src-main/core/contract/note.ts';
import { planMemory } from '../../src-main/core/plan/memory.ts';
import { parseEngineMessage } from '../../src-main/engine/protocol.ts';
import { createSupervisor, type RenderOptions } from '../../src-main/engine/supervisor.ts';
import { nodeFork, type EngineChild, type ForkEngine } from '../../src-main/engine/transport.ts';
import { manifestSchema } from '../../src-main/engine/weights/manifest.ts';
import { readModelNeeds } from '../../src-main/engine/weights/model-needs.ts';
import { openPackage } from '../../src-main/engine/weights/package.ts';
import { safetensorsHeader } from '../../src-main/engine/weights/write-safetensors.ts';
import { noisyCells, smallJob } from './jobs.ts';

const entry = join(import.meta.dirname, '../../src-main/engine/process.ts');
const small = join(import.meta.dirname, '../fixtures/models/test-pattern');
const hash = 'a'.repeat(64);
const MB = 2 ** 20;

/** Wide blocks in float16, which become float32 when they are loaded: 38 MB each, 302 MB together. */
const config = { dim: 768, ffnDim: 3072, heads: 6, layers: 8 };
const blockBytes = 4 * (8 * config.dim ** 2 + 2 * config.dim * config.ffnDim);

let root: string;
let packageFolder: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'pusa-memory-'));
  packageFolder = join(root, 'model');
  makePackage(packageFolder);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The test pattern model with a denoiser of wide blocks of zeros: a sparse file, which takes no space on the disk. */
function makePackage(folder: string): void {
  mkdirSync(folder);
  for (const name of ['vae.safetensors', 'umt5.safetensors', 'spiece.model']) {
    copyFileSync(join(small, name), join(folder, name));
  }
  const manifest = manifestSchema.parse(JSON.parse(readFileSync(join(small, 'manifest.json'), 'utf8')));
  const { textLength } = manifest.dit.config;
  const { header, bytes } = safetensorsHeader(denoiserTensors({ ...manifest.dit.config, ...config }), {
    'pusa.num_heads': String(config.heads),
    'pusa.text_len': String(textLength),
  });
  const file = openSync(join(folder, 'dit.safetensors'), 'w');
  writeSync(file, header);
  ftruncateSync(file, header.length + bytes);
  closeSync(file);
  const dit = {
    open: 'dit.safetensors',
    files: [{ path: 'dit.safetensors', bytes: header.length + bytes, sha256: hash }],
    config: { ...manifest.dit.config, ...config },
  };
  writeFileSync(
    join(folder, 'manifest.json'),
    JSON.stringify(manifestSchema.parse({ ...manifest, id: 'wide', hash, dit })),
  );
}

function* denoiserTensors({
  dim,
  ffnDim,
  layers,
  inDim,
  outDim,
  freqDim,
  textDim,
}: Record<'dim' | 'ffnDim' | 'layers' | 'inDim' | 'outDim' | 'freqDim' | 'textDim', number>) {
  const tensor = (name: string, shape: number[]) => ({ name, dtype: 'F16' as const, shape });
  const linear = (name: string, out: number, columns: number) => [
    tensor(`${name}.weight`, [out, columns]),
    tensor(`${name}.bias`, [out]),
  ];
  yield tensor('patch_embedding.weight', [dim, inDim, 1, 2, 2]);
  yield tensor('patch_embedding.bias', [dim]);
  yield* linear('text_embedding.0', dim, textDim);
  yield* linear('text_embedding.2', dim, dim);
  yield* linear('time_embedding.0', dim, freqDim);
  yield* linear('time_embedding.2', dim, dim);
  yield* linear('time_projection.1', 6 * dim, dim);
  for (let n = 0; n < layers; n++) {
    const block = `blocks.${n}`;
    for (const at of ['self_attn', 'cross_attn']) {
      for (const side of ['q', 'k', 'v', 'o']) yield* linear(`${block}.${at}.${side}`, dim, dim);
      for (const side of ['q', 'k']) yield tensor(`${block}.${at}.norm_${side}.weight`, [dim]);
    }
    yield tensor(`${block}.norm3.weight`, [dim]);
    yield tensor(`${block}.norm3.bias`, [dim]);
    yield* linear(`${block}.ffn.0`, ffnDim, dim);
    yield* linear(`${block}.ffn.2`, dim, ffnDim);
    yield tensor(`${block}.modulation`, [1, 6, dim]);
  }
  yield* linear('head.head', 4 * outDim, dim);
  yield tensor('head.modulation', [1, 2, dim]);
}

async function render(name: string, fork: ForkEngine, options: RenderOptions = {}) {
  const folder = join(root, name);
  await smallJob(folder, {
    model: { id: 'wide', hash },
    cells: noisyCells,
    sampler: { cfg: 1, steps: 2 },
  });
  const supervisor = createSupervisor({ entry, fork, backoffMs: [10, 10, 10] });
  const notes: Note[] = [];
  try {
    const result = await supervisor.render(folder, packageFolder, {
      provider: 'cpu',
      onNote: (note) => notes.push(note),
      ...options,
    });
    return { result, notes, folder };
  } finally {
    await supervisor.close();
  }
}

/** Lets each engine allocate so many bytes more once it begins to denoise, as a machine with little memory would. */
function limited(bytes: number): { readonly fork: ForkEngine; readonly limits: number[] } {
  const limits: number[] = [];
  return {
    limits,
    fork(path): EngineChild {
      const child = nodeFork()(path);
      let isLimited = false;
      child.onMessage((value) => {
        const message = parseEngineMessage(value);
        if (message.type !== 'progress' || message.progress.phase !== 'denoise' || isLimited) return;
        isLimited = true;
        const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
        const held = 1024 * Number(/^VmData:\s+(\d+)/m.exec(status)?.[1]);
        execFileSync('prlimit', ['--pid', String(child.pid), `--data=${held + bytes}`]);
        limits.push(held);
      });
      return child;
    },
  };
}

const canLimit = process.platform === 'linux' && hasPrlimit();
if (!canLimit) process.stdout.write('\nSKIPPED: a memory limit: only Linux with prlimit can set one.\n');

function hasPrlimit(): boolean {
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('a model larger than the memory', () => {
  test('is planned from its files: what stays, what is loaded for its turn', async () => {
    const modelPackage = await openPackage(packageFolder);
    const needs = await readModelNeeds(modelPackage, 'cpu');
    expect(needs.network).toMatchObject({ ...config, patch: 2 });
    expect(needs.block.loaded).toBeGreaterThan(blockBytes);
    expect(needs.block.loaded).toBeLessThan(1.01 * blockBytes);
    const planWith = (availableBytes: number, level = 0) =>
      planMemory({
        needs,
        provider: 'cpu',
        availableBytes,
        width: 80,
        height: 48,
        frames: 17,
        attention: 'fused',
        attentionRows: 0,
        level,
      });
    expect(planWith(4096 * MB)).toMatchObject({ residentBlocks: 8, streamedBlocks: 0, arena: true });
    const tight = planWith(500 * MB);
    expect(tight.residentBlocks).toBeGreaterThan(0);
    expect(tight.residentBlocks).toBeLessThan(8);
    expect(planWith(220 * MB)).toMatchObject({ residentBlocks: 0, arena: false });
    expect([0, 1, 2, 3].map((level) => planWith(4096 * MB, level).residentBlocks)).toEqual([8, 4, 2, 0]);
  });

  test.skipIf(!canLimit)(
    'runs out, goes on from its last step in smaller parts, says so, and gives the same',
    { timeout: 120_000 },
    async () => {
      const free = await render('free', nodeFork());
      expect(free.notes).toEqual([]);
      expect(free.result.peakBytes).toBeGreaterThan(8 * blockBytes);
      // Room for about half of the blocks.
      const { fork, limits } = limited(180 * MB);
      const little = await render('little', fork);
      expect(limits.length).toBeGreaterThan(0);
      expect(little.notes.length).toBeGreaterThan(0);
      expect(little.notes[0]).toMatchObject({ code: 'MEMORY_HALF' });
      expect(little.notes[0]!.text).toMatch(/memory/);
      expect(little.result.notes).toEqual(little.notes);
      expect(little.result.peakBytes!).toBeLessThan(free.result.peakBytes! - 2 * blockBytes);
      expect(little.result.framesSha256).toBe(free.result.framesSha256);
      const kept: unknown = JSON.parse(readFileSync(join(little.folder, 'memory.json'), 'utf8'));
      expect(kept).toEqual({ level: little.notes.length, notes: little.notes });
    },
  );

  test.skipIf(!canLimit)(
    'that not even one part fits in ends with a sentence that says what to do',
    { timeout: 120_000 },
    async () => {
      const { fork } = limited(12 * MB);
      await expect(render('none', fork)).rejects.toMatchObject({
        code: expect.stringMatching(/OUT_OF_MEMORY|ENGINE_CRASHED/) as string,
        remedy: expect.stringMatching(/smaller size/) as string,
      });
    },
  );
});
