import { createHash } from 'node:crypto';
import { open, realpath, rm } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { describeFlaw, parseBounded } from '../core/contract/parse.ts';
import type { Project } from '../core/contract/project.ts';
import { validateProject } from '../core/contract/validate-project.ts';
import { PusaError, toPusaError } from '../core/errors.ts';
import { flushFile, place } from '../files/durable.ts';
import { temporaryIn, type NoteTemporary } from '../media/temporary.ts';
import {
  applicationId,
  chunkBytes,
  currentVersion,
  fileTakeSchema,
  hashPattern,
  limits,
  maxSettingValues,
  mediaFlaw,
  pageBytes,
  settingsSchema,
  short,
  tablesByVersion,
  type MediaFacts,
  type Settings,
  type TakeEntry,
} from './pusa-file-format.ts';

/** Bytes to store, named by their SHA-256 in hex; `open` may be called once. */
export interface MediaSource {
  readonly hash: string;
  /** Of a sequence, the bytes of each picture: `open` gives them one after the other. */
  readonly parts?: readonly number[];
  open(): AsyncIterable<Uint8Array>;
}

export interface PusaFileContents {
  readonly project: Project;
  readonly settings?: Settings;
  /** Media of the project's assets, any choice of them. */
  readonly media: readonly MediaSource[];
  /** Takes with their videos. */
  readonly takes: readonly (TakeEntry & MediaSource)[];
}

/**
 * Writes a `.pusa` file: into a temporary file beside it, flushed to the disk, then renamed over it. Whatever
 * happens on the way, the old file stays whole. Memory does not grow with the media's size.
 * @throws PusaError PROJECT_INVALID, FILE_TOO_LARGE, MEDIA_UNREADABLE (bytes that are not what their hash says),
 * DISK_FULL, WRITE_FAILED
 */
export async function writePusaFile(
  path: string,
  contents: PusaFileContents,
  { onTemporary }: { readonly onTemporary?: NoteTemporary } = {},
): Promise<void> {
  const records = encodeRecords(contents);
  // A link stays a link: what it points to is replaced.
  const target = await realpath(path).catch(() => resolve(path));
  const temporary = temporaryIn(dirname(target));
  try {
    await onTemporary?.(temporary);
    await (await open(temporary, 'wx')).close();
    await fill(temporary, contents, records);
    await flushFile(temporary);
    await place(temporary, target);
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeError(target, thrown);
  }
}

interface EncodedRecords {
  readonly project: string;
  readonly settings: readonly { readonly name: string; readonly json: string }[];
  readonly takes: readonly { readonly hash: string; readonly json: string }[];
}

/** Validates everything that a reader will, and turns it into text. */
function encodeRecords({ project, settings = {}, takes }: PusaFileContents): EncodedRecords {
  const checked = parseBounded(
    settingsSchema,
    Object.entries(settings).map(([name, value]) => ({ name, value })),
    maxSettingValues,
  );
  if (!checked.ok) throw invalid(describeFlaw('The settings', checked.flaw));
  if (takes.length > limits.takes) throw invalid(`A file holds at most ${limits.takes} takes.`);
  let takesLeft: number = limits.takesBytes;
  return {
    project: encode('The project', validateProject(project), limits.projectBytes),
    settings: checked.value.map(({ name, value }) => ({
      name,
      json: encode('A setting', value, limits.settingBytes),
    })),
    takes: takes.map(({ take, hash }) => {
      const parsed = parseBounded(fileTakeSchema, take, limits.takeValues);
      if (!parsed.ok) throw invalid(describeFlaw('A take', parsed.flaw));
      const json = encode('The record of a take', parsed.value, Math.min(limits.takeBytes, takesLeft));
      takesLeft -= Buffer.byteLength(json);
      return { hash, json };
    }),
  };
}

function encode(subject: string, value: unknown, maxBytes: number): string {
  const json = JSON.stringify(value);
  if (Buffer.byteLength(json) <= maxBytes) return json;
  throw new PusaError(
    'FILE_TOO_LARGE',
    `${subject} is too large to be saved (more than ${maxBytes} bytes).`,
    'Move some of it into another project and save again.',
  );
}

