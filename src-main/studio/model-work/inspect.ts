import { readFile, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Inspection } from '../../core/contract/api/model-work.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { isInPlace, type Checkpoint } from '../../engine/weights/checkpoint.ts';
import { readLora } from '../../engine/weights/lora.ts';
import { openCheckpoint } from '../../engine/weights/open-checkpoint.ts';
import { tokenizerPieces } from '../../engine/weights/package.ts';
import { recognise, type Recognised } from '../../engine/weights/recognise.ts';
import { whatItIs } from '../../engine/weights/recognise-words.ts';

/** A file and, of a network, what decides which others it goes with. */
export interface Inspected extends Inspection {
  readonly recognised: Recognised | null;
  /** The path it was opened by, and its shards. */
  readonly files: readonly string[];
}

const mostTokenizerBytes = 64 * 2 ** 20;
const tokenizerNames = new Set(['spiece.model', 'tokenizer.json']);

/**
 * What a file is, told from its tensors; weights are not read. What cannot be used is no error: `refused` says why.
 * @throws PusaError FILE_NOT_FOUND, WRITE_FAILED where the file cannot be read at all
 */
export async function inspectFile(file: string): Promise<Inspected> {
  const path = resolve(file);
  const found = await stat(path).catch((thrown: unknown) => {
    throw toPusaError(thrown);
  });
  const empty: Inspected = {
    path,
    bytes: found.size,
    format: formatOf(path),
    role: null,
    what: null,
    details: {},
    tensors: 0,
    parameters: 0,
    formats: {},
    inPlace: true,
    convertedBytes: 0,
    refused: null,
    recognised: null,
    files: [path],
  };
  try {
    if (found.isDirectory()) {
      throw new PusaError(
        'FILE_UNREADABLE',
        `"${basename(path)}" is a folder.`,
        'Choose a file in it, or import the folder.',
      );
    }
    return tokenizerNames.has(basename(path))
      ? await inspectTokenizer(empty)
      : await inspectCheckpoint(empty);
  } catch (thrown) {
    const { code, message, remedy } = toPusaError(thrown);
    return { ...empty, refused: { code, message, remedy } };
  }
}

/** As the contract says it. */
export function shownInspection(file: Inspected): Inspection {
  const { path, bytes, format, role, what, details, tensors, parameters, formats } = file;
  const { inPlace, convertedBytes, refused } = file;
  return {
    path,
    bytes,
    format,
    role,
    what,
    details,
    tensors,
    parameters,
    formats,
    inPlace,
    convertedBytes,
    refused,
  };
}

function formatOf(path: string): string {
  const name = basename(path).toLowerCase();
  if (name.endsWith('.gguf')) return 'GGUF';
  if (/\.pth?$/.test(name)) return 'PyTorch';
  if (name.endsWith('.index.json')) return 'safetensors in several files';
  return name.endsWith('.safetensors') ? 'safetensors' : 'tokenizer';
}

async function inspectTokenizer(empty: Inspected): Promise<Inspected> {
  if (empty.bytes > mostTokenizerBytes) {
    throw new PusaError(
      'TOKENIZER_INVALID',
      `"${basename(empty.path)}" is too large to be a tokenizer.`,
      'Take spiece.model or tokenizer.json of google/umt5-xxl.',
    );
  }
  const pieces = tokenizerPieces(new Uint8Array(await readFile(empty.path)));
  return { ...empty, role: 'tokenizer', what: 'tokenizer', details: { Pieces: String(pieces) } };
}

async function inspectCheckpoint(empty: Inspected): Promise<Inspected> {
  const checkpoint = await openCheckpoint(empty.path);
  try {
    const formats: Record<string, number> = {};
    let parameters = 0;
    let convertedBytes = 0;
    const weights = [...checkpoint.entries.values()];
    for (const { dtype, shape, blocks } of weights) {
      const format = blocks === undefined ? dtype : `int${blocks.bits}`;
      formats[format] = (formats[format] ?? 0) + 1;
      parameters += shape.reduce((product, side) => product * side, 1);
    }
    // Bytes beside the weights, such as a tokenizer, are no matter of number formats.
    const inPlace = weights.every((entry) => entry.dtype === 'U8' || isInPlace(entry));
    if (!inPlace) convertedBytes = 2 * parameters;
    let bytes = 0;
    for (const file of new Set([empty.path, ...checkpoint.files])) bytes += (await stat(file)).size;
    const sizes = {
      ...empty,
      bytes,
      tensors: weights.length,
      parameters,
      formats,
      inPlace,
      convertedBytes,
      files: [...new Set([empty.path, ...checkpoint.files])],
    };
    try {
      const recognised = recognise(checkpoint);
      return { ...sizes, ...(await identify(recognised)), recognised };
    } catch (thrown) {
      const { code, message, remedy } = toPusaError(thrown);
      return { ...sizes, refused: { code, message, remedy } };
    }
  } finally {
    await checkpoint.close();
  }
}

/** What a network is and its sizes, in words. */
async function identify(found: Recognised): Promise<Pick<Inspection, 'role' | 'what' | 'details'>> {
  const what = whatItIs(found);
  switch (found.family) {
    case 'dit': {
      const { dim, layers, heads, textLength } = found.config;
      return {
        role: 'dit',
        what,
        details: {
          Size: `${layers} blocks of width ${dim}, ${heads} heads`,
          'Prompt of': `${textLength} tokens`,
        },
      };
    }
    case 'vae':
      return {
        role: 'vae',
        what,
        details: { Size: `width ${found.config.dim}, ${found.config.zDim} latent channels` },
      };
    case 'umt5':
      return {
        role: 'textEncoder',
        what,
        details: {
          Size: `${found.config.layers} blocks of width ${found.config.dim}`,
          Tokenizer: hasTokenizer(found.checkpoint) ? 'inside' : 'in a file of its own',
        },
      };
    case 'lora': {
      const lora = await readLora(found.checkpoint);
      const ranks = [...new Set([...lora.layers.values()].map(({ rank }) => rank))].sort((a, b) => a - b);
      const shown = ranks.length > 4 ? `${ranks[0]} to ${ranks.at(-1)}` : ranks.join(', ');
      return {
        role: 'lora',
        what,
        details: { Layers: String(lora.layers.size), Rank: shown },
      };
    }
  }
}

/** Some text encoders carry their tokenizer as a tensor. */
export function hasTokenizer({ entries }: Pick<Checkpoint, 'entries'>): boolean {
  return entries.get('spiece_model')?.dtype === 'U8';
}
