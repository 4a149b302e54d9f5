import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, lstat, mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { openMediaStore } from '../../src-main/library/media-store.ts';
import { hashFile } from '../../src-main/media/asset.ts';
import { openSource } from '../../src-main/media/frames.ts';
import {
  codeOf,
  expectSound,
  filesIn,
  fresh,
  named,
  pieces,
  read,
  root,
  sha256,
  smallDisk,
} from './media-support.ts';

describe('taking media in', () => {
  it('keeps bytes once under their hash, from files and from streams, and gives them back', async () => {
    const store = await openMediaStore(fresh());
    const bytes = randomBytes(3 * 2 ** 20 + 17);
    const hash = sha256(bytes);
    const file = join(root, 'a file.mp4');
    await writeFile(file, bytes);
    const seen: [number, number | null][] = [];
    const onBytes = (done: number, total: number | null): void => void seen.push([done, total]);
    expect(await store.import(file, { onBytes })).toEqual({ hash, bytes: bytes.length, isNew: true });
    expect(seen.at(-1)).toEqual([bytes.length, bytes.length]);
    expect(await store.import(pieces(bytes))).toEqual({ hash, bytes: bytes.length, isNew: false });
    expect(await store.path(hash)).toBe(join(store.folder, hash.slice(0, 2), hash));
    expect(filesIn(store.folder)).toEqual([hash]);
    expect((await read(store, hash)).equals(bytes)).toBe(true);
    const middle = await read(store, hash, { start: 1_000_000, end: 2_500_000 });
    expect(middle.equals(bytes.subarray(1_000_000, 2_500_000))).toBe(true);
    expect(await read(store, hash, { start: bytes.length - 3 })).toEqual(bytes.subarray(-3));
    expect(await read(store, hash, { start: bytes.length, end: 2 ** 40 })).toHaveLength(0);
    await expect(read(store, hash, { start: -1 })).rejects.toThrow(RangeError);
    expect([await store.size(hash), await store.bytes(), await store.list()]).toEqual([
      bytes.length,
      bytes.length,
      [hash],
    ]);
    // Found again, with the identity it was made with.
    const again = await openMediaStore(store.folder, { id: store.id });
    expect(await again.has(hash)).toBe(true);
    expect(await again.remove(hash)).toBe(bytes.length);
    expect(await again.remove(hash)).toBe(0);
    expect(await codeOf(again.path(hash))).toBe('FILE_NOT_FOUND');
    expect(filesIn(store.folder)).toEqual([]);
  });

  it('keeps a sequence of pictures whole, as one medium that can be opened', async () => {
    const store = await openMediaStore(fresh());
    const folder = fresh('sequence');
    await mkdir(folder);
    for (let i = 1; i <= 11; i++) {
      const picture = sharp({
        create: { width: 8, height: 8, channels: 3, background: { r: i * 20, g: 0, b: 0 } },
      });
      await picture.png().toFile(join(folder, `shot ${i}.PNG`));
    }
    const { hash, bytes, isNew } = await store.import(folder);
    expect([hash, isNew]).toEqual([await hashFile(folder), true]);
    expect((await store.import(join(folder, 'shot %d.PNG'))).isNew).toBe(false);
    expect(sha256(await read(store, hash))).toBe(hash);
    expect(await read(store, hash, { start: bytes - 5 })).toHaveLength(5);
    expect(await store.verify(hash)).toBe('sound');
    const source = await openSource(await store.path(hash));
    expect([source.probe.kind, source.probe.frames]).toEqual(['sequence', 11]);
    const reds: number[] = [];
    for await (const frame of source.frames([0, 0.125, 0.625], { width: 8, height: 8 }, 'stretch'))
      reds.push(frame[0]!);
    expect(reds).toEqual([20, 60, 220]);
    // One picture is that picture, whether it came alone or in a folder.
    const single = fresh('sequence');
    await mkdir(single);
    await cp(join(folder, 'shot 1.PNG'), join(single, 'x.png'));
    const alone = await store.import(single);
    expect(await store.import(join(folder, 'shot 1.PNG'))).toEqual({ ...alone, isNew: false });
    expect((await lstat(await store.path(alone.hash))).isFile()).toBe(true);
    expect(await store.remove(hash)).toBe(bytes);
    expect(await store.list()).toEqual([alone.hash]);
  });

  it('takes equal bytes in once when they come at the same time, and records keep what they name', async () => {
    const store = await openMediaStore(fresh());
    const bytes = randomBytes(500_000);
    const hash = sha256(bytes);
    const results = await Promise.all(Array.from({ length: 12 }, () => store.import(pieces(bytes))));
    expect(results.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(filesIn(store.folder)).toEqual([hash]);
    await store.remove(hash);

    // While it is being recorded, nobody removes it.
    let freed = -1;
    await store.import(pieces(bytes), {
      record: async () => {
        freed = await store.remove(hash);
        expect((await store.sweep(named([]))).removed).toEqual([]);
      },
    });
    expect([freed, await store.has(hash)]).toEqual([0, true]);
    await store.remove(hash);

    // A record that fails leaves no file, unless another import recorded the same bytes.
    const failing = (): Promise<void> => Promise.reject(new Error('the database is locked'));
    expect(await codeOf(store.import(pieces(bytes), { record: failing }))).toBe('INTERNAL');
    expect(filesIn(store.folder)).toEqual([]);
    const [failed, kept] = await Promise.allSettled([
      store.import(pieces(bytes), {
        record: async () => {
          await store.import(pieces(bytes), { record: () => undefined });
          await failing();
        },
      }),
      store.import(pieces(randomBytes(10))),
    ]);
    expect([failed.status, kept.status]).toEqual(['rejected', 'fulfilled']);
    expect(await store.verify(hash)).toBe('sound');
  });

  it('leaves nothing of an import that is cancelled, breaks off, changes or is not what was asked for', async () => {
    const store = await openMediaStore(fresh());
    const file = join(root, 'source.mov');
    const bytes = randomBytes(4 * 2 ** 20);
    await writeFile(file, bytes);
    const abort = new AbortController();
    const cancelled = store.import(file, { signal: abort.signal, onBytes: () => abort.abort() });
    expect(await codeOf(cancelled)).toBe('CANCELLED');
    // A source that never answers is left, too.
    const hanging = new AbortController();
    const silent = (async function* () {
      yield bytes.subarray(0, 10);
      setImmediate(() => hanging.abort());
      await new Promise(() => undefined);
    })();
    expect(await codeOf(store.import(silent, { signal: hanging.signal }))).toBe('CANCELLED');
    const broken = (async function* () {
      yield* pieces(bytes.subarray(0, 100_000));
      throw new Error('connection lost');
    })();
    expect(await codeOf(store.import(broken))).toBe('INTERNAL');
    // Longer, shorter, and rewritten in place with the same length.
    const changes: (() => void)[] = [
      () => execFileSync('sh', ['-c', `printf more >> "${file}"`]),
      () => writeFileSync(file, bytes.subarray(0, 2 ** 21)),
      () => writeFileSync(file, bytes),
    ];
    for (const change of changes) {
      let armed = true;
      const onBytes = (): void => {
        if (armed) change();
        armed = false;
      };
      expect(await codeOf(store.import(file, { onBytes }))).toBe('MEDIA_UNREADABLE');
    }
    expect(await codeOf(store.import(file, { expect: 'a'.repeat(64) }))).toBe('MEDIA_DIFFERS');
    await writeFile(join(root, 'empty.png'), '');
    expect(await codeOf(store.import(join(root, 'empty.png')))).toBe('FILE_EMPTY');
    expect(await codeOf(store.import(join(root, 'absent.png')))).toBe('FILE_NOT_FOUND');
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [join(root, 'pipe.png')]);
      expect(await codeOf(store.import(join(root, 'pipe.png')))).toBe('MEDIA_UNSUPPORTED');
    }
    expect(filesIn(store.folder)).toEqual([]);
    expect((await store.import(file, { expect: sha256(bytes) })).isNew).toBe(true);
  });
});

