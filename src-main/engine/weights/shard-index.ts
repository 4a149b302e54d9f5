import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { toPusaError } from '../../core/errors.ts';
import { repeatedKey } from './safetensors-header.ts';
import { clip, invalid } from './checkpoint.ts';

const maxIndexBytes = 32 * 1024 * 1024;
const maxShards = 1000;

const indexSchema = z.looseObject({ weight_map: z.record(z.string().min(1), z.string().min(1)) });

/** What a shard index says: absolute shard path → names of its tensors. */
export interface ShardIndex {
  readonly shards: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Reads a `*.safetensors.index.json`. Shards must lie beside it under plain names.
 * @throws PusaError FILE_NOT_FOUND, CHECKPOINT_INVALID
 */
export async function readShardIndex(path: string): Promise<ShardIndex> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > maxIndexBytes) throw invalid(path, `an index of ${size} bytes is too large`);
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    throw toPusaError(thrown);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw invalid(path, 'it is not valid JSON');
  }
  const repeated = repeatedKey(text);
  if (repeated !== null) throw invalid(path, `it names "${clip(repeated)}" twice`);
  const index = indexSchema.safeParse(parsed);
  if (!index.success) throw invalid(path, 'it has no "weight_map" of tensor names to file names');
  const shards = new Map<string, Set<string>>();
  for (const [name, file] of Object.entries(index.data.weight_map)) {
    // Both separators everywhere: a name made on one system must not leave the folder on another.
    if (/[/\\\0:]/.test(file) || basename(file) !== file || !file.endsWith('.safetensors')) {
      throw invalid(
        path,
        `"${clip(name)}" is said to lie in "${clip(file)}", which is no safetensors file beside it`,
      );
    }
    const shard = join(dirname(path), file);
    let names = shards.get(shard);
    if (names === undefined) shards.set(shard, (names = new Set()));
    names.add(name);
  }
  if (shards.size === 0) throw invalid(path, 'it names no tensors');
  if (shards.size > maxShards) throw invalid(path, `it names ${shards.size} files`);
  return { shards };
}
