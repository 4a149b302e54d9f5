import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { AssetRecord } from '../../src-main/core/contract/records.ts';
import type { Clip } from '../../src-main/core/contract/project.ts';
import { assetOfRecord } from '../../src-main/studio/services/asset-intake.ts';
import { ffmpeg } from '../media/support.ts';
import { connectStudio, type Connected } from './connect.ts';

/** A folder for everything of one test file, removed after it. */
export const root = await mkdtemp(join(tmpdir(), 'pusa-studio-media-'));
const opened: OpenedStudio[] = [];
afterAll(async () => {
  for (const studio of opened) await studio.close();
  await rm(root, { recursive: true, force: true });
});

/** A studio and one connection to it. */
export interface OpenedStudio extends Omit<Connected, 'call'> {
  readonly api: Connected['call'];
}

/** Opens a studio without the sample projects. */
export async function open(name: string): Promise<OpenedStudio> {
  const { call, ...connected } = await connectStudio(join(root, name));
  const all: OpenedStudio = { ...connected, api: call };
  opened.push(all);
  return all;
}

/** Makes a project of a small size and puts assets into it as clips. */
export async function makeProject(
  { api: studio }: OpenedStudio,
  { width = 64, height = 48, fps = 16 }: { width?: number; height?: number; fps?: number },
  clips: readonly (Pick<Clip, 'start' | 'frames'> & Partial<Clip> & { readonly asset: AssetRecord })[],
): Promise<string> {
  const { project } = await studio.projects.create({ name: 'Ein „Schnitt“ / 剪辑', width, height, fps });
  const assets = new Map(clips.map(({ asset }) => [asset.id, asset]));
  await studio.projects.edit({
    projectId: project.id,
    label: 'Build',
    commands: [
      {
        type: 'addAssets',
        assets: [...assets.values()].map(assetOfRecord),
      },
      ...clips.map(
        ({ asset, ...clip }, index) =>
          ({
            type: 'addClip',
            clip: {
              id: `clip-${index}`,
              assetId: asset.id,
              track: 0,
              sourceStart: 0,
              fit: 'crop',
              ...clip,
            },
          }) as const,
      ),
    ],
  });
  return project.id;
}

/** All bytes of a download. */
export async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Loudness of a file's sound in stretches of 1/50 s: root mean square, 0 … 1. */
export function loudness(path: string): number[] {
  const rate = 8000;
  const args = [
    '-v',
    'error',
    '-i',
    path,
    '-map',
    '0:a:0',
    '-f',
    's16le',
    '-ar',
    String(rate),
    '-ac',
    '1',
    '-',
  ];
  const bytes = execFileSync(ffmpeg!.path, args, { maxBuffer: 2 ** 28 });
  const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const length = rate / 50;
  return Array.from({ length: Math.floor(samples.length / length) }, (_, i) => {
    const stretch = samples.subarray(i * length, (i + 1) * length);
    return Math.sqrt(stretch.reduce((sum, value) => sum + (value / 32768) ** 2, 0) / length);
  });
}
