import type { Tensor } from '../../src-main/engine/networks.ts';
import { seededNoise } from '../../src-main/engine/noise/randn.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { loadModel } from '../../src-main/engine/weights/load-model.ts';
import type { ModelPackage } from '../../src-main/engine/weights/package.ts';

const prompt = 'a red ball rolls to the right';
const latents: Tensor = { data: seededNoise(7, [16, 5, 12, 12]), shape: [16, 5, 12, 12] };

/** One forward of a small package's denoiser, cells at different timesteps. */
export async function forward(model: ModelPackage, strength: number): Promise<Float32Array> {
  const loaded = loadModel(createRuntime('cpu'), model);
  const text = await (await loaded.textEncoder()).encode(prompt);
  const timesteps = Float32Array.of(0, 500, 900, 900, 900);
  const { data } = await (await loaded.denoiser()).velocity(latents, timesteps, text, strength);
  const copy = data.slice();
  await loaded.release();
  return copy;
}

/** A clip from noise in a few plain Euler steps (spec §3.1), as pixels −1 … 1. */
export async function clip(model: ModelPackage, steps = 4): Promise<Float32Array> {
  const loaded = loadModel(createRuntime('cpu'), model);
  const text = await (await loaded.textEncoder()).encode(prompt);
  const denoiser = await loaded.denoiser();
  const sigma = (k: number): number => {
    const raw = 1 - k / steps;
    return (5 * raw) / (1 + 4 * raw);
  };
  const data = latents.data.slice();
  for (let k = 0; k < steps; k++) {
    const timesteps = new Float32Array(5).fill(1000 * sigma(k));
    const velocity = await denoiser.velocity({ data, shape: latents.shape }, timesteps, text, 1);
    for (let i = 0; i < data.length; i++) data[i]! += (sigma(k + 1) - sigma(k)) * velocity.data[i]!;
  }
  const frames: Float32Array[] = [];
  const codec = await loaded.codec();
  await codec.decode({ data, shape: latents.shape }, null, (pixels) => void frames.push(pixels.data.slice()));
  await loaded.release();
  return Float32Array.from(frames.flatMap((part) => [...part]));
}

/** Likeness of pixels −1 … 1, in dB. */
export function psnr(a: Float32Array, b: Float32Array): number {
  const cut = (value: number): number => Math.max(-1, Math.min(1, value));
  const sum = a.reduce((all, value, i) => all + (cut(value) - cut(b[i]!)) ** 2, 0);
  return 10 * Math.log10(4 / (sum / a.length));
}
