import { mkdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { PusaError, toPusaError } from '../core/errors.ts';
import { flushFile, place } from '../files/durable.ts';
import { writeGif } from './encode-gif.ts';
import { writeMovie } from './encode-movie.ts';
import { writePictures } from './encode-png.ts';
import { writeMp4Here } from './encode-wasm.ts';
import { writeSound, type Sound } from './sound.ts';
import { pictureName, planOutput, type OutputPlan } from './output.ts';
import { placePictures } from './place-pictures.ts';
import { temporaryIn, type NoteTemporary } from './temporary.ts';
import { limits, type Size } from './types.ts';

/** A take to write. */
export interface TakeOutput extends Size {
  /** RGB8 frames in order, `width × height × 3` bytes each, at least one. */
  readonly frames: AsyncIterable<Uint8Array>;
  /** Frames per second, 1 … 240. */
  readonly fps: number;
  /** A name that {@link planOutput} understands; a file of that name is replaced, a sequence is not. */
  readonly path: string;
  /** The take as JSON (an object), stored inside the file: `readTake` gets it back. */
  readonly metadata: string;
  /** What players show as the name of a movie. */
  readonly title?: string;
  /** Sound of an mp4 or webm; pictures and gifs have none. */
  readonly sound?: Sound;
  readonly signal?: AbortSignal;
  readonly onTemporary?: NoteTemporary;
}

/**
 * Writes a take as mp4 (H.264), webm (VP9), gif or a sequence of PNG. It is written in a temporary folder beside
 * its place and renamed when it is whole: a failure leaves nothing behind and a former file untouched.
 * @returns the path to find it by: the file's, or a sequence's folder or pattern
 * @throws PusaError as {@link planOutput}; DISK_FULL, WRITE_FAILED, CANCELLED; whatever `frames` throws
 */
export async function encodeTake(output: TakeOutput): Promise<string> {
  if (Buffer.byteLength(output.metadata) > limits.take) {
    throw new PusaError(
      'INTERNAL',
      'The description of the take is too long to be stored in a file.',
      'Report this.',
    );
  }
  const plan = await planOutput(output.path, output);
  const checked = { ...output, frames: checkFrames(output) };
  const target = plan.format === 'png' ? plan.folder : resolve(plan.path);
  // Pictures for a folder that is there already are gathered inside it, so that renaming stays on one disk.
  const beside = plan.format === 'png' && !plan.isNew ? target : dirname(target);
  const temporary = temporaryIn(beside);
  try {
    await output.onTemporary?.(temporary);
    // A folder also where one file is made: an encoder that outlives this process cannot make it again once it is gone.
    await mkdir(temporary);
    if (plan.format === 'png') {
      await writePictures(checked, temporary, (n) => pictureName(plan, n));
      output.signal?.throwIfAborted();
      await (plan.isNew ? place(temporary, target) : placePictures(temporary));
      return plan.path;
    }
    const film = join(temporary, 'film');
    await write(plan, checked, film);
    await flushFile(film);
    output.signal?.throwIfAborted();
    await place(film, target);
    return plan.path;
  } catch (thrown) {
    if (output.signal?.aborted === true) {
      throw new PusaError('CANCELLED', 'Writing the file was cancelled.', 'Nothing was written.', {
        cause: thrown,
      });
    }
    throw toPusaError(thrown);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function write(
  plan: Exclude<OutputPlan, { format: 'png' }>,
  output: TakeOutput,
  path: string,
): Promise<void> {
  if (plan.format === 'gif') return writeGif(output, path);
  const { sound, signal } = output;
  const soundPath = `${path}.sound`;
  if (sound !== undefined) await writeSound(sound, plan.format, soundPath, signal);
  const written = sound === undefined ? null : soundPath;
  if (plan.by === 'wasm') return writeMp4Here(output, path, written);
  return writeMovie(output, plan.format, plan.by, path, written);
}

/** Passes frames on that are what they should be, and stops where a person cancelled. */
async function* checkFrames({ frames, width, height, signal }: TakeOutput): AsyncGenerator<Uint8Array, void> {
  let count = 0;
  for await (const frame of frames) {
    signal?.throwIfAborted();
    if (frame.length !== width * height * 3) {
      throw new PusaError(
        'INTERNAL',
        `Frame ${count + 1} has ${frame.length} bytes; ${width} × ${height} pixels have ${width * height * 3}.`,
        'Report this with the log.',
      );
    }
    count++;
    yield frame;
  }
  if (count === 0) throw new PusaError('INTERNAL', 'The take has no frames.', 'Generate it again.');
}
