import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AssetRecord, ProjectRecord, TakeRecord } from '../../src-main/core/contract/records.ts';
import { toPusaError, type ErrorCode } from '../../src-main/core/errors.ts';
import { listBackups, restoreBackup } from '../../src-main/library/backups.ts';
import { openDatabase, type LibraryDatabase } from '../../src-main/library/database.ts';
import type { HistoryLabels } from '../../src-main/library/history.ts';
import { checkIntegrity } from '../../src-main/library/integrity.ts';
import { migrations, type Migration } from '../../src-main/library/migrations/index.ts';
import { repairLibrary } from '../../src-main/library/repair.ts';
import { Store } from '../../src-main/library/store.ts';
import { seeded } from '../engine/kill.ts';
import { assetRecord, projectRecord, takeRecord } from './support.ts';

let folder: string;
let open: LibraryDatabase[];
let children: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pusa-database-'));
  open = [];
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const database of open) await database.close();
  rmSync(folder, { recursive: true, force: true });
});

async function openIn(where: string, list: readonly Migration[] = migrations): Promise<LibraryDatabase> {
  const database = await openDatabase(where, list);
  open.push(database);
  return database;
}

async function openStore(where = folder): Promise<Store> {
  return new Store(await openIn(where));
}

async function refusal(act: () => unknown): Promise<ErrorCode> {
  const error = await Promise.resolve()
    .then(act)
    .then(() => null, toPusaError);
  if (error === null) throw new Error('It was accepted.');
  expect(error.message).toMatch(/^[A-Z"].*\.$/);
  expect(error.remedy).toMatch(/^[A-Z].*\.$/);
  return error.code;
}

const path = (name = 'library.sqlite'): string => join(folder, name);

/** Starts a process that edits project `p` of the library without end; `numbers` are its acknowledged edits. */
function startEditing(first: number): { child: ChildProcess; numbers: AsyncIterator<string> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'editing.ts'), folder, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return { child, numbers: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

/** Makes a library of a project and so many takes, closed. */
async function makeLibrary(takes: number): Promise<void> {
  const store = await openStore();
  await store.transact(null, 'new', (edit) => {
    edit.put('projects', projectRecord('p'));
    edit.put('assets', assetRecord('a'));
    for (let i = 0; i < takes; i++) edit.put('takes', takeRecord(`take-${i}`, 'p', { prompt: `number${i}` }));
  });
  await store.close();
}

/** Overwrites pages of the closed database, counted from 0, with noise. */
function damage(...pages: number[]): void {
  const file = openSync(path(), 'r+');
  for (const page of pages) writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
  closeSync(file);
}

describe('instances', () => {
  it('are kept apart by a lock that ends with its process', async () => {
    const store = await openStore();
    await store.transact(null, 'new', (edit) => edit.put('projects', projectRecord('p')));
    expect(await refusal(() => openDatabase(folder))).toBe('LIBRARY_BUSY');
    expect(await refusal(() => restoreBackup(folder, 'x'))).toBe('LIBRARY_BUSY');
    expect(await refusal(() => repairLibrary(folder))).toBe('LIBRARY_BUSY');
    await store.close();

    const { child, numbers } = startEditing(0);
    await numbers.next();
    expect(await refusal(() => openDatabase(folder))).toBe('LIBRARY_BUSY');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const after = await openIn(folder);
    expect(after.stoppedUncleanly).toBe(true);
    await after.close();
    expect((await openIn(folder)).stoppedUncleanly).toBe(false);
  });
});

describe('a killed process', () => {
  it('loses no edit that it acknowledged, five times at random points', async () => {
    const random = seeded(11);
    await makeLibrary(0);
    let acknowledged = -1;
    for (let round = 0; round < 5; round++) {
      const { child, numbers } = startEditing(acknowledged + 1);
      const last = acknowledged + 1 + random(12);
      for (;;) {
        const next = await numbers.next();
        if (next.done === true) throw new Error('The process ended by itself.');
        acknowledged = Number(next.value);
        if (acknowledged >= last) break;
      }
      setTimeout(() => child.kill('SIGKILL'), random(15));
      // What it still says before it dies counts as well.
      for (let next = await numbers.next(); next.done !== true; next = await numbers.next()) {
        acknowledged = Number(next.value);
      }
      const database = await openIn(folder);
      expect(database.stoppedUncleanly).toBe(true);
      expect(await database.integrity).toEqual([]);
      const store = new Store(database);
      const name = store.require('projects', 'p').name;
      // The one edit after the last acknowledged may have reached the disk, and then it is there whole.
      expect([`edit ${acknowledged}`, `edit ${acknowledged + 1}`]).toContain(name);
      const count = Number(name.slice('edit '.length)) + 1;
      expect(store.lists.takes({ limit: 1 }).total).toBe(count);
      expect(store.labels('p').undo).toHaveLength(count);
      for (let i = 0; i < count; i++) {
        expect(store.search({ text: `number${i}`, limit: 50 }).map(({ id }) => id)).toContain(`take-${i}`);
      }
      acknowledged = count - 1;
      await store.close();
    }
  });
});

describe('migrations', () => {
  const colour: Migration = {
    version: migrations.length + 1,
    name: 'colour',
    up: (sqlite) => sqlite.exec(`ALTER TABLE projects ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'`),
  };
  const version = (name = 'library.sqlite'): unknown => {
    const database = new Database(path(name), { readonly: true });
    const found = database.pragma('user_version', { simple: true });
    database.close();
    return found;
  };

  it('count from 1 without gaps', () => {
    expect(migrations.map((one) => one.version)).toEqual(migrations.map((_, i) => i + 1));
  });

  it('keep the records of an older library, and a backup of it', async () => {
    await makeLibrary(3);
    const database = await openIn(folder, [...migrations, colour]);
    expect(database.sqlite.prepare('SELECT id, colour FROM projects').all()).toEqual([
      { id: 'p', colour: 'grey' },
    ]);
    expect(new Store(database).get('takes', 'take-2')).toEqual(
      takeRecord('take-2', 'p', { prompt: 'number2' }),
    );
    const [backup, ...others] = listBackups(folder);
    expect([backup?.version, others]).toEqual([migrations.length, []]);
    await database.close();
    expect(version()).toBe(migrations.length + 1);
    expect(version(join('backups', backup!.name))).toBe(migrations.length);
    // For this version it is too new now; nothing in it is touched.
    const before = readFileSync(path());
    expect(await refusal(() => openDatabase(folder))).toBe('LIBRARY_TOO_NEW');
    expect(readFileSync(path()).equals(before)).toBe(true);
    restoreBackup(folder, backup!.name);
    expect((await openStore()).lists.takes({ limit: 5 }).total).toBe(3);
  });

  it('bring a library that an earlier version wrote to this one and the next, and keep it as it was', async () => {
    // One folder for each earlier version; see `test/studio/upgrade.test.ts`.
    for (const { version: from } of migrations.slice(0, -1)) {
      const fixture = join(import.meta.dirname, `../fixtures/library-v${from}`);
      const { record, asset, take, labels, jobs } = JSON.parse(
        readFileSync(join(fixture, 'expected.json'), 'utf8'),
      ) as {
        record: ProjectRecord;
        asset: AssetRecord;
        take: TakeRecord;
        labels: HistoryLabels;
        jobs: Record<string, string>;
      };
      const where = join(folder, `v${from}`);
      mkdirSync(where);
      copyFileSync(join(fixture, 'data/library.sqlite'), join(where, 'library.sqlite'));
      const database = await openIn(where, [...migrations, colour]);
      const store = new Store(database);
      expect(store.get('projects', record.id)).toEqual(record);
      expect(store.get('assets', asset.id)).toEqual(asset);
      expect(store.get('takes', take.id)).toEqual(take);
      expect(store.labels(record.id)).toEqual(labels);
      for (const id of Object.values(jobs)) expect(store.get('jobs', id)).not.toBeNull();
      expect(store.search({ text: '港口', limit: 9 }).map(({ kind }) => kind)).toContain('project');
      expect(await database.integrity).toEqual([]);
      const [backup] = listBackups(where);
      expect(backup?.version).toBe(from);
      await store.close();
      // The backup is the library as the earlier version wrote it.
      restoreBackup(where, backup!.name);
      const before = await openStore(where);
      expect(before.get('takes', take.id)).toEqual(take);
      expect(before.labels(record.id)).toEqual(labels);
      await before.close();
    }
  });

  it('leave the library as it was when one fails', async () => {
    await makeLibrary(1);
    const failing = [
      (sqlite: Database.Database): void => void sqlite.exec('DROP TABLE takes; CREATE TABLE takes (broken'),
      (sqlite: Database.Database): void => void sqlite.exec('DELETE FROM projects'),
    ];
    for (const up of failing) {
      const list = [...migrations, colour, { version: migrations.length + 2, name: 'failing', up }];
      await refusal(() => openDatabase(folder, list));
      expect(version()).toBe(migrations.length + 1);
      restoreBackup(folder, listBackups(folder)[0]!.name);
    }
    expect((await openStore()).get('takes', 'take-0')).not.toBeNull();
  });

  it('keep no more than five backups, and no leftovers', async () => {
    const store = await openStore();
    const names: string[] = [];
    for (let i = 0; i < 7; i++) names.push(await store.backup());
    expect(listBackups(folder).map(({ name }) => name)).toEqual([...new Set(names)].toReversed().slice(0, 5));
    expect(readdirSync(path('backups'))).toHaveLength(Math.min(5, new Set(names).size));
  });
});

describe('damage', () => {
  it('is found before a library is opened after an unclean stop, else in the background', async () => {
    await makeLibrary(400);
    const pages = statSync(path()).size / 4096;
    damage(pages >> 1, (pages >> 1) + 1, (pages >> 1) + 2);
    const database = await openIn(folder);
    expect(database.stoppedUncleanly).toBe(false);
    expect((await database.integrity)?.length).toBeGreaterThan(0);
    await database.close();
    writeFileSync(path('library.open'), '');
    expect(await refusal(() => openDatabase(folder))).toBe('LIBRARY_DAMAGED');
  });

  it('is mended by a backup, and the damaged files are kept', async () => {
    await makeLibrary(5);
    const store = await openStore();
    const name = await store.backup();
    await store.close();
    damage(0);
    const broken = readFileSync(path());
    expect(await refusal(() => openDatabase(folder))).toBe('LIBRARY_DAMAGED');
    expect(await refusal(() => restoreBackup(folder, '../library.sqlite'))).toBe('FILE_NOT_FOUND');
    const aside = restoreBackup(folder, name);
    expect(readFileSync(join(aside, 'library.sqlite')).equals(broken)).toBe(true);
    const again = await openStore();
    expect(again.lists.takes({ limit: 9 }).total).toBe(5);
    await again.close();
    rmSync(path());
    expect(await refusal(() => openDatabase(folder))).toBe('LIBRARY_DAMAGED');
  });

  it('is mended without a backup as far as records can be read', async () => {
    await makeLibrary(400);
    const rows = new Database(path(), { readonly: true });
    const page = rows
      .prepare(
        `SELECT pageno FROM dbstat WHERE name = 'takes' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 9`,
      )
      .pluck()
      .get() as number;
    rows.close();
    damage(page - 1);
    const repair = repairLibrary(folder);
    expect(repair).toMatchObject({ saved: { projects: 1, assets: 1 }, incomplete: true });
    // One page of a few takes is lost.
    expect(repair.saved.takes).toBeGreaterThan(380);
    expect(repair.saved.takes).toBeLessThan(400);
    expect(existsSync(join(repair.aside, 'library.sqlite'))).toBe(true);
    expect(await checkIntegrity(path()).report).toEqual([]);
    const store = await openStore();
    expect(store.lists.takes({ limit: 1 }).total).toBe(repair.saved.takes);
    expect(store.search({ text: 'number399', limit: 1 })).toHaveLength(1);
    expect(store.get('projects', 'p')).toEqual(projectRecord('p'));
  });

  it('that leaves nothing, and files that are no library, are refused and left alone', async () => {
    const foreign = new Database(path());
    foreign.exec('CREATE TABLE notes (text)');
    foreign.close();
    for (const bytes of [
      readFileSync(path()),
      Buffer.from('This is a text, and no database at all. '.repeat(200)),
    ]) {
      writeFileSync(path(), bytes);
      expect(await refusal(() => openDatabase(folder))).toBe('LIBRARY_DAMAGED');
      expect(await refusal(() => repairLibrary(folder))).toBe('LIBRARY_DAMAGED');
      expect(readFileSync(path()).equals(bytes)).toBe(true);
    }
    expect(readdirSync(folder).sort()).toEqual(['library.lock', 'library.sqlite']);
  });
});

describe('a full disk', () => {
  const disk = mkdtempSync(join(tmpdir(), 'pusa-small-disk-'));
  const mounted =
    process.platform === 'linux' &&
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status === 0;
  if (!mounted) {
    rmSync(disk, { recursive: true });
    process.stderr.write(
      'SKIPPED: a small disk can be made by root on Linux only; the full disk is not tested.\n',
    );
  }

  it.skipIf(!mounted)(
    'is told clearly, costs nothing saved, and work goes on once there is room',
    async () => {
      try {
        const where = join(disk, 'library');
        mkdirSync(where);
        const store = await openStore(where);
        await store.transact(null, 'new', (edit) => edit.put('projects', projectRecord('p')));
        writeFileSync(join(disk, 'other'), Buffer.alloc(150 * 1024));
        let saved = 0;
        const save = (): Promise<unknown> =>
          store.transact('p', `${saved}`, (edit) => edit.put('takes', takeRecord(`t${saved}`, 'p')));
        const code = await refusal(async () => {
          for (; saved < 1000; saved++) await save();
        });
        expect(code).toBe('DISK_FULL');
        expect(saved).toBeGreaterThan(0);
        expect(store.lists.takes({ limit: 1 }).total).toBe(saved);
        expect(store.labels('p').undo).toHaveLength(saved);
        expect(await refusal(() => store.backup())).toBe('DISK_FULL');
        expect(listBackups(where)).toEqual([]);
        rmSync(join(disk, 'other'));
        await save();
        await store.close();
        const again = await openIn(where);
        expect(await again.integrity).toEqual([]);
        expect(new Store(again).lists.takes({ limit: 1 }).total).toBe(saved + 1);
        await again.close();
      } finally {
        spawnSync('umount', ['-l', disk]);
        rmSync(disk, { recursive: true });
      }
    },
  );
});
