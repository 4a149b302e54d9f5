import type { JobSource, Plan } from '../../core/contract/job.ts';
import type { Tensor } from '../networks.ts';
import { forEachRow } from '../scheduler/latents.ts';

/** Copies whole cells: `cells` of them from one [C, F, H, W] tensor to another. */
function copyCells(from: Tensor, fromCell: number, to: Tensor, toCell: number, cells: number): void {
  const [channels, fromCells, height, width] = dimensions(from);
  const [, toCells] = dimensions(to);
  const size = height * width;
  for (let c = 0; c < channels; c++) {
    const start = (c * fromCells + fromCell) * size;
    to.data.set(from.data.subarray(start, start + cells * size), (c * toCells + toCell) * size);
  }
}

/**
 * Clean latents z of every conditioned cell; zero where a cell has none. Where sources overlap, the later one counts.
 * A blended cell is the weighted sum of the cells it names (weights sum to 1).
 * @param encoded latents [C, dropCells + cells, H, W] of each source, in the job's order
 * @param shape [C, F, H, W]
 */
export function conditionLatents(
  plan: Plan,
  sources: readonly JobSource[],
  encoded: readonly Tensor[],
  shape: readonly number[],
): Tensor {
  const clips = zeros(shape);
  for (const [i, source] of sources.entries()) {
    copyCells(encoded[i]!, source.dropCells, clips, source.firstCell, source.cells);
  }
  const condition = zeros(shape);
  forEachRow(shape, (f, from, to) => {
    const { kind, source } = plan.cells[f]!;
    if (kind === 'noisy' || source.from === 'none') return;
    const parts = source.from === 'clip' ? [{ cell: f, weight: 1 }] : source.of;
    for (const { cell, weight } of parts) {
      const distance = (cell - f) * (to - from);
      for (let i = from; i < to; i++) condition.data[i]! += weight * clips.data[i + distance]!;
    }
  });
  return condition;
}

/** Classifier-free guidance: v = negative + cfg·(positive − negative). */
export function guide(positive: Tensor, negative: Tensor, cfg: number): Tensor {
  const data = new Float32Array(positive.data.length);
  for (let i = 0; i < data.length; i++) {
    const base = negative.data[i]!;
    data[i] = base + cfg * (positive.data[i]! - base);
  }
  return { data, shape: positive.shape };
}

/**
 * The clean latents a step's velocity points to: x − σ_k·m·v for every cell. A cell that the step leaves where it is
 * (fixed, or frozen by a truncated timestep) stays as it is, because the velocity says nothing about it.
 * @param latents x before step k
 */
export function predictClean(plan: Plan, k: number, latents: Tensor, velocity: Tensor): Tensor {
  const data = latents.data.slice();
  forEachRow(latents.shape, (f, from, to) => {
    if (plan.sigmaSteps[k]![f] === 0) return;
    const level = plan.sigmas[k]! * plan.cells[f]!.m;
    for (let i = from; i < to; i++) data[i]! -= level * velocity.data[i]!;
  });
  return { data, shape: latents.shape };
}

/** RGB8 [T, H, W, 3] → [3, T, H, W] in −1 … 1: u8·(2/255) − 1 (spec §3.3). */
export function pixelsToTensor(rgb: Uint8Array, frames: number, height: number, width: number): Tensor {
  const plane = frames * height * width;
  const data = new Float32Array(3 * plane);
  const scale = 2 / 255;
  for (let i = 0; i < plane; i++) {
    data[i] = rgb[3 * i]! * scale - 1;
    data[plane + i] = rgb[3 * i + 1]! * scale - 1;
    data[2 * plane + i] = rgb[3 * i + 2]! * scale - 1;
  }
  return { data, shape: [3, frames, height, width] };
}

/** [3, t, H, W] in −1 … 1 → RGB8 [t, H, W, 3]: trunc(clip((x + 1)·127.5, 0, 255)) (spec §3.3). */
export function tensorToPixels(frames: Tensor): Uint8Array {
  const plane = frames.data.length / 3;
  const rgb = new Uint8Array(3 * plane);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < plane; i++) {
      // fround: the reference multiplies in float32, and truncation sees the difference.
      const value = Math.fround(Math.fround(frames.data[c * plane + i]! + 1) * 127.5);
      rgb[3 * i + c] = value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
    }
  }
  return rgb;
}

/** Whether every number is finite; a model that overflows must not be saved as a result. */
export function allFinite(tensor: Tensor): boolean {
  return tensor.data.every((value) => Number.isFinite(value));
}

function dimensions({ shape }: Tensor): [number, number, number, number] {
  return shape as [number, number, number, number];
}

function zeros(shape: readonly number[]): Tensor {
  return { data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape };
}
