import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { baseBytes } from '../../src-main/core/plan/memory.ts';
import { decodeBytes, tilingLadder } from '../../src-main/core/plan/tiles.ts';
import type { Tensor, Tiling, VideoCodec } from '../../src-main/engine/networks.ts';
import type { WeightSource } from '../../src-main/engine/onnx/weights.ts';
import { createRuntime, defaultForms } from '../../src-main/engine/runtime/ort.ts';
import type { OperatorForms } from '../../src-main/engine/runtime/runtime.ts';
import { fitPreview, previewFrames } from '../../src-main/engine/wan/preview.ts';
import { createVideoCodec, decoderNeeds } from '../../src-main/engine/wan/vae.ts';
import {
  decoderLayers,
  encoderLayers,
  vaeStride,
  wanLatentMean,
  wanLatentStd,
  type VaeConfig,
} from '../../src-main/engine/wan/vae-config.ts';
import { ramp, TileBlend, tilesOf } from '../../src-main/engine/wan/vae-tiling.ts';
import { vaeInventory } from '../../src-main/engine/weights/inventory.ts';
import { decode } from '../goldens/kinds/vae.ts';

/** The starter model's kind of VAE: one residual block a stage. */
const starter: VaeConfig = {
  dim: 8,
  zDim: 16,
  dimMult: [1, 2, 4, 4],
  numResBlocks: 1,
  temporalDownsample: [false, true, true],
  mean: wanLatentMean,
  std: wanLatentStd,
};

const open: VideoCodec[] = [];
afterEach(async () => {
  for (const codec of open.splice(0)) await codec.release();
});

/** Random weights that keep activations of order one. */
function randomWeights(config: VaeConfig): WeightSource {
  const entries = new Map(
    [...vaeInventory(config)].map(([name, shape], seed) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const spread = name.endsWith('.weight') ? Math.sqrt((3 * shape[0]!) / size) : 0.1;
      const centre = name.endsWith('.gamma') ? 1 : 0;
      return [
        name,
        { dtype: 'F32' as const, shape, data: uniform(size, seed + 1).map((v) => centre + spread * v) },
      ];
    }),
  );
  return { folder: null, entry: (name) => entries.get(name) };
}

/** Numbers in −1 … 1. */
function uniform(size: number, seed: number): Float32Array {
  let state = seed * 2_654_435_761;
  return Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function random(shape: readonly number[], seed: number): Tensor {
  return {
    data: uniform(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  };
}

function makeCodec(config = starter, convolution: OperatorForms['convolution'] = 'planes'): VideoCodec {
  const codec = createVideoCodec(
    createRuntime('cpu', { ...defaultForms.cpu, convolution }),
    config,
    randomWeights(config),
  );
  open.push(codec);
  return codec;
}

/** Frames from … to of a video [C, T, H, W]. */
function cut({ data, shape }: Tensor, from: number, to: number): Tensor {
  const [channels, frames, height, width] = shape as [number, number, number, number];
  const size = height * width;
  const part = new Float32Array(channels * (to - from) * size);
  for (let c = 0; c < channels; c++) {
    part.set(data.subarray((c * frames + from) * size, (c * frames + to) * size), c * (to - from) * size);
  }
  return { data: part, shape: [channels, to - from, height, width] };
}

function difference(a: Tensor, b: Tensor): number {
  expect(a.shape).toEqual(b.shape);
  return a.data.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b.data[i]!)), 0);
}

