import { basename, resolve } from 'node:path';
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
  refusePiece(absolute);
  if (absolute.endsWith('.json')) return withScales(await openSafetensors(absolute));
  const magic = await withFile(absolute, async (file) => {
    if (file.size < 10) throw invalid(absolute, 'it is too short to hold a model');
    const start = await file.read(0, Math.min(64, file.size));
    refuseText(absolute, new TextDecoder().decode(start));
    return new DataView(start.buffer).getUint32(0, true);
  });
  if (magic === ggufMagic) return openGguf(absolute);
  if (magic === zipMagic) return openTorchZip(absolute);
  if ((magic & 0xffff) === 0x0280) {
    throw invalid(
      absolute,
      'it is of an old PyTorch, which cannot be read without running what is in it',
      'Take the .safetensors file of the same model instead.',
    );
  }
  if (!absolute.toLowerCase().endsWith('.safetensors') && !(await isSafetensors(absolute))) {
    throw invalid(
      absolute,
      'it is no file of weights',
      'Take a .safetensors, .gguf, .pth or .pt file, or the .index.json of a model in several files.',
    );
  }
  return withBlocks(withScales(await openSafetensors(absolute)));
}

/** Whatever it is called: a length, then a JSON object. */
function isSafetensors(path: string): Promise<boolean> {
  return withFile(path, async (file) => (await file.read(8, 1))[0] === 0x7b);
}

/** The name of the whole file where a path is one piece of it, as Pusa's first release was published; else null. */
export function wholeOfPiece(path: string): string | null {
  return /^(.+\.(?:safetensors|gguf|pth|pt))\.part[\w-]+$/i.exec(basename(path))?.[1] ?? null;
}

function refusePiece(path: string): void {
  if (/\.(part|crdownload|incomplete)$/i.test(path)) {
    throw invalid(path, 'its download is not finished', 'Let the download finish first.');
  }
  const whole = wholeOfPiece(path);
  if (whole === null) return;
  throw invalid(
    path,
    'it is one piece of a file that was cut',
    `Download all pieces and join them in their order, for example with "cat ${whole}.part* > ${whole}", or take the file in one piece.`,
  );
}

/** What is left in place of a download that did not happen. */
function refuseText(path: string, start: string): void {
  if (start.startsWith('version https://git-lfs')) {
    throw invalid(
      path,
      'it is only the note that Git keeps in place of a large file',
      'Download the file itself from its page, or run "git lfs pull" in its folder.',
    );
  }
  if (/^\s*<(!doctype|html|\?xml)/i.test(start)) {
    throw invalid(
      path,
      'it is a web page that was saved under this name',
      'Download it again; the page may ask you to log in or to accept a licence first.',
    );
  }
}
