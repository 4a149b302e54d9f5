import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { PusaError, toPusaError } from '../../core/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { readLora, type Lora } from './lora.ts';
import {
  expertOf,
  filesOf,
  manifestName,
  manifestSchema,
  type Expert,
  type Manifest,
  type PackageFile,
} from './manifest.ts';
import { recognise, type Recognised } from './recognise.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { readTokenizerFile } from './tokenizer-file.ts';

export type { Manifest } from './manifest.ts';

/** A model package: a folder with a manifest and the tensor files it names. Whoever opens a checkpoint closes it. */
export interface ModelPackage {
  /** Absolute, links resolved. Files lie below it, or stay where the manifest says. */
  readonly folder: string;
  readonly manifest: Manifest;
  /** The diffusion model under official names. @param expert of two; default the high-noise one, or the only one */
  openDit(expert?: Expert): Promise<Checkpoint>;
  /** The VAE under official names. */
  openVae(): Promise<Checkpoint>;
  /** The text encoder under official names. */
  openTextEncoder(): Promise<Checkpoint>;
  /** The LoRAs of an expert in the manifest's order. */
  openLoras(expert?: Expert): Promise<Lora[]>;
  /** Bytes of the `spiece.model` or `tokenizer.json`. */
  readTokenizer(): Promise<Uint8Array>;
}

const maxManifestBytes = 4 * 1024 * 1024;

/**
 * Opens a package: the manifest is valid, every file it names is there in its size and inside the folder. Hashes are
 * not computed again (see {@link verifyPackage}); each network is compared with the manifest when it is opened.
 * @throws PusaError MODEL_NOT_FOUND, CHECKPOINT_INVALID
 */
export async function openPackage(folder: string): Promise<ModelPackage> {
  const { root, manifest } = await openFolder(folder);
  for (const file of filesOf(manifest)) await checkFile(root, manifest, file);

  const open = async (inner: string, family: Recognised['family'], config: unknown): Promise<Checkpoint> => {
    const checkpoint = await openCheckpoint(resolve(root, inner));
    try {
      const recognised = recognise(checkpoint);
      if (
        recognised.family === family &&
        'config' in recognised &&
        isDeepStrictEqual(recognised.config, config)
      ) {
        return recognised.checkpoint;
      }
    } catch (thrown) {
      await checkpoint.close();
      throw thrown;
    }
    await checkpoint.close();
    throw invalidPackage(manifest.name, `"${inner}" is not what the manifest says`);
  };

  return {
    folder: root,
    manifest,
    openDit: (expert = 'high') => {
      const { dit } = expertOf(manifest, expert);
      return open(dit.open, 'dit', dit.config);
    },
    openVae: () => open(manifest.vae.file.path, 'vae', manifest.vae.config),
    openTextEncoder: () => open(manifest.textEncoder.open, 'umt5', manifest.textEncoder.config),
    async openLoras(expert = 'high') {
      const loras: Lora[] = [];
      try {
        for (const { file } of expertOf(manifest, expert).loras)
          loras.push(await readLora(await openCheckpoint(resolve(root, file.path))));
      } catch (thrown) {
        for (const { checkpoint } of loras) await checkpoint.close();
        throw thrown;
      }
      return loras;
    },
    async readTokenizer() {
      const { tokenizer } = manifest;
      if (tokenizer.from === 'file') return readTokenizerFile(resolve(root, tokenizer.file.path));
      const checkpoint = await openCheckpoint(resolve(root, manifest.textEncoder.open));
      try {
        return await checkpoint.readBytes(tokenizer.name);
      } finally {
        await checkpoint.close();
      }
    },
  };
}

/**
 * What a package says of itself; its files may be gone.
 * @throws PusaError MODEL_NOT_FOUND, CHECKPOINT_INVALID
 */
export async function readManifest(folder: string): Promise<Manifest> {
  return (await openFolder(folder)).manifest;
}

/**
 * Reads every file of a package and compares its hash with the manifest.
 * @param onBytes called with the bytes read so far and in all
 * @throws PusaError CHECKPOINT_INVALID naming the file that changed
 */