describe('the streaming VAE', () => {
  test('any number of residual blocks and any stage widths', async () => {
    const odd: VaeConfig = {
      ...starter,
      dim: 4,
      dimMult: [1, 3, 2],
      numResBlocks: 3,
      temporalDownsample: [true, false],
    };
    expect(vaeStride(odd)).toEqual([2, 4, 4]);
    expect(encoderLayers(odd).map(({ from, to }) => [from, to])).toEqual([
      [4, 4],
      [4, 4],
      [4, 4],
      [4, 4],
      [4, 12],
      [12, 12],
      [12, 12],
      [12, 12],
      [12, 8],
      [8, 8],
      [8, 8],
    ]);
    // Two convolutions of the decoder follow an upsampling, which halves the width.
    expect(
      decoderLayers(odd)
        .filter(({ kind }) => kind === 'resample')
        .map(({ from, to }) => [from, to]),
    ).toEqual([
      [8, 4],
      [12, 6],
    ]);
    const codec = makeCodec(odd);
    const latents = await codec.encode(random([3, 5, 12, 8], 1), null);
    expect(latents.shape).toEqual([16, 3, 3, 2]);
    const pixels = await decode(codec, latents, null);
    expect(pixels.shape).toEqual([3, 5, 12, 8]);
    expect(pixels.data.every(Number.isFinite)).toBe(true);
  });

  test('is causal: what comes later changes nothing before, and the first frame is a picture', async () => {
    const codec = makeCodec();
    const video = random([3, 13, 24, 16], 2);
    const latents = await codec.encode(video, null);
    expect(latents.shape).toEqual([16, 4, 3, 2]);
    expect(difference(await codec.encode(cut(video, 0, 5), null), cut(latents, 0, 2))).toBe(0);
    expect(difference(await codec.encode(cut(video, 0, 1), null), cut(latents, 0, 1))).toBe(0);
    // Frames that do not fill a group of four are left out.
    expect(difference(await codec.encode(cut(video, 0, 8), null), cut(latents, 0, 2))).toBe(0);
    const pixels = await decode(codec, latents, null);
    expect(difference(await decode(codec, cut(latents, 0, 2), null), cut(pixels, 0, 5))).toBe(0);
    expect(difference(await decode(codec, cut(latents, 0, 1), null), cut(pixels, 0, 1))).toBe(0);
    // Later latents are not ignored either.
    const changed = { ...latents, data: latents.data.map((value, i) => (i % 24 >= 12 ? -value : value)) };
    const other = await decode(codec, changed, null);
    expect(difference(cut(other, 0, 5), cut(pixels, 0, 5))).toBe(0);
    for (let t = 5; t < 13; t++)
      expect(difference(cut(other, t, t + 1), cut(pixels, t, t + 1))).toBeGreaterThan(0.01);
  });

  test('all forms of the convolution agree', async () => {
    const video = random([3, 9, 16, 24], 3);
    const results: { latents: Tensor; pixels: Tensor }[] = [];
    for (const form of ['planes', 'conv3d', 'taps'] as const) {
      const codec = makeCodec(starter, form);
      const latents = await codec.encode(video, null);
      results.push({ latents, pixels: await decode(codec, results[0]?.latents ?? latents, null) });
    }
    for (const { latents, pixels } of results.slice(1)) {
      expect(difference(latents, results[0]!.latents)).toBeLessThan(1e-4);
      expect(difference(pixels, results[0]!.pixels)).toBeLessThan(1e-4);
    }
  });

  test('tiles: one that covers all equals none; several differ only where they meet', async () => {
    const codec = makeCodec();
    const video = random([3, 5, 64, 80], 4);
    const whole: Tiling = { tile: [8, 10], stride: [4, 5] };
    const latents = await codec.encode(video, null);
    expect(difference(await codec.encode(video, whole), latents)).toBeLessThan(1e-6);
    const pixels = await decode(codec, latents, null);
    expect(difference(await decode(codec, latents, whole), pixels)).toBeLessThan(1e-6);
    const tiled = await decode(codec, latents, { tile: [5, 6], stride: [3, 4] });
    expect(tiled.shape).toEqual(pixels.shape);
    expect(difference(tiled, pixels)).toBeGreaterThan(1e-3);
    await expect(codec.encode(video, { tile: [4, 4], stride: [5, 4] })).rejects.toThrow(
      /cannot have the stride 5×4/,
    );
    await expect(codec.encode(random([3, 5, 60, 80], 4), null)).rejects.toThrow(/cannot be encoded/);
    await expect(codec.decode(random([4, 1, 2, 2], 4), null, () => undefined)).rejects.toThrow(
      /do not have 16 channels/,
    );
  });

  test('segments are counted through, and what the callback throws ends the call', async () => {
    const codec = makeCodec();
    const video = random([3, 9, 16, 16], 5);
    for (const tiling of [null, { tile: [1, 2], stride: [1, 1] } as const]) {
      const counts: [number, number][] = [];
      const latents = await codec.encode(video, tiling, (done, total) => counts.push([done, total]));
      const decoded: [number, number][] = [];
      await codec.decode(
        latents,
        tiling,
        () => undefined,
        (done, total) => decoded.push([done, total]),
      );
      for (const list of [counts, decoded]) {
        expect(list.length).toBeGreaterThan(8);
        expect(list).toEqual(list.map((_, i) => [i + 1, list.length]));
      }
    }
    const expected = await codec.encode(video, null);
    const stop = new Error('stopped');
    await expect(
      codec.encode(video, null, (done) => {
        if (done === 7) throw stop;
      }),
    ).rejects.toBe(stop);
    // Nothing of the stopped video is remembered.
    expect(difference(await codec.encode(video, null), expected)).toBe(0);
  });

  test('frames handed over stay as they are while decoding goes on', async () => {
    const codec = makeCodec();
    const kept: { frames: Tensor; copy: Float32Array }[] = [];
    await codec.decode(random([16, 4, 2, 3], 6), null, (frames, first) => {
      expect(first).toBe([0, 1, 5, 9][kept.length]);
      expect(frames.shape).toEqual([3, first === 0 ? 1 : 4, 16, 24]);
      kept.push({ frames, copy: frames.data.slice() });
    });
    expect(kept).toHaveLength(4);
    for (const { frames, copy } of kept) {
      expect(frames.data).toEqual(copy);
      expect(frames.data.every((value) => value >= -1 && value <= 1)).toBe(true);
    }
  });

  // Peaks of a process that decodes on two cores, the pages of its weights included, in MB: random weights, no tiles.
  const real = { ...starter, dim: 96, numResBlocks: 2 };
  const wan22 = { ...real, dim: 40, zDim: 48, wan22: { decoderDim: 64 } };
  test.each([
    { name: 'Wan2.1', config: real, rows: 15, columns: 26, frames: 81, peak: 1050 },
    { name: 'Wan2.1', config: real, rows: 60, columns: 104, frames: 17, peak: 5440 },
    { name: 'half of Wan2.1', config: { ...real, dim: 48 }, rows: 15, columns: 26, frames: 5, peak: 408 },
    { name: 'half of Wan2.1', config: { ...real, dim: 48 }, rows: 30, columns: 52, frames: 5, peak: 1127 },
    { name: 'a quarter of Wan2.2', config: wan22, rows: 16, columns: 26, frames: 5, peak: 652 },
  ])(
    'the memory forecast for $name at $rows × $columns latents is near the $peak MB that were measured',
    ({ config, rows, columns, frames, peak }) => {
      const needs = decoderNeeds(config);
      const size = { width: columns * needs.stride[2], height: rows * needs.stride[1], frames };
      const forecast = baseBytes + decodeBytes(needs, size, null);
      expect(Math.abs(forecast / (peak * 1e6) - 1)).toBeLessThan(0.2);
      expect(decodeBytes(needs, { ...size, frames: 401 }, null)).toBe(decodeBytes(needs, size, null));
    },
  );
});

