import { basename, resolve } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import { clip, invalid, type Checkpoint } from './checkpoint.ts';
import { parseHeader } from './safetensors-header.ts';
import { readShardIndex } from './shard-index.ts';
import { openFiles, withFile, type FileHeader } from './tensor-files.ts';

export type { Checkpoint, TensorEntry } from './checkpoint.ts';

/** The format's own limit on the header. */
const maxHeaderBytes = 100_000_000;

/**
 * Opens a `.safetensors` file, or a `.safetensors.index.json` with all its shards. Everything the header says is
 * checked against the file before anything is allocated by it.
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, CHECKPOINT_INVALID
 */
export async function openSafetensors(path: string): Promise<Checkpoint> {
  const absolute = resolve(path);
  return absolute.endsWith('.json')
    ? openSharded(absolute)
    : openFiles(absolute, [await readHeader(absolute)]);
}

async function openSharded(indexPath: string): Promise<Checkpoint> {
  const index = await readShardIndex(indexPath);
  const headers: FileHeader[] = [];
  for (const [file, names] of index.shards) {
    const header = await readHeader(file).catch((thrown: unknown) => {
      throw isMissing(thrown) ? missingShard(indexPath, file, index.shards.size) : thrown;
    });
    for (const name of names) {
      if (!header.entries.has(name)) {
        throw invalid(
          indexPath,
          `its index says that ${basename(file)} holds "${clip(name)}", but it does not`,
        );
      }
    }
    for (const name of header.entries.keys()) {
      if (!names.has(name)) {
        throw invalid(
          indexPath,
          `${basename(file)} holds "${clip(name)}", which the index does not expect there`,
        );
      }
    }
    headers.push(header);
  }
  return openFiles(indexPath, headers);
}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof PusaError && thrown.code === 'FILE_NOT_FOUND';
}

function missingShard(index: string, file: string, count: number): PusaError {
  return new PusaError(
    'CHECKPOINT_INCOMPLETE',
    `"${basename(file)}" is missing: it is one of the ${count} files of the model.`,
    `Download it from the same page into the folder of "${basename(index)}".`,
  );
}

function readHeader(path: string): Promise<FileHeader> {
  return withFile(path, async (file) => {
    if (file.size < 10) throw invalid(path, 'it is too short to be a safetensors file');
    const length = new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true);
    if (length > BigInt(maxHeaderBytes)) {
      throw invalid(path, `its header claims ${length.toString()} bytes, more than the format allows`);
    }
    const headerBytes = Number(length);
    if (headerBytes < 2 || 8 + headerBytes > file.size) {
      throw invalid(path, `its header claims ${headerBytes} bytes of a file of ${file.size}`);
    }
    return parseHeader(path, await file.read(8, headerBytes), 8 + headerBytes, file.size);
  });
}
