import type { CodecNeeds } from '../../core/plan/tiles.ts';
import type { OnSegment, Tensor, Tiling, VideoCodec } from '../networks.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { vaeStride, type VaeConfig } from './vae-config.ts';
import { loadFrameNetwork, type FrameNetwork } from './vae-stream.ts';
import { decoderSteps, encoderSteps, type VaeStep } from './vae-steps.ts';
import { TileBlend, tilesOf, type Tile } from './vae-tiling.ts';

/**
 * The VAE of Wan2.1 or Wan2.2 on a runtime (spec §4, §6). Graphs are loaded when first needed, for one direction and
 * frame size at a time. Trailing pixel frames that do not fill a group are left out, as in the reference.
 */
export function createVideoCodec(runtime: Runtime, config: VaeConfig, weights: WeightSource): VideoCodec {
  const stride = vaeStride(config);
  const [timeStride, rowStride, columnStride] = stride;
  let loaded: { readonly id: string; readonly network: FrameNetwork } | null = null;

  const release = async (): Promise<void> => {
    const { network } = loaded ?? {};
    loaded = null;
    await network?.release();
  };
  const networkFor = async (
    direction: 'encoder' | 'decoder',
    height: number,
    width: number,
  ): Promise<FrameNetwork> => {
    const id = `${direction} ${height}x${width}`;
    if (loaded?.id === id) return loaded.network;
    await release();
    const steps = direction === 'encoder' ? encoderSteps(config) : decoderSteps(config);
    const channels = direction === 'encoder' ? 3 : config.zDim;
    const network = await loadFrameNetwork(`vae ${id}`, runtime, steps, [1, channels, height, width], {
      config,
      weights,
    });
    loaded = { id, network };
    return network;
  };

  /** Sends frames 0 … count − 1 of part of a video through one direction. */
  const stream = async (
    network: FrameNetwork,
    video: Tensor,
    count: number,
    part: Tile,
    emit: (frame: Tensor, index: number) => void | Promise<void>,
    onRun: () => void,
  ): Promise<void> => {
    const frames = network.start();
    let emitted = 0;
    for (let t = 0; t < count; t++) {
      await frames.push(cutFrame(video, t, part), (frame) => emit(frame, emitted++), onRun);
    }
  };

  return {
    stride,
    channels: config.zDim,
    release,

    async encode(pixels, tiling, onSegment) {
      const [channels, frames, height, width] = videoShape(pixels);
      if (channels !== 3 || height % rowStride !== 0 || width % columnStride !== 0) {
        throw new RangeError(
          `Pixels [${pixels.shape.join(', ')}] cannot be encoded in steps of ${stride.join('×')}.`,
        );
      }
      const cells = 1 + Math.floor((frames - 1) / timeStride);
      const used = 1 + timeStride * (cells - 1);
      const rows = height / rowStride;
      const columns = width / columnStride;
      const tiles = tiling === null ? [wholeTile(rows, columns)] : tilesOf(rows, columns, tiling);
      const blend = new TileBlend(config.zDim, cells, rows, columns);
      const progress = counter(onSegment, tiles.length);
      for (const [at, tile] of bySize(tiles).entries()) {
        const part = scale(tile, rowStride, columnStride);
        const network = await networkFor('encoder', part.bottom - part.top, part.right - part.left);
        const weights = blend.weigh(tile, tiling === null ? [0, 0] : border(tiling, 1, 1));
        const onRun = progress(at, network.runs(used));
        await stream(
          network,
          pixels,
          used,
          part,
          (frame, index) => blend.add(tile, weights, frame.data, index),
          onRun,
        );
      }
      return blend.frames(0, cells);
    },

    async decode(latents, tiling, onFrames, onSegment) {
      const [channels, cells, rows, columns] = videoShape(latents);
      if (channels !== config.zDim) {
        throw new RangeError(`Latents [${latents.shape.join(', ')}] do not have ${config.zDim} channels.`);
      }
      const frames = 1 + timeStride * (cells - 1);
      const [height, width] = [rows * rowStride, columns * columnStride];
      if (tiling === null) {
        const whole = wholeTile(rows, columns);
        const network = await networkFor('decoder', rows, columns);
        const onRun = counter(onSegment, 1)(0, network.runs(cells));
        let group: Tensor[] = [];
        const emit = async (frame: Tensor, index: number): Promise<void> => {
          group.push(frame);
          if (index % timeStride !== 0) return;
          const done = group;
          group = [];
          await onFrames(clamp(joinFrames(done)), index + 1 - done.length);
        };
        await stream(network, latents, cells, whole, emit, onRun);
        return;
      }
      const tiles = tilesOf(rows, columns, tiling);
      const blend = new TileBlend(3, frames, height, width);
      const progress = counter(onSegment, tiles.length);
      for (const [at, tile] of bySize(tiles).entries()) {
        const target = scale(tile, rowStride, columnStride);
        const network = await networkFor('decoder', tile.bottom - tile.top, tile.right - tile.left);
        const weights = blend.weigh(target, border(tiling, rowStride, columnStride));
        const onRun = progress(at, network.runs(cells));
        await stream(
          network,
          latents,
          cells,
          tile,
          (frame, index) => blend.add(target, weights, frame.data, index),
          onRun,
        );
      }
      for (let cell = 0; cell < cells; cell++) {
        const first = cell === 0 ? 0 : 1 + timeStride * (cell - 1);
        const end = 1 + timeStride * cell;
        await onFrames(clamp(blend.frames(first, end)), first);
      }
    },
  };
}