describe('tiling', () => {
  test('the reference’s tiles of 480 × 832', () => {
    const tiles = tilesOf(60, 104, tilingLadder(60, 104)[1]!);
    expect(tiles).toHaveLength(9);
    expect(tiles[0]).toEqual({ top: 0, bottom: 30, left: 0, right: 52 });
    expect(tiles[8]).toEqual({ top: 30, bottom: 60, left: 52, right: 104 });
    expect(tilesOf(10, 5, { tile: [4, 8], stride: [3, 4] }).map(({ top, bottom }) => [top, bottom])).toEqual([
      [0, 4],
      [3, 7],
      [6, 10],
    ]);
    // The last tile is cropped, not moved.
    expect(tilesOf(9, 1, { tile: [4, 4], stride: [3, 4] }).map(({ top, bottom }) => [top, bottom])).toEqual([
      [0, 4],
      [3, 7],
      [6, 9],
    ]);
  });

  test('ramps', () => {
    expect([...ramp(5, 2, false, false)]).toEqual([0.5, 1, 1, 1, 0.5]);
    expect([...ramp(5, 2, true, false)]).toEqual([1, 1, 1, 1, 0.5]);
    expect([...ramp(2, 4, false, true)]).toEqual([0.25, 0.5]);
    expect([...ramp(3, 0, false, false)]).toEqual([1, 1, 1]);
  });

  test('a constant stays constant under any tiling', () => {
    const sizes = fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }));
    const tilings = sizes.chain(([h, w]) =>
      fc.record({
        tile: fc.constant([h, w] as const),
        stride: fc.tuple(fc.integer({ min: 1, max: h }), fc.integer({ min: 1, max: w })),
      }),
    );
    fc.assert(
      fc.property(sizes, tilings, ([height, width], tiling) => {
        const blend = new TileBlend(1, 1, height, width);
        const border = [tiling.tile[0] - tiling.stride[0], tiling.tile[1] - tiling.stride[1]] as const;
        for (const tile of tilesOf(height, width, tiling)) {
          const weights = blend.weigh(tile, border);
          blend.add(tile, weights, new Float32Array(weights.length).fill(0.7), 0);
        }
        const { data } = blend.frames(0, 1);
        expect(data.every((value) => Math.abs(value - 0.7) < 1e-5)).toBe(true);
      }),
      { seed: 11 },
    );
  });
});

