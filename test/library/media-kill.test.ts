import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openMediaStore } from '../../src-main/library/media-store.ts';
import { hashFile } from '../../src-main/media/asset.ts';
import { seeded } from '../engine/kill.ts';
import { codeOf, expectSound, filesIn, fresh, named, pieces, sha256 } from './media-support.ts';

describe('moving', () => {
  it('goes on serving and importing meanwhile, and keeps what it was not given', async () => {
    const from = fresh('from');
    let remembered = '';
    const store = await openMediaStore(from, { remember: (folder) => void (remembered = folder) });
    const media = [randomBytes(3_000_000), randomBytes(10), randomBytes(2_000_000)];
    const hashes: string[] = [];
    for (const bytes of media) hashes.push((await store.import(pieces(bytes))).hash);
    // One rotten file: moved as it is, and told.
    await writeFile(await store.path(hashes[1]!), randomBytes(10));
    await writeFile(join(from, 'notes.txt'), 'mine');
    const to = fresh('to');
    let added: Promise<string> | null = null;
    const { damaged } = await store.moveTo(to, {
      onBytes: () => {
        added ??= store
          .remove(hashes[2]!)
          .then(() => store.import(pieces(randomBytes(100_000))))
          .then(({ hash }) => hash);
      },
    });
    expect(damaged).toEqual([hashes[1]]);
    const late = await added!;
    expect([store.folder, remembered]).toEqual([to, to]);
    expect((await store.list()).sort()).toEqual([hashes[0]!, hashes[1]!, late].sort());
    expect([
      await store.verify(hashes[0]!),
      await store.verify(hashes[1]!),
      await store.verify(late),
    ]).toEqual(['sound', 'damaged', 'sound']);
    expect(readdirSync(from)).toEqual(['notes.txt']);
  });

  it('is taken back when it is cancelled, and leaves a sign where nobody remembers the new folder', async () => {
    const [from, to] = [fresh('from'), fresh('to')];
    const store = await openMediaStore(from);
    const hashes: string[] = [];
    for (let i = 0; i < 4; i++) hashes.push((await store.import(pieces(randomBytes(1_500_000)))).hash);
    const abort = new AbortController();
    const onBytes = (done: number): void => (done > 2_000_000 ? abort.abort() : undefined);
    expect(await codeOf(store.moveTo(to, { onBytes, signal: abort.signal }))).toBe('CANCELLED');
    expect([store.folder, existsSync(to), (await openMediaStore(from)).interruptedMove]).toEqual([
      from,
      false,
      null,
    ]);
    await expectSound(store, hashes);
    await store.moveTo(to);
    expect(filesIn(from)).toEqual([]);
    const found = await openMediaStore(from, { id: store.id });
    expect(found.folder).toBe(to);
    // And back to where it was, past the sign.
    await found.moveTo(from);
    await expectSound(await openMediaStore(from, { id: store.id }), hashes);
    expect((await openMediaStore(to, { id: store.id })).folder).toBe(from);
  });
});

