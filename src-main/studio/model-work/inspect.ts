import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Inspection } from '../../core/contract/api/model-work.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { isInPlace } from '../../engine/weights/checkpoint.ts';
import { convertedBytes as bytesConverted } from '../../engine/weights/convert.ts';
import { readLora, type Lora } from '../../engine/weights/lora.ts';
import { openCheckpoint } from '../../engine/weights/open-checkpoint.ts';
import { recognise, type Recognised } from '../../engine/weights/recognise.ts';
import { whatItIs } from '../../engine/weights/recognise-words.ts';
import {
  carriesTokenizer,
  readTokenizerFile,
  tokenizerNames,
  tokenizerPieces,
} from '../../engine/weights/tokenizer-file.ts';

/** A file and, of a network, what decides which others it goes with. */
export interface Inspected extends Inspection {
  readonly recognised: Recognised | null;
  /** The path it was opened by, and its shards. */
  readonly files: readonly string[];
}

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
  if (/\.(pth?|bin|ckpt)$/.test(name)) return 'PyTorch';
  if (name.endsWith('.index.json')) return 'safetensors in several files';
  return name.endsWith('.safetensors') ? 'safetensors' : 'tokenizer';
}

async function inspectTokenizer(empty: Inspected): Promise<Inspected> {
  const pieces = tokenizerPieces(await readTokenizerFile(empty.path));
  return { ...empty, role: 'tokenizer', what: 'tokenizer', details: { Pieces: String(pieces) } };
}

async function inspectCheckpoint(empty: Inspected): Promise<Inspected> {
  const checkpoint = await openCheckpoint(empty.path);
  try {
    const formats: Record<string, number> = {};
    let parameters = 0;
    const weights = [...checkpoint.entries.values()];
    for (const { dtype, shape, blocks } of weights) {
      const format = blocks === undefined ? dtype : `int${blocks.bits}`;
      formats[format] = (formats[format] ?? 0) + 1;
      parameters += shape.reduce((product, side) => product * side, 1);
    }
    // Bytes beside the weights, such as a tokenizer, are no matter of number formats.
    const inPlace = weights.every((entry) => entry.dtype === 'U8' || isInPlace(entry));
    const convertedBytes = inPlace ? 0 : bytesConverted(checkpoint);
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
          Tokenizer: carriesTokenizer(found.checkpoint) ? 'inside' : 'in a file of its own',
        },
      };
    case 'lora': {
      const lora = await readLora(found.checkpoint);
      const ranks = [...new Set([...lora.layers.values()].map(({ rank }) => rank))].sort((a, b) => a - b);
      const shown = ranks.length > 4 ? `${ranks[0]} to ${ranks.at(-1)}` : ranks.join(', ');
      return {
        role: 'lora',
        what,
        details: { 'Made for': madeFor(lora), Layers: String(lora.layers.size), Rank: shown },
      };
    }
  }
}

/** Models by the width of their blocks (spec §1.1). */
const models: Readonly<Record<number, string>> = {
  1536: 'Wan2.1 T2V 1.3B',
  3072: 'Wan2.2 TI2V 5B',
  5120: 'Wan2.1 T2V 14B, or an expert of Wan2.2 T2V A14B',
};

function madeFor({ layers }: Lora): string {
  const [attention] = [...layers].filter(([name]) => /^blocks\.\d+\.self_attn\.[qkv]$/.test(name));
  const width = attention?.[1].down.shape[1];
  return width === undefined ? 'a Wan model' : (models[width] ?? `a model of width ${width}`);
}