async function fill(temporary: string, contents: PusaFileContents, records: EncodedRecords): Promise<void> {
  const database = new Database(temporary);
  try {
    // Nobody else sees this file until it is renamed, and it is flushed once, at the end. Nothing is written beside it:
    // a journal would stay there if the process ended. (OFF is refused: SQLite is built to be defensive.)
    for (const setting of ['journal_mode = MEMORY', 'synchronous = OFF', 'locking_mode = EXCLUSIVE']) {
      database.pragma(setting);
    }
    database.pragma(`page_size = ${pageBytes}`);
    database.pragma(`application_id = ${applicationId}`);
    database.pragma(`user_version = ${currentVersion}`);
    database.exec('BEGIN');
    for (const table of Object.values(tablesByVersion.at(-1)!)) database.exec(table);
    database.prepare('INSERT INTO project (id, json) VALUES (1, ?)').run(records.project);
    const insertSetting = database.prepare('INSERT INTO setting (name, json) VALUES (?, ?)');
    for (const { name, json } of records.settings) insertSetting.run(name, json);
    const insertTake = database.prepare('INSERT INTO take (hash, json) VALUES (?, ?)');
    for (const { hash, json } of records.takes) insertTake.run(hash, json);
    const media = await insertMedia(database, [...contents.media, ...contents.takes]);
    const flaw = mediaFlaw(contents.project, media, records.takes);
    if (flaw) throw invalid(`The project cannot be saved so: ${flaw}.`);
    database.exec('COMMIT');
  } finally {
    database.close();
  }
}

/** Streams each blob into chunks, once per hash. @returns what they are, by hash */
async function insertMedia(
  database: Database.Database,
  sources: readonly MediaSource[],
): Promise<Map<string, MediaFacts>> {
  const insertChunk = database.prepare('INSERT INTO chunk (id, data) VALUES (?, ?)');
  const insertRow = database.prepare('INSERT INTO media (hash, bytes, first_chunk) VALUES (?, ?, ?)');
  const insertPart = database.prepare('INSERT INTO part (media, bytes) VALUES (?, ?)');
  const written = new Map<string, MediaFacts>();
  let pictures = 0;
  let nextChunk = 1;
  for (const source of sources) {
    if (written.has(source.hash)) continue;
    if (!hashPattern.test(source.hash)) throw invalid('A media file has no valid hash.');
    const firstChunk = nextChunk;
    const digest = createHash('sha256');
    let bytes = 0;
    for await (const chunk of inChunks(source.open())) {
      digest.update(chunk);
      bytes += chunk.length;
      insertChunk.run(nextChunk++, chunk);
    }
    if (digest.digest('hex') !== source.hash) {
      throw new PusaError(
        'MEDIA_UNREADABLE',
        `A media file (${short(source.hash)}) is no longer what it was when it was imported.`,
        'Import the file again, or save the project without it.',
      );
    }
    if (bytes === 0)
      throw new PusaError(
        'FILE_EMPTY',
        'A media file is empty.',
        'Remove it from the project and save again.',
      );
    const { lastInsertRowid } = insertRow.run(source.hash, bytes, firstChunk);
    const { parts } = source;
    pictures += parts?.length ?? 0;
    if (pictures > limits.parts) throw invalid(`A file holds at most ${limits.parts} pictures of sequences.`);
    for (const part of parts ?? []) insertPart.run(lastInsertRowid, part);
    written.set(source.hash, { bytes, ...(parts === undefined ? {} : { parts }) });
  }
  return written;
}

/** Cuts a stream into pieces of `chunkBytes`, the last one shorter. A piece is valid until the next is asked for. */
async function* inChunks(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunk = new Uint8Array(chunkBytes);
  let filled = 0;
  try {
    for await (const piece of stream) {
      for (let at = 0; at < piece.length;) {
        const part = piece.subarray(at, at + chunkBytes - filled);
        chunk.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled === chunkBytes) {
          yield chunk;
          filled = 0;
        }
      }
    }
  } catch (thrown) {
    throw new PusaError(
      'MEDIA_UNREADABLE',
      'A media file of the project could not be read while saving.',
      'Check that its disk is connected and save again, or save the project without it.',
      { cause: thrown },
    );
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

function invalid(message: string): PusaError {
  return new PusaError('PROJECT_INVALID', message, 'Undo the last change and save again.');
}

function writeError(path: string, thrown: unknown): PusaError {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  if (code.startsWith('SQLITE_FULL')) {
    return new PusaError(
      'DISK_FULL',
      `There is no room on the disk to save "${basename(path)}".`,
      'Free some space and save again; the file as it was before is untouched.',
      { cause: thrown },
    );
  }
  if (
    code.startsWith('SQLITE_') ||
    ['ENOENT', 'ENOTDIR', 'EISDIR', 'EBUSY', 'EIO', 'EEXIST'].includes(code)
  ) {
    return new PusaError(
      'WRITE_FAILED',
      `"${basename(path)}" could not be saved (${code}).`,
      'Check that the folder exists and that no other program has the file open, then save again.',
      { cause: thrown },
    );
  }
  return toPusaError(thrown);
}