/**
 * What decoding takes up: all weights twice (as they lie in the file, and cut apart for convolutions of single frames),
 * what the causal convolutions remember (two frames each), and the largest block at work, about eight frames of its
 * width. Within a fifth of measured peaks (see `test/engine/vae.test.ts`).
 */
export function decoderNeeds(config: VaeConfig): CodecNeeds {
  let weights = 0;
  let remembered = 0;
  let largest = 0;
  let area = 1;
  for (const step of decoderSteps(config)) {
    if (step.kind === 'doubleSpace') area *= 4;
    weights += kernelNumbers(step);
    const channels = channelsRemembered(step);
    remembered += 2 * channels * area;
    if (step.kind === 'branch') remembered += step.width * area;
    largest = Math.max(largest, 4 * channels * area);
  }
  return {
    weightBytes: 2 * 4 * weights,
    bytesPerLatent: 4 * (remembered + largest),
    stride: vaeStride(config),
  };
}

/** Channels of the frames that a step's causal convolutions remember. */
function channelsRemembered(step: VaeStep): number {
  switch (step.kind) {
    case 'residual':
      return step.from + step.to;
    case 'causal':
      return step.from;
    case 'doubleTime':
      return step.width;
    default:
      return 0;
  }
}

/** Numbers in a step's kernels; biases and norms are nothing beside them. */
function kernelNumbers(step: VaeStep): number {
  switch (step.kind) {
    case 'residual':
      return 27 * (step.from + step.to) * step.to + (step.from === step.to ? 0 : step.from * step.to);
    case 'causal':
      return 27 * step.from * step.to;
    case 'attention':
      return 4 * step.width ** 2;
    case 'doubleTime':
      return 6 * step.width ** 2;
    case 'doubleSpace':
      return 9 * step.from * step.to;
    default:
      return 0;
  }
}

/** Reports the runs of tile after tile, as if all had as many as the present one: stages depend on the tile's size. */
function counter(
  onSegment: OnSegment | undefined,
  tiles: number,
): (tile: number, runsPerTile: number) => () => void {
  return (tile, runsPerTile) => {
    let done = tile * runsPerTile;
    return () => onSegment?.(++done, runsPerTile * tiles);
  };
}

function videoShape(video: Tensor): [number, number, number, number] {
  const [channels, frames, height, width] = video.shape;
  if (video.shape.length !== 4 || video.shape.some((side) => side < 1)) {
    throw new RangeError(`[${video.shape.join(', ')}] is not a video.`);
  }
  return [channels!, frames!, height!, width!];
}

function wholeTile(rows: number, columns: number): Tile {
  return { top: 0, bottom: rows, left: 0, right: columns };
}

function scale(tile: Tile, rows: number, columns: number): Tile {
  const { top, bottom, left, right } = tile;
  return { top: top * rows, bottom: bottom * rows, left: left * columns, right: right * columns };
}

function border({ tile, stride }: Tiling, rows: number, columns: number): readonly [number, number] {
  return [(tile[0] - stride[0]) * rows, (tile[1] - stride[1]) * columns];
}

/** Tiles of one size in a row, so that graphs are loaded once for each size. */
function bySize(tiles: readonly Tile[]): Tile[] {
  const size = (tile: Tile): string => `${tile.bottom - tile.top}x${tile.right - tile.left}`;
  return [...Map.groupBy(tiles, size).values()].flat();
}

/** Frame `t` of a video [C, T, H, W], cut to a part: [1, C, h, w]. */
function cutFrame(video: Tensor, t: number, part: Tile): Tensor {
  const [channels, frames, height, width] = videoShape(video);
  const rows = part.bottom - part.top;
  const columns = part.right - part.left;
  const data = new Float32Array(channels * rows * columns);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < rows; y++) {
      const from = ((c * frames + t) * height + part.top + y) * width + part.left;
      data.set(video.data.subarray(from, from + columns), (c * rows + y) * columns);
    }
  }
  return { data, shape: [1, channels, rows, columns] };
}

/** Frames [1, C, H, W] → [C, T, H, W]. */
function joinFrames(frames: readonly Tensor[]): Tensor {
  const [, channels, height, width] = frames[0]!.shape as [number, number, number, number];
  const size = height * width;
  const data = new Float32Array(channels * frames.length * size);
  frames.forEach((frame, t) => {
    for (let c = 0; c < channels; c++) {
      data.set(frame.data.subarray(c * size, (c + 1) * size), (c * frames.length + t) * size);
    }
  });
  return { data, shape: [channels, frames.length, height, width] };
}

/** In place to −1 … 1. */
function clamp(frames: Tensor): Tensor {
  const { data } = frames;
  for (let i = 0; i < data.length; i++) data[i] = Math.min(1, Math.max(-1, data[i]!));
  return frames;
}
