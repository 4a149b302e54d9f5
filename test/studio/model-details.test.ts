import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bakePackage } from '../../src-main/engine/weights/bake-package.ts';
import { importPackage } from '../../src-main/engine/weights/import-package.ts';
import { openPackage } from '../../src-main/engine/weights/package.ts';
import { findPlaces } from '../../src-main/studio/places.ts';
import { connectStudio, type Connected } from './connect.ts';

describe('what a model consists of', () => {
  let data: string;
  let studio: Connected;

  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'pusa-details-'));
    const source = await openPackage(join(findPlaces().resources, 'models', 'starter'));
    await bakePackage(source, join(data, 'models', 'small'), {
      id: 'small',
      precision: 'int8',
      mergeLoras: true,
    });
    studio = await connectStudio(data);
  });
  afterAll(async () => {
    await studio.close();
    await rm(data, { recursive: true, force: true });
  });

  it('is told part by part, from headers alone', async () => {
    const details = await studio.call.models.details({ model: 'starter' });
    expect(details.family).toBe('wan2.1');
    expect(details.parts.map(({ part, own, files }) => [part, own, files])).toEqual([
      ['dit', true, 1],
      ['lora', true, 1],
      ['vae', true, 1],
      ['textEncoder', true, 1],
    ]);
    const [dit, lora, vae, text] = details.parts;
    // What the manifest says of the files is what the headers add up to, but for the headers themselves.
    for (const part of [dit, lora, vae, text]) {
      const tensors = Object.values(part!.formats).reduce((sum, bytes) => sum + bytes, 0);
      expect(tensors).toBeLessThan(part!.bytes);
      expect(tensors).toBeGreaterThan(part!.bytes * 0.9);
      expect(part!.parameters).toBeGreaterThan(0);
    }
    // Six blocks of width 192: eight projections of attention and two of 768.
    expect(dit!.matrices.numbers).toBe(6 * (8 * 192 * 192 + 2 * 192 * 768));
    expect(vae!.matrices.numbers).toBe(0);
    expect(details.baked).toBeNull();
  });

  it('of a baked model with its source, its LoRAs and the error of every matrix', async () => {
    const details = await studio.call.models.details({ model: 'small' });
    const [dit] = details.parts;
    expect(Object.keys(dit!.formats)).toContain('int8');
    expect(details.parts.some(({ part }) => part === 'lora')).toBe(false);
    expect(details.baked).toMatchObject({
      precision: 'int8',
      blockSize: 32,
      search: false,
      source: 'Pusa Studio Starter',
      merged: [{ name: 'starter_pusa_lora', strength: 1 }],
    });
    const { layers } = details.baked!;
    expect(layers).toHaveLength(6 * 10);
    for (const { name, error } of layers) {
      expect(name).toMatch(/^blocks\.\d\./);
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThan(0.02);
    }
  });

  it('of two experts with the LoRAs and the layers of both', async () => {
    const starter = join(findPlaces().resources, 'models', 'starter');
    const pair = join(data, 'pair');
    await mkdir(pair);
    for (const [name, from] of [
      ['wan_high_noise', 'starter_base'],
      ['wan_low_noise', 'starter_base'],
      ['pusa_high_noise', 'starter_pusa_lora'],
      ['pusa_low_noise', 'starter_pusa_lora'],
      ['vae', 'starter_vae'],
      ['text', 'starter_umt5'],
    ] as const) {
      await copyFile(join(starter, `${from}.safetensors`), join(pair, `${name}.safetensors`));
    }
    const source = await importPackage(pair, { id: 'pair', into: join(data, 'models', 'pair') });
    const { models } = await studio.call.models.list({});
    expect(models.find(({ id }) => id === 'pair')!.loras.map(({ name }) => name)).toEqual([
      'pusa_high_noise',
      'pusa_low_noise',
    ]);
    await bakePackage(source, join(data, 'models', 'pair8'), {
      id: 'pair8',
      precision: 'int8',
      mergeLoras: true,
    });
    const { baked } = await studio.call.models.details({ model: 'pair8' });
    expect(baked!.merged.map(({ name }) => name)).toEqual([
      'pusa_high_noise (high noise)',
      'pusa_low_noise (low noise)',
    ]);
    expect(new Set(baked!.layers.map(({ name }) => name)).size).toBe(2 * 60);
  });

  it('of one that is not there is an error that names those there are', async () => {
    await expect(studio.call.models.details({ model: 'nothing' })).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
  });
});
