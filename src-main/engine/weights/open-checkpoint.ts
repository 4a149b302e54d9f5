import { resolve } from 'node:path';
import { withBlocks } from './block-view.ts';
import { invalid, type Checkpoint } from './checkpoint.ts';
import { ggufMagic, openGguf } from './gguf.ts';
import { openSafetensors } from './safetensors.ts';
import { withScales } from './scaled.ts';
import { withFile } from './tensor-files.ts';
import { openTorchZip, zipMagic } from './torch-zip.ts';

/** File names that may hold weights. */
export const checkpointNames = /\.(safetensors|safetensors\.index\.json|pth|pt|gguf)$/i;

/**
 * Opens a checkpoint of any format that is read, told by its first bytes: safetensors (also sharded, by its
 * `.index.json`), GGUF, PyTorch's zip. 8-bit floats come with their scales, matrices in blocks as one.
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, CHECKPOINT_INVALID
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const absolute = resolve(path);
  if (absolute.endsWith('.json')) return withScales(await openSafetensors(absolute));
  const magic = await withFile(absolute, async (file) => {
    if (file.size < 10) throw invalid(absolute, 'it is too short to hold a model');
    return new DataView((await file.read(0, 4)).buffer).getUint32(0, true);
  });
  if (magic === ggufMagic) return openGguf(absolute);
  if (magic === zipMagic) return openTorchZip(absolute);
  if ((magic & 0xffff) === 0x0280) {
    throw invalid(absolute, 'it is a pickle of an old PyTorch, which cannot be read without executing it');
  }
  return withBlocks(withScales(await openSafetensors(absolute)));
}