describe('a process that is killed', () => {
  const child = join(import.meta.dirname, 'media-child.ts');
  const sources = fresh('sources');
  const sourceHashes: string[] = [];
  beforeAll(async () => {
    mkdirSync(sources);
    for (let i = 0; i < 6; i++) {
      const bytes = randomBytes(2 ** 20 * (1 + i) - i);
      await writeFile(join(sources, `clip ${i}.mp4`), bytes);
      sourceHashes.push(sha256(bytes));
    }
    const sequence = join(sources, 'sequence');
    mkdirSync(sequence);
    for (let i = 1; i <= 5; i++) await writeFile(join(sequence, `${i}.png`), randomBytes(300_000 + i));
    sourceHashes.push(await hashFile(sequence));
  });

  /** Runs the child until it ends, by itself or, for `time:<ms>`, by a kill that long after it is ready. */
  function runChild(
    mode: string,
    folder: string,
    other: string,
    records: string,
    killAt: string,
  ): Promise<boolean> {
    return new Promise((done, fail) => {
      const started = spawn(process.execPath, [child, mode, folder, other, records, killAt], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      started.stdout.once('data', () => {
        if (killAt.startsWith('time')) setTimeout(() => started.kill('SIGKILL'), Number(killAt.slice(5)));
      });
      started.once('error', fail);
      started.once('exit', (code, signal) => {
        if (code !== null && code !== 0) fail(new Error(`The child ended with ${code}.`));
        else done(signal === 'SIGKILL');
      });
    });
  }

  /** Kill points: at so many pieces of data, around records, and at points in time. */
  function killPoints(seed: number, pieceCount: number, records: number, milliseconds: number): string[] {
    const random = seeded(seed);
    return [
      ...Array.from({ length: 5 }, () => `piece:${1 + random(pieceCount)}`),
      ...['before', 'after'].map((where) => `${where}:${1 + random(records)}`),
      ...Array.from({ length: 5 }, () => `time:${random(milliseconds)}`),
    ];
  }

  it('while importing leaves no record without a file, and after the sweep no file without a record', async () => {
    let kills = 0;
    let unfinished = 0;
    for (const killAt of killPoints(20261, 30, 10, 250)) {
      const folder = fresh();
      const records = `${folder}-records`;
      writeFileSync(records, '');
      kills += (await runChild('import', folder, sources, records, killAt)) ? 1 : 0;
      const known = new Set(
        readFileSync(records, 'utf8')
          .split('\n')
          .filter((line) => line !== ''),
      );
      const store = await openMediaStore(folder);
      const swept = await store.sweep(named([...known]));
      if (killAt.startsWith('piece')) expect(swept.unfinished).toBeGreaterThan(0);
      unfinished += swept.unfinished;
      await expectSound(store, [...known]);
      for (const hash of known) expect(sourceHashes).toContain(hash);
      expect(readdirSync(join(folder, '.pusa-incoming'))).toEqual([]);
      await rm(folder, { recursive: true });
    }
    expect(kills).toBeGreaterThanOrEqual(7);
    expect(unfinished).toBeGreaterThanOrEqual(5);
  });

  it('while moving the store leaves it whole in one place, and the move can be resumed or taken back', async () => {
    const original = await openMediaStore(fresh());
    for (const name of readdirSync(sources)) await original.import(join(sources, name));
    let kills = 0;
    let resumed = 0;
    // The move copies, so one piece of data is a MiB; what is remembered is written once.
    const points = [...killPoints(20262, 24, 1, 250), 'before:1', 'after:1'];
    for (const [index, killAt] of points.entries()) {
      const [from, to] = [fresh('from'), fresh('to')];
      await cp(original.folder, from, { recursive: true });
      const remembered = `${to}-remembered`;
      kills += (await runChild('move', from, to, remembered, killAt)) ? 1 : 0;
      const known = existsSync(remembered) ? readFileSync(remembered, 'utf8') : from;
      const remember = (folder: string): void => writeFileSync(remembered, folder);
      const store = await openMediaStore(known, { id: original.id, remember });
      expect((await store.sweep(named(sourceHashes))).removed).toEqual([]);
      await expectSound(store, sourceHashes);
      if (store.folder === from) {
        resumed += store.interruptedMove === null ? 0 : 1;
        if (index % 2 === 1) {
          await store.abandonMove();
          // At most the new folder itself may be left, empty.
          expect([existsSync(to) ? readdirSync(to) : [], store.interruptedMove]).toEqual([[], null]);
        }
        await store.moveTo(to);
      }
      expect([store.folder, readFileSync(remembered, 'utf8'), existsSync(from)]).toEqual([to, to, false]);
      await expectSound(await openMediaStore(to, { id: original.id }), sourceHashes);
      await rm(to, { recursive: true });
    }
    expect(kills).toBeGreaterThanOrEqual(9);
    expect(resumed).toBeGreaterThanOrEqual(5);
  });
});