export async function verifyPackage(
  { folder, manifest }: ModelPackage,
  onBytes?: (done: number, total: number) => void,
): Promise<void> {
  const files = filesOf(manifest);
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  let before = 0;
  for (const { path, bytes, sha256 } of files) {
    const found = await hashFile(resolve(folder, path), (done) => onBytes?.(before + done, total));
    if (found !== sha256) throw invalidPackage(manifest.name, `"${path}" has changed since it was imported`);
    before += bytes;
  }
  if (packageHash(manifest) !== manifest.hash)
    throw invalidPackage(manifest.name, 'its hash is not that of its files');
}

/** SHA-256 over the hashes of a package's files. */
export function packageHash(parts: Parameters<typeof filesOf>[0]): string {
  const hash = createHash('sha256');
  for (const { sha256 } of filesOf(parts)) hash.update(`${sha256}\n`);
  return hash.digest('hex');
}

/** SHA-256 of a file in hex, streamed. */
export async function hashFile(path: string, onBytes?: (done: number) => void): Promise<string> {
  const hash = createHash('sha256');
  let done = 0;
  for await (const piece of createReadStream(path, {
    highWaterMark: 4 * 1024 * 1024,
  }) as AsyncIterable<Buffer>) {
    hash.update(piece);
    onBytes?.((done += piece.length));
  }
  return hash.digest('hex');
}

async function openFolder(folder: string): Promise<{ root: string; manifest: Manifest }> {
  const root = await realpath(folder).catch(() => null);
  const path = join(root ?? folder, manifestName);
  const status = root === null ? null : await stat(path).catch(() => null);
  if (root !== null && status?.isFile() === true) {
    return { root, manifest: await parseManifest(path, status.size) };
  }
  throw new PusaError(
    'MODEL_NOT_FOUND',
    `There is no model package in "${folder}".`,
    'Import the model, or bring its folder or drive back.',
  );
}

async function parseManifest(path: string, bytes: number): Promise<Manifest> {
  const shown = basename(resolve(path, '..'));
  if (bytes > maxManifestBytes) throw invalidPackage(shown, 'its manifest is too large');
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw toPusaError(thrown);
    throw invalidPackage(shown, 'its manifest is not valid JSON');
  }
  const version =
    typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  if (typeof version === 'number' && version > 2) {
    throw invalidPackage(shown, 'it was imported by a newer version of Pusa Studio');
  }
  const manifest = manifestSchema.safeParse(parsed);
  if (!manifest.success) {
    const issue = manifest.error.issues[0]!;
    throw invalidPackage(shown, `its manifest is wrong at "${issue.path.join('.')}" (${issue.message})`);
  }
  const { dit, lowNoise, textEncoder } = manifest.data;
  for (const part of [dit, ...(lowNoise === undefined ? [] : [lowNoise.dit]), textEncoder]) {
    if (!part.files.some((file) => file.path === part.open)) {
      throw invalidPackage(shown, `its manifest opens "${part.open}" without listing it`);
    }
  }
  return manifest.data;
}

async function checkFile(root: string, { name }: Manifest, file: PackageFile): Promise<void> {
  const path = resolve(root, file.path);
  const real = await realpath(path).catch(() => null);
  if (real === null) {
    throw new PusaError(
      'MODEL_NOT_FOUND',
      `The model "${name}" has lost its file "${file.path}".`,
      'Bring the file back, or import the model again.',
    );
  }
  // What stays in a folder of its own may be a link there: Hugging Face's cache is made of them.
  const isInside = !isAbsolute(file.path);
  if (
    isInside &&
    (relative(root, real).split(sep)[0] === '..' || resolve(root, relative(root, real)) !== real)
  ) {
    throw invalidPackage(name, `"${file.path}" is a link to outside the package's folder`);
  }
  const { size } = await stat(real);
  if (size !== file.bytes) throw invalidPackage(name, `"${file.path}" has changed since it was imported`);
}

function invalidPackage(name: string, what: string): PusaError {
  return new PusaError(
    'CHECKPOINT_INVALID',
    `The model package "${name}" cannot be used: ${what}.`,
    'Import the model again from its files.',
  );
}
