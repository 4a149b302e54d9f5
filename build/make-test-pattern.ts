/**
 * Makes `test/fixtures/models/test-pattern`: a package of the golden cases' random weights, so that everything can be
 * tried without a download. Its videos are noise by design. Run: node build/make-test-pattern.ts
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import protobuf from 'protobufjs/minimal.js';
import { importPackage } from '../src-main/engine/weights/import-package.ts';
import { openSafetensors } from '../src-main/engine/weights/safetensors.ts';
import type { Dtype } from '../src-main/engine/weights/dtypes.ts';
import { writeSafetensors, type TensorToWrite } from '../src-main/engine/weights/write-safetensors.ts';

const root = join(import.meta.dirname, '..');
const goldens = join(root, 'test', 'fixtures', 'goldens');
const folder = join(root, 'test', 'fixtures', 'models', 'test-pattern');
const licence = 'MIT';

/** Copies a checkpoint's tensors as they are, with metadata. */
async function convert(from: string, to: string, metadata: Record<string, string>): Promise<void> {
  const checkpoint = await openSafetensors(join(goldens, from));
  const tensors: TensorToWrite[] = [];
  for (const [name, { dtype, shape }] of checkpoint.entries) {
    tensors.push({ name, dtype: dtype as Dtype, shape, data: await checkpoint.readBytes(name) });
  }
  await checkpoint.close();
  await writeSafetensors(join(folder, to), tensors, metadata);
}

/** The pieces of a vocabulary of 97: single characters, so that any English prompt has a tokenization. */
function pieces(): { text: string; score: number; kind: number }[] {
  const [normal, unknown, control] = [1, 2, 3];
  const characters = [
    '▁etaoinshrdlucmfwypvbgkjqxz',
    '0123456789',
    'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
    '.,!?;:\'"()-/&%+=*#@_[]{}<>~$^|',
  ].flatMap((row) => Array.from(row));
  return [
    { text: '<pad>', score: 0, kind: control },
    { text: '</s>', score: 0, kind: control },
    { text: '<unk>', score: 0, kind: unknown },
    // Commoner characters first: log probabilities fall with the rank.
    ...characters.map((text, rank) => ({ text, score: -Math.log(rank + 2) - 1, kind: normal })),
  ];
}

/** A SentencePiece unigram model (`ModelProto`) without byte fallback. */
function spiece(): Uint8Array {
  const all = pieces();
  const writer = protobuf.Writer.create();
  for (const { text, score, kind } of all) {
    writer.uint32(10).fork().uint32(10).string(text).uint32(21).float(score).uint32(24).int32(kind).ldelim();
  }
  const field = (number: number, value: number): void => {
    writer.uint32(number << 3).int32(value);
  };
  writer.uint32((2 << 3) | 2).fork();
  field(3, 1); // unigram
  field(4, all.length); // vocabulary
  field(40, 2); // unknown
  field(41, -1); // no start mark
  field(42, 1); // end
  field(43, 0); // padding
  writer.ldelim();
  writer
    .uint32((3 << 3) | 2)
    .fork()
    .uint32(10)
    .string('identity')
    .ldelim();
  return writer.finish();
}

await mkdir(folder, { recursive: true });
await convert('e2e_tiny_full/weights.safetensors', 'dit.safetensors', {
  'pusa.name': 'Test pattern model',
  'pusa.licence': licence,
  'pusa.num_heads': '2',
  'pusa.text_len': '24',
  'pusa.native_width': '80',
  'pusa.native_height': '48',
  'pusa.native_fps': '16',
  'pusa.native_frames': '17',
  'pusa.recommended_steps': '4',
  'pusa.recommended_cfg': '3',
  'pusa.recommended_shift': '5',
});
await convert('vae_tiny/weights.safetensors', 'vae.safetensors', {});
await convert('umt5_tiny/weights.safetensors', 'umt5.safetensors', {});
await writeFile(join(folder, 'spiece.model'), spiece());
const { manifest } = await importPackage(folder, { id: 'test-pattern' });
process.stdout.write(`${manifest.name}: ${manifest.hash}\n`);
