import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import { parseSpiece } from '../text/spiece.ts';
import { parseTokenizerJson } from '../text/tokenizer-json.ts';
import type { Checkpoint } from './checkpoint.ts';
import { take } from './recognise-checks.ts';

/** Names under which a tokenizer lies beside a text encoder. */
export const tokenizerNames: ReadonlySet<string> = new Set(['spiece.model', 'tokenizer.json']);
/** The tensor that text encoders of ComfyUI keep it in. */
export const tokenizerTensor = 'spiece_model';

/** More than any tokenizer: `tokenizer.json` of UMT5 has 17 MB. */
const maxBytes = 64 * 1024 * 1024;

/** Bytes of a `spiece.model` or `tokenizer.json`. @throws PusaError TOKENIZER_INVALID where there are far too many */
export async function readTokenizerFile(path: string): Promise<Uint8Array> {
  if ((await stat(path)).size <= maxBytes) return new Uint8Array(await readFile(path));
  throw new PusaError(
    'TOKENIZER_INVALID',
    `"${basename(path)}" is too large to be a tokenizer.`,
    take.tokenizer,
  );
}

/** Whether a text encoder carries its tokenizer as a tensor. */
export function carriesTokenizer({ entries }: Pick<Checkpoint, 'entries'>): boolean {
  const entry = entries.get(tokenizerTensor);
  return entry?.dtype === 'U8' && entry.bytes <= maxBytes;
}

/** Number of pieces of a tokenizer file. @throws PusaError TOKENIZER_INVALID */
export function tokenizerPieces(bytes: Uint8Array): number {
  return (bytes[0] === 0x7b ? parseTokenizerJson(bytes) : parseSpiece(bytes)).pieces.length;
}