describe('hostile names and links', () => {
  it('takes nothing but 64 hexadecimal digits for a medium', async () => {
    const store = await openMediaStore(fresh());
    await writeFile(join(root, 'secret'), 'secret');
    const hash = 'ab'.repeat(32);
    const names: unknown[] = [
      ...[
        '',
        '..',
        '../secret',
        '../../etc/passwd',
        '/etc/passwd',
        'pusa-media.json',
        '.pusa-incoming',
        'ab',
      ],
      ...[
        `${hash}/..`,
        `../${hash}`,
        `${hash}\0`,
        `${hash}\n`,
        hash.toUpperCase(),
        `${hash.slice(2)}..`,
        `${hash}0`,
      ],
      ...[
        '%2e%2e%2fsecret',
        'ａ'.repeat(64),
        '__proto__',
        null,
        undefined,
        7,
        [hash],
        { toString: () => hash },
      ],
    ];
    for (const name of names as string[]) {
      expect(await store.has(name)).toBe(false);
      expect(await store.remove(name)).toBe(0);
      expect(await store.verify(name)).toBe('missing');
      expect(await codeOf(store.path(name))).toBe('FILE_NOT_FOUND');
      expect(await codeOf(read(store, name))).toBe('FILE_NOT_FOUND');
    }
    expect(existsSync(join(root, 'secret'))).toBe(true);
  });

  it.skipIf(process.platform === 'win32')(
    'follows no link inside the store and harms nothing outside',
    async () => {
      const store = await openMediaStore(fresh());
      const outside = fresh('outside');
      await mkdir(outside);
      const bytes = Buffer.from('something private');
      const hash = sha256(bytes);
      await writeFile(join(outside, hash), bytes);
      // A link in the place of a medium.
      await mkdir(join(store.folder, hash.slice(0, 2)));
      const place = join(store.folder, hash.slice(0, 2), hash);
      await symlink(join(outside, hash), place);
      expect([await store.has(hash), await store.verify(hash)]).toEqual([false, 'missing']);
      expect(await codeOf(read(store, hash))).toBe('FILE_NOT_FOUND');
      expect(await store.list()).toEqual([]);
      expect(await store.sweep(named([hash]))).toMatchObject({ removed: [] });
      expect(existsSync(place)).toBe(false);
      // An import replaces the link and does not write through it.
      await symlink(join(outside, 'victim'), place);
      expect((await store.import(pieces(bytes))).isNew).toBe(true);
      expect([(await lstat(place)).isFile(), existsSync(join(outside, 'victim'))]).toEqual([true, false]);
      await store.remove(hash);
      // A link in the place of a folder of the store.
      await rename(join(store.folder, hash.slice(0, 2)), fresh('old'));
      await symlink(outside, join(store.folder, hash.slice(0, 2)));
      expect([await store.has(hash), await store.remove(hash)]).toEqual([false, 0]);
      expect(await codeOf(store.import(pieces(bytes)))).toBe('MEDIA_FOLDER_INVALID');
      expect((await store.sweep(named([]))).removed).toEqual([]);
      await unlink(join(store.folder, hash.slice(0, 2)));
      // A link among the pictures of a sequence.
      await mkdir(place, { recursive: true });
      await symlink(join(outside, hash), join(place, '000001.png'));
      expect([await store.has(hash), await store.verify(hash)]).toEqual([false, 'missing']);
      expect((await store.sweep(named([]))).removed).toEqual([hash]);
      // A link in the place of the folder for unfinished files.
      await rm(join(store.folder, '.pusa-incoming'), { recursive: true });
      await symlink(outside, join(store.folder, '.pusa-incoming'));
      expect(await codeOf(openMediaStore(store.folder))).toBe('MEDIA_FOLDER_INVALID');
      expect(readFileSync(join(outside, hash))).toEqual(bytes);
      expect(readdirSync(outside)).toEqual([hash]);
    },
  );

  it('is only opened where this library’s media are', async () => {
    const store = await openMediaStore(fresh());
    const other = await openMediaStore(fresh());
    expect(await codeOf(openMediaStore(other.folder, { id: store.id }))).toBe('MEDIA_FOLDER_INVALID');
    expect(await codeOf(openMediaStore(fresh(), { id: store.id }))).toBe('MEDIA_FOLDER_MISSING');
    expect(await codeOf(store.moveTo(other.folder))).toBe('MEDIA_FOLDER_INVALID');
    expect(await codeOf(store.moveTo(join(store.folder, 'inside')))).toBe('MEDIA_FOLDER_INVALID');
    expect(await codeOf(store.moveTo(store.folder))).toBe('MEDIA_FOLDER_INVALID');
    const used = fresh('used');
    await mkdir(used);
    await writeFile(join(used, 'letter.txt'), 'Dear …');
    expect(await codeOf(openMediaStore(used))).toBe('MEDIA_FOLDER_INVALID');
    expect(await codeOf(store.moveTo(used))).toBe('MEDIA_FOLDER_INVALID');
    expect(readdirSync(used)).toEqual(['letter.txt']);
    await writeFile(join(other.folder, 'pusa-media.json'), '{"format":"pusa-media","version":2}');
    expect(await codeOf(openMediaStore(other.folder))).toBe('MEDIA_FOLDER_INVALID');
    expect(store.interruptedMove).toBe(null);
  });
});

