import type { Tiling } from '../core/plan/tiles.ts';

export type { Tiling };

/**
 * What the pipeline needs from a model, whatever graphs and provider stand behind it. Arrays are row-major float32
 * on the host; shapes are written C = channels, F = latent frames (cells), T = pixel frames, H×W latent size.
 */

/** A dense float32 tensor. */
export interface Tensor {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/**
 * Called between the segments of a network (a block, a chunk of frames), so that work can be timed and stopped:
 * what it throws (a cancellation) ends the call.
 */
export type OnSegment = (done: number, total: number) => void;

/** Prompt → rows the denoiser attends to. */
export interface TextEncoder {
  /** @returns [textLength, dim], rows past the prompt's tokens zero (spec §5). */
  encode(prompt: string, onSegment?: OnSegment): Promise<Tensor>;
  release(): Promise<void>;
}

/** The diffusion transformer with one timestep per cell (spec §1.4). */
export interface Denoiser {
  /**
   * Where a model has networks for parts of the way from noise to clean: called before each step.
   * @param timestep of the step, 0 … 1000, before any cell's multiplier
   */
  beginStep?(timestep: number): Promise<void>;
  /**
   * Velocity ≈ noise − clean.
   * @param latents [C, F, H, W], H and W even
   * @param timesteps [F], 0 … 1000
   * @param context [textLength, dim] from the text encoder
   * @param loraStrength α of LoRAs kept apart at run time
   * @returns [C, F, H, W]
   */
  velocity(
    latents: Tensor,
    timesteps: Float32Array,
    context: Tensor,
    loraStrength: number,
    onSegment?: OnSegment,
  ): Promise<Tensor>;
  release(): Promise<void>;
}

/** The video autoencoder; memory does not grow with length. */
export interface VideoCodec {
  /** Pixels per latent in time, height, width: [4, 8, 8] for Wan2.1. */
  readonly stride: readonly [number, number, number];
  readonly channels: number;
  /**
   * @param pixels [3, T, 8H, 8W] in −1 … 1, T = 4n+1
   * @returns normalised latents [C, n+1, H, W]
   */
  encode(pixels: Tensor, tiling: Tiling | null, onSegment?: OnSegment): Promise<Tensor>;
  /**
   * Decodes cell by cell, handing over each group of frames as it is done.
   * @param latents normalised, [C, F, H, W]
   * @param onFrames receives [3, t, 8H, 8W] in −1 … 1 (clamped) and the index of its first frame; untiled, one call a cell
   */
  decode(
    latents: Tensor,
    tiling: Tiling | null,
    onFrames: (frames: Tensor, firstFrame: number) => void | Promise<void>,
    onSegment?: OnSegment,
  ): Promise<void>;
  release(): Promise<void>;
}
