import { open } from 'node:fs/promises';
import { FilePathSource, Input, MATROSKA, MP4, QTFF, WEBM } from 'mediabunny';
import { comments } from './gif-blocks.ts';
import { readText } from './png-text.ts';
import { listSequence } from './sequence.ts';
import { sniffFile } from './sniff.ts';
import { limits } from './types.ts';

/** How far into a GIF a comment is looked for, in bytes. */
const gifBytes = 64 * 2 ** 20;

/**
 * The take stored in a file that `encodeTake` wrote: mp4 and webm (comment tag), gif (comment extension), png (text
 * chunk; of a sequence the first picture's). ffmpeg is not needed.
 * @param path a file, a folder of pictures or a pattern
 * @returns what the JSON says, to be checked by the caller (`takeSchema`); null if the file carries none
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, MEDIA_UNREADABLE (no permission)
 */
export async function readTake(path: string): Promise<unknown> {
  const file = (await listSequence(path))?.[0] ?? path;
  const { content } = await sniffFile(file);
  for (const text of await textsOf(
    file,
    content.is === 'picture' ? content.format : null,
    content.is === 'video',
  )) {
    const take = parseObject(text);
    if (take !== null) return take;
  }
  return null;
}

async function textsOf(path: string, format: string | null, video: boolean): Promise<readonly string[]> {
  if (video) return commentTag(path);
  if (format !== 'png' && format !== 'gif') return [];
  const file = await open(path, 'r');
  try {
    if (format === 'png') {
      const text = await readText(file);
      return text === null ? [] : [text];
    }
    const bytes = Buffer.alloc(Math.min((await file.stat()).size, gifBytes));
    await file.read(bytes, 0, bytes.length, 0);
    return [...comments(bytes)];
  } finally {
    await file.close();
  }
}

async function commentTag(path: string): Promise<readonly string[]> {
  const input = new Input({ formats: [MP4, QTFF, MATROSKA, WEBM], source: new FilePathSource(path) });
  try {
    const { comment } = await input.getMetadataTags();
    return comment === undefined || comment.length > limits.take ? [] : [comment];
  } catch {
    // Not one of ours: whatever else is wrong with it is for whoever wants its pictures.
    return [];
  } finally {
    input.dispose();
  }
}

function parseObject(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}