describe('sweeping', () => {
  it('brings records and files together and leaves foreign files alone', async () => {
    const store = await openMediaStore(fresh());
    const hashes: string[] = [];
    for (let i = 0; i < 5; i++) hashes.push((await store.import(pieces(randomBytes(1000 + i)))).hash);
    await writeFile(join(store.folder, '.pusa-incoming', 'half'), 'half');
    await writeFile(join(store.folder, 'notes.txt'), 'mine');
    await writeFile(join(store.folder, hashes[0]!.slice(0, 2), 'notes.txt'), 'mine too');
    const swept = await store.sweep(named([hashes[0]!, hashes[2]!]));
    expect({ ...swept, removed: [...swept.removed].sort() }).toEqual({
      removed: [hashes[1], hashes[3], hashes[4]].sort(),
      freedBytes: 1001 + 1003 + 1004,
      unfinished: 1,
    });
    await expectSound(store, [hashes[0]!, hashes[2]!]);
    expect(filesIn(store.folder)).toEqual([hashes[0], hashes[2], 'notes.txt', 'notes.txt'].sort());
    await writeFile(await store.path(hashes[0]!), randomBytes(1000));
    expect(await store.verify(hashes[0]!)).toBe('damaged');
    // Cut short, it is no longer taken for the medium: the next import heals it.
    const bytes = await read(store, hashes[2]!);
    await writeFile(await store.path(hashes[2]!), bytes.subarray(0, 10));
    expect(await store.import(pieces(bytes))).toMatchObject({ hash: hashes[2], isNew: true });
    expect(await store.verify(hashes[2]!)).toBe('sound');
  });
});

