import type { Tensor, Tiling, VideoCodec } from '../../networks.ts';
import { WholeFile } from '../../../files/durable.ts';
import type { JobFolder } from '../job-folder.ts';
import { tensorToPixels } from '../latents.ts';
import type { Tiles } from '../tiles.ts';
import type { Watch } from '../watch.ts';
import { toPusaError } from '../../../core/errors.ts';

export interface DecodeOutput {
  readonly framesSha256: string;
  readonly tiling: Tiling | null;
}

/**
 * Decoding stage: latents → `frames.rgb`, written as frames come and named only when all are there. The codec cannot
 * start in the middle of a video: what it remembers of all frames before is not saved (gigabytes at 480p), and every
 * frame depends on it. So an interrupted decoding begins again. Frames that the job wants to be shown as they were get
 * their source's pixels.
 * @param latents [C, F, H, W]
 * @throws PusaError CANCELLED, DISK_FULL, JOB_INVALID, OUT_OF_MEMORY when the smallest tiles are too large
 */
export async function decodeFrames(
  folder: JobFolder,
  codec: VideoCodec,
  latents: Tensor,
  tiles: Tiles,
  watch: Watch,
): Promise<DecodeOutput> {
  const { plan, originals } = folder.job;
  for (const source of new Set(originals.map(({ source }) => source))) await folder.checkSource(source);
  const shown = new Map(originals.map((original) => [original.frame, original]));
  const cells = plan.cells.length;

  return tiles.run('decode', async (tiling) => {
    watch.begin('decode');
    const file = await WholeFile.create(folder.framesPath);
    try {
      const onFrames = async (frames: Tensor, firstFrame: number): Promise<void> => {
        const rgb = tensorToPixels(frames);
        const count = frames.shape[1]!;
        for (let i = 0; i < count; i++) {
          const original = shown.get(firstFrame + i);
          const pixels =
            original === undefined
              ? rgb.subarray(i * folder.frameBytes, (i + 1) * folder.frameBytes)
              : await folder.readSource(original.source, original.at, 1);
          await file.append(pixels);
        }
      };
      await codec.decode(latents, tiling, onFrames, (done, total) => watch.advance((cells * done) / total));
      if (file.length !== plan.frames * folder.frameBytes) {
        throw new RangeError(`The codec gave ${file.length} bytes for ${plan.frames} frames.`);
      }
      watch.advance(cells);
      return { framesSha256: await file.finish(), tiling };
    } catch (thrown) {
      await file.abandon();
      throw toPusaError(thrown);
    }
  });
}
