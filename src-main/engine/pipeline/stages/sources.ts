import type { Tensor, VideoCodec } from '../../networks.ts';
import type { JobFolder } from '../job-folder.ts';
import { conditionLatents, pixelsToTensor } from '../latents.ts';
import type { Tiles } from '../tiles.ts';
import type { Watch } from '../watch.ts';

/**
 * Sources stage: pixels → clean latents of the conditioned cells. Every source is one pass of the autoencoder, saved
 * as `condition-<i>.bin` and used as it is when it is there.
 * @param shape [C, F, H, W] of the range's latents
 * @returns [C, F, H, W], zero in cells without a condition; null when no cell is conditioned
 * @throws PusaError JOB_INVALID when pixels are not what the job was made with
 */
export async function encodeSources(
  folder: JobFolder,
  codec: VideoCodec,
  shape: readonly number[],
  tiles: Tiles,
  watch: Watch,
): Promise<Tensor | null> {
  const { plan, sources } = folder.job;
  const encoded: (Tensor | null)[] = [];
  for (const [i, { dropCells, cells }] of sources.entries()) {
    const passShape = [shape[0]!, dropCells + cells, shape[2]!, shape[3]!];
    encoded.push(await readCondition(folder, i, passShape, watch));
  }
  let done = encoded.reduce((sum, latents) => sum + (latents?.shape[1] ?? 0), 0);
  watch.begin('sources', done);
  for (const [i, { dropCells, cells }] of sources.entries()) {
    if (encoded[i] !== null) continue;
    const count = dropCells + cells;
    encoded[i] = await encodeSource(folder, i, codec, tiles, (part) => watch.advance(done + part * count));
    done += count;
    watch.advance(done);
  }
  if (plan.cells.every(({ kind }) => kind === 'noisy')) return null;
  return conditionLatents(plan, sources, encoded as Tensor[], shape);
}

/** How many cells the sources stage encodes. */
export function sourceCells(folder: JobFolder): number {
  return folder.job.sources.reduce((sum, { dropCells, cells }) => sum + dropCells + cells, 0);
}

async function encodeSource(
  folder: JobFolder,
  i: number,
  codec: VideoCodec,
  tiles: Tiles,
  onPart: (part: number) => void,
): Promise<Tensor> {
  const { width, height, sources } = folder.job;
  await folder.checkSource(i);
  const frames = sources[i]!.frameCount;
  const latents = await tiles.run('sources', async (tiling) => {
    const pixels = pixelsToTensor(await folder.readSource(i, 0, frames), frames, height, width);
    return codec.encode(pixels, tiling, (done, total) => onPart(done / total));
  });
  await folder.writeRecord(`condition-${i}`, { tensors: { latents }, meta: null });
  return latents;
}

async function readCondition(
  folder: JobFolder,
  i: number,
  shape: readonly number[],
  watch: Watch,
): Promise<Tensor | null> {
  const saved = await folder.readRecord(`condition-${i}`);
  if (saved.state === 'damaged') watch.log(`condition-${i}.bin is made again: ${saved.reason}.`);
  if (saved.state !== 'whole') return null;
  const latents = saved.content.tensors['latents'];
  return latents?.shape.join() === shape.join() ? latents : null;
}
