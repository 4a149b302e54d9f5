import { randomBytes } from 'node:crypto';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openMediaStore } from '../../src-main/library/media-store.ts';
import { findMissing, type MissingAsset } from '../../src-main/library/relink.ts';
import { hashFile } from '../../src-main/media/asset.ts';
import { codeOf, fresh, sha256 } from './media-support.ts';

describe('relinking', () => {
  const asset = (id: string, bytes: Uint8Array, name: string): MissingAsset => ({
    id,
    kind: 'video',
    name,
    hash: sha256(bytes),
    bytes: bytes.length,
  });

  it('finds renamed files and sequences by length and hash, within limits', async () => {
    const place = fresh('archive');
    const deep = join(place, '2024', 'travel');
    await mkdir(deep, { recursive: true });
    const [wanted, twin, lost] = [randomBytes(5000), randomBytes(5000), randomBytes(700)];
    await writeFile(join(deep, 'renamed.mp4'), wanted);
    await writeFile(join(deep, 'clip.mp4'), twin);
    await writeFile(join(place, '.hidden'), lost);
    const frames = join(place, 'frames');
    await mkdir(frames);
    for (let i = 1; i <= 12; i++) await writeFile(join(frames, `${i}.png`), randomBytes(50 + i));
    await writeFile(join(frames, 'notes.txt'), 'no picture');
    if (process.platform !== 'win32') await symlink(place, join(deep, 'loop'));
    const hash = await hashFile(frames);
    const sequence: MissingAsset = { id: 's', kind: 'sequence', name: 'frames', hash, bytes: 12 * 50 + 78 };
    const missing = [
      asset('a', wanted, 'clip.mp4'),
      asset('again', wanted, 'copy.mp4'),
      asset('lost', lost, 'x'),
      sequence,
    ];
    const progress: number[] = [];
    const result = await findMissing(missing, place, {
      onProgress: ({ found }) => void progress.push(found),
    });
    expect(result.matches).toEqual([
      { assetId: 'a', hash: sha256(wanted), path: join(deep, 'renamed.mp4') },
      { assetId: 'again', hash: sha256(wanted), path: join(deep, 'renamed.mp4') },
      { assetId: 's', hash, path: frames },
    ]);
    expect([result.isCutShort, progress.at(-1)]).toEqual([false, 2]);
    // A file is a place, too; and what is found proves itself on the way in.
    expect((await findMissing(missing, join(deep, 'renamed.mp4'))).matches).toHaveLength(2);
    expect((await findMissing(missing, join(deep, 'clip.mp4'))).matches).toEqual([]);
    const store = await openMediaStore(fresh());
    for (const { path, hash: expected } of result.matches) await store.import(path, { expect: expected });
    expect(await store.list()).toHaveLength(2);
    expect(await findMissing(missing, place, { maxFiles: 3 })).toMatchObject({
      isCutShort: true,
      filesSeen: 3,
    });
    expect(await codeOf(findMissing(missing, place, { signal: AbortSignal.abort() }))).toBe('CANCELLED');
    expect(await codeOf(findMissing(missing, join(place, 'absent')))).toBe('FILE_NOT_FOUND');
  });
});