describe('preview', () => {
  test('finds the colours of a codec whose latents are a linear function of them', async () => {
    const mix = uniform(4 * 3, 9);
    /** A codec whose latent is four mixtures of its pixels' mean colour. */
    const linear: VideoCodec = {
      stride: [4, 8, 8],
      channels: 4,
      encode(pixels) {
        const [, frames, height, width] = pixels.shape as [number, number, number, number];
        const shape = [4, 1 + (frames - 1) / 4, height / 8, width / 8] as const;
        const count = shape[1] * shape[2] * shape[3];
        const sums = new Float64Array(4 * count).fill(0.3);
        pixels.data.forEach((value, at) => {
          const x = at % width;
          const y = Math.floor(at / width) % height;
          const t = Math.floor(at / width / height) % frames;
          const c = Math.floor(at / width / height / frames);
          const cell = Math.ceil(t / 4);
          const to = (cell * shape[2] + Math.floor(y / 8)) * shape[3] + Math.floor(x / 8);
          for (let k = 0; k < 4; k++)
            sums[k * count + to]! += (mix[k * 3 + c]! * value) / (cell === 0 ? 64 : 256);
        });
        return Promise.resolve({ data: Float32Array.from(sums), shape });
      },
      decode: () => Promise.reject(new Error('not needed')),
      release: () => Promise.resolve(),
    };
    const map = await fitPreview(linear);
    const colours: [number, number, number][] = [
      [1, -1, 0],
      [0.5, 0.5, -0.5],
      [-0.2, 0.9, 0.1],
    ];
    const pixels = new Float32Array(3 * 8 * 24);
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < 8; y++)
        for (let x = 0; x < 24; x++) pixels[(c * 8 + y) * 24 + x] = colours[Math.floor(x / 8)]![c]!;
    }
    const latents = await linear.encode({ data: pixels, shape: [3, 1, 8, 24] }, null);
    const shown = previewFrames(latents, map);
    expect(shown).toHaveLength(9);
    colours.flat().forEach((colour, i) => expect(Math.abs(shown[i]! - (colour + 1) * 127.5)).toBeLessThan(3));
  });

  test('is the same each time for a real codec, and finite', async () => {
    const codec = makeCodec();
    const [a, b] = [await fitPreview(codec), await fitPreview(codec)];
    expect(a).toEqual(b);
    expect([a.matrix.length, a.bias.length]).toEqual([48, 3]);
    expect([...a.matrix, ...a.bias].every(Number.isFinite)).toBe(true);
    const frames = previewFrames(random([16, 2, 3, 5], 8), a);
    expect(frames).toHaveLength(2 * 3 * 5 * 3);
  });
});
