import type { CatalogueEntry } from '../../../src-main/core/contract/api/model-catalogue.ts';
import type { ModelDetails } from '../../../src-main/core/contract/api/model-details.ts';
import type {
  BakeRequest,
  ImportRequest,
  Inspection,
} from '../../../src-main/core/contract/api/model-work.ts';
import type { DeviceReport } from '../../../src-main/core/contract/device.ts';

/** Bytes of one number of a matrix; blocks of 32 share a scale of four bytes. */
const bytesPerNumber = { F32: 4, F16: 2, int8: 1 + 4 / 32, int4: 0.5 + 4 / 32 } as const satisfies Record<
  BakeRequest['precision'],
  number
>;

/** Bytes that so many numbers take in a precision. */
export function bakedBytes(numbers: number, precision: BakeRequest['precision']): number {
  return Math.round(numbers * bytesPerNumber[precision]);
}

/** What a bake writes and what its model weighs, about: only the blocks' matrices become narrower. */
export function bakeForecast(
  { parts }: ModelDetails,
  precision: BakeRequest['precision'],
  mergeLoras: boolean,
): Outcome {
  let writes = 0;
  let weights = 0;
  let held = 0;
  for (const { part, bytes, matrices } of parts) {
    const isDit = part === 'dit' || part === 'lowNoise';
    if (part === 'lora' && mergeLoras) continue;
    const becomes = isDit ? bytes - matrices.bytes + bakedBytes(matrices.numbers, precision) : bytes;
    if (isDit) writes += becomes;
    if (part !== 'textEncoder') held += becomes;
    weights += becomes;
  }
  return { writes, weights, held };
}

/** Bytes of a model that are held at once while denoising. */
export function heldBytes({ parts }: ModelDetails): number {
  return parts.reduce((sum, { part, bytes }) => (part === 'textEncoder' ? sum : sum + bytes), 0);
}

/** The same of a model that is not here yet, from its files' names: 8-bit floats become 16 bits wide. */
export function heldOfEntry({ bytes, files }: Pick<CatalogueEntry, 'bytes' | 'files'>): number {
  return files.reduce((sum, file) => {
    if (/t5/i.test(file.path)) return sum - (file.bytes ?? 0);
    return /fp8|f8_e4m3/i.test(file.path) ? sum + (file.bytes ?? 0) : sum;
  }, bytes);
}

/** What adding a model does to the disk, and what it is then. */
export interface Outcome {
  /** Written to the disk, about. */
  readonly writes: number;
  /** All weights, about. */
  readonly weights: number;
  /** Of them what is held at once while denoising: the text encoder is put away before. */
  readonly held: number;
}

/** @param files those the model is made of, LoRAs among them */
export function outcomeOf(files: readonly Inspection[], precision: ImportRequest['precision']): Outcome {
  let writes = 0;
  let weights = 0;
  let held = 0;
  for (const { role, bytes, parameters, inPlace, convertedBytes } of files) {
    const isBaked = precision !== 'asIs' && role === 'dit';
    const becomes = isBaked ? bakedBytes(parameters, precision) : inPlace ? bytes : convertedBytes;
    if (isBaked || !inPlace) writes += becomes;
    if (role !== 'textEncoder') held += becomes;
    weights += becomes;
  }
  return { writes, weights, held };
}

/** Where weights of a size can lie on a machine. */
export type Fit = 'graphics' | 'memory' | 'disk';

/** Part of the memory that weights may take: the rest is for latents, attention and the system. */
const usable = 0.8;

/**
 * Whether a model is held by the graphics card that runs it, by memory, or read from the disk at every step.
 * @param weights bytes that are held at once
 */
export function fitOf(weights: number, report: DeviceReport): Fit {
  const graphics = Math.max(0, ...report.gpus.map(({ memoryBytes }) => memoryBytes ?? 0));
  if (report.chosen !== 'cpu' && weights <= graphics * usable) return 'graphics';
  return weights <= report.memory.totalBytes * usable ? 'memory' : 'disk';
}

/** Tokens of a clip of Wan at 832 × 480, 81 frames: 21 cells of 52 × 30 patches. */
export const wanTokens = 21 * 52 * 30;

/**
 * Seconds that one pass of a diffusion model takes at least, from the speed measured on this machine: two operations
 * for each number and token, attention not counted. Null where nothing was measured.
 */
export function passSeconds(parameters: number, tokens: number, report: DeviceReport): number | null {
  const measured = report.providers.find(({ provider }) => provider === report.chosen)?.block;
  if (measured === null || measured === undefined || measured.gflops <= 0) return null;
  return (2 * parameters * tokens) / (measured.gflops * 1e9);
}