describe('a full disk', () => {
  const disk = smallDisk(4 * 2 ** 20);

  it.skipIf(disk === null)('stops imports and moves with a clear error and nothing half left', async () => {
    const store = await openMediaStore(join(disk!, 'media'));
    const kept = randomBytes(2.5 * 2 ** 20);
    const { hash } = await store.import(pieces(kept));
    const large = randomBytes(3 * 2 ** 20);
    const file = join(root, 'large.mov');
    await writeFile(file, large);
    expect(await codeOf(store.import(file))).toBe('DISK_FULL');
    expect(await codeOf(store.import(pieces(large)))).toBe('DISK_FULL');
    await expectSound(store, [hash]);
    expect(filesIn(store.folder)).toEqual([hash]);
    // What is there already needs no room.
    await writeFile(file, kept);
    expect(await store.import(file)).toEqual({ hash, bytes: kept.length, isNew: false });
    // Nor does a move to where there is too little begin.
    const roomy = await openMediaStore(fresh());
    const other = await roomy.import(pieces(large));
    expect(await codeOf(roomy.moveTo(join(disk!, 'other')))).toBe('DISK_FULL');
    expect(existsSync(join(disk!, 'other'))).toBe(false);
    await expectSound(roomy, [other.hash]);
    // With space again it goes on; and a move crosses disks.
    await store.remove(hash);
    expect((await store.import(pieces(large))).isNew).toBe(true);
    await store.moveTo(fresh());
    await expectSound(store, [sha256(large)]);
    expect(existsSync(join(disk!, 'media', 'pusa-media.json'))).toBe(true);
  });
});
