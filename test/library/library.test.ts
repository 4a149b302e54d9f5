import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withMarkers, withTracks } from '../../src-main/core/edit/records.ts';
import type { ProjectRecord, SearchKind, TakeRecord } from '../../src-main/core/contract/records.ts';
import { toPusaError, type ErrorCode } from '../../src-main/core/errors.ts';
import { openDatabase, type LibraryDatabase } from '../../src-main/library/database.ts';
import { Store, type StoreChange } from '../../src-main/library/store.ts';
import { assetRecord, hashOf, jobRecord, projectRecord, takeRecord } from './support.ts';

let folder: string;
let open: LibraryDatabase[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pusa-library-'));
  open = [];
});
afterEach(async () => {
  for (const database of open) await database.close();
  rmSync(folder, { recursive: true, force: true });
});

async function openStore(where = folder): Promise<Store> {
  const database = await openDatabase(where);
  open.push(database);
  return new Store(database);
}

/** The code of the error that an act ends with; its texts must be sentences. */
async function refusal(act: () => unknown): Promise<ErrorCode> {
  const error = await Promise.resolve()
    .then(act)
    .then(() => null, toPusaError);
  if (error === null) throw new Error('It was accepted.');
  expect(error.message).toMatch(/^[A-Z"].*\.$/);
  expect(error.remedy).toMatch(/^[A-Z].*\.$/);
  return error.code;
}

describe('records', () => {
  it('are kept whole across a restart', async () => {
    const records = [
      ['projects', projectRecord('p')],
      ['assets', assetRecord('a')],
      ['takes', takeRecord('t', 'p', { rating: 4, tags: ['best', '好看'] })],
      [
        'jobs',
        jobRecord('j', 'p', {
          state: 'failed',
          error: { code: 'OUT_OF_MEMORY', message: 'Full.', remedy: 'Go.' },
        }),
      ],
    ] as const;
    const store = await openStore();
    const { diffs } = await store.transact(null, 'new', (edit) => {
      for (const [table, record] of records) edit.put(table, record);
    });
    expect(diffs).toEqual(records.map(([table, after]) => ({ table, id: after.id, before: null, after })));
    await store.close();
    const again = await openStore();
    for (const [table, record] of records) expect(again.get(table, record.id)).toEqual(record);
    expect(again.get('projects', 'other')).toBeNull();
    expect(await refusal(() => again.require('takes', 'other'))).toBe('RECORD_NOT_FOUND');
  });

  it('are written whole or not at all, and only when valid', async () => {
    const store = await openStore();
    await store.transact(null, 'new', (edit) => edit.put('projects', projectRecord('p')));
    const changes: StoreChange[] = [];
    store.onChange((change) => changes.push(change));
    const bad: [string, (edit: Parameters<Parameters<Store['transact']>[2]>[0]) => unknown, ErrorCode][] = [
      ['a field', (edit) => edit.put('assets', assetRecord('a', { bytes: 0 })), 'RECORD_INVALID'],
      ['a reference', (edit) => edit.update('projects', 'p', (project) => ({ ...project, assets: [] })), 'RECORD_INVALID'],
      ['tags', (edit) => edit.put('takes', takeRecord('t', 'p', { tags: ['a', 'a'] })), 'RECORD_INVALID'],
      ['a lost project', (edit) => edit.put('takes', takeRecord('t', 'nobody')), 'INTERNAL'],
      ['two assets of one hash', (edit) => ['a', 'b'].forEach((id) => edit.put('assets', assetRecord(id, { hash: hashOf('x') }))), 'INTERNAL'],
      ['a missing record', (edit) => edit.remove('jobs', 'j'), 'RECORD_NOT_FOUND'],
      ['a promise', () => Promise.resolve(), 'INTERNAL'],
    ]; // prettier-ignore
    for (const [name, work, code] of bad) {
      const act = store.transact('p', name, (edit) => {
        edit.update('projects', 'p', (project) => ({ ...project, name }));
        const returned: unknown = work(edit);
        return returned;
      });
      expect(await refusal(() => act), name).toBe(code);
    }
    expect(store.get('projects', 'p')).toEqual(projectRecord('p'));
    expect(store.search({ text: 'reference', limit: 5 })).toEqual([]);
    expect(store.labels('p')).toEqual({ undo: [], redo: [] });
    expect(changes).toEqual([]);
  });

  it('are written one edit after the other, and a closed library refuses', async () => {
    const store = await openStore();
    await store.transact(null, 'new', (edit) => edit.put('projects', projectRecord('p', { name: '0' })));
    const told: string[] = [];
    store.onChange((change) => told.push(change.label));
    const add = (edit: Parameters<Parameters<Store['transact']>[2]>[0]): ProjectRecord =>
      edit.update('projects', 'p', (project) => ({ ...project, name: String(Number(project.name) + 1) }));
    const edits = Array.from({ length: 20 }, (_, i) => store.transact('p', String(i), add));
    const closed = store.close();
    expect(await refusal(() => store.transact('p', 'late', add))).toBe('WRITE_FAILED');
    expect((await Promise.all(edits)).map(({ value }) => value.name)).toEqual(
      edits.map((_, i) => String(i + 1)),
    );
    await closed;
    expect(told).toEqual(edits.map((_, i) => String(i)));
    expect((await openStore()).get('projects', 'p')!.name).toBe('20');
  });

  it('go with their project, and say which media are in use', async () => {
    const store = await openStore();
    const [picture, clip] = projectRecord('p').assets;
    await store.transact(null, 'new', (edit) => {
      edit.put('projects', projectRecord('p'));
      edit.put('assets', assetRecord('used', { hash: clip!.hash }));
      edit.put('assets', assetRecord('unused'));
      edit.put('takes', takeRecord('t', 'p'));
      edit.put('jobs', jobRecord('j', 'p'));
    });
    expect(store.unusedAssetIds()).toEqual(['unused']);
    expect(store.mediaHashes()).toEqual(new Set([clip!.hash, hashOf('unused'), hashOf('t')]));
    await store.transact('p', 'clear', (edit) => {
      edit.update('projects', 'p', (project) => ({
        ...project,
        assets: [picture!],
        clips: [project.clips[0]!],
      }));
      edit.remove('takes', 't');
    });
    // Undoing would bring both back.
    expect(store.unusedAssetIds()).toEqual(['unused']);
    expect(store.mediaHashes().has(hashOf('t'))).toBe(true);
    await store.undo('p');
    const { diffs } = await store.transact(null, 'delete', (edit) => edit.remove('projects', 'p'));
    expect(diffs.map(({ table, after }) => [table, after])).toEqual([
      ['takes', null],
      ['jobs', null],
      ['projects', null],
    ]);
    expect(store.unusedAssetIds()).toEqual(['unused', 'used']);
    expect(store.mediaHashes()).toEqual(new Set([clip!.hash, hashOf('unused')]));
    expect(store.search({ text: 'boats', limit: 5 })).toEqual([]);
  });
});

describe('lists', () => {
  it('go through everything in order, page by page, while records come and go', async () => {
    const store = await openStore();
    const day = (n: number): string => `2026-03-${String(n).padStart(2, '0')}T00:00:00.000Z`;
    await store.transact(null, 'new', (edit) => {
      for (let i = 1; i <= 9; i++) {
        // Two of each day, so that the id decides.
        const at = day((i + 1) >> 1);
        edit.put('projects', projectRecord(`p${i}`, { name: `${i % 2 ? 'b' : 'B'}${i}`, modifiedAt: at, trashedAt: i === 9 ? at : null }));
        edit.put('assets', assetRecord(`a${i}`, { name: `n${10 - i}`, importedAt: at, kind: i < 4 ? 'video' : 'image', state: i === 2 ? 'missing' : 'present' }));
        edit.put('takes', takeRecord(`t${i}`, i < 6 ? 'p1' : 'p2', { createdAt: at, rating: i % 6, tags: i % 2 ? ['odd'] : [] }));
        edit.put('jobs', jobRecord(`j${i}`, 'p1', { position: -i, state: i === 1 ? 'done' : 'waiting' }));
      }
    }); // prettier-ignore
    const ids = (items: readonly { id: string }[]): string => items.map(({ id }) => id).join(' ');
    const first = store.lists.projects({ limit: 3 });
    expect(ids(first.items)).toBe('p8 p7 p6');
    expect(first.total).toBe(8);
    expect(first.items[0]).toMatchObject({ name: 'B8', clips: 2, ranges: 1, width: 832, trashedAt: null });
    await store.transact(null, 'late', (edit) => {
      edit.put('projects', projectRecord('p0', { modifiedAt: day(20) }));
      edit.update('projects', 'p7', (project) => ({ ...project, trashedAt: day(20) }));
    });
    const second = store.lists.projects({ limit: 3, after: first.next });
    expect(ids(second.items)).toBe('p5 p4 p3');
    const third = store.lists.projects({ limit: 3, after: second.next });
    expect(ids(third.items)).toBe('p2 p1');
    expect(third.next).toBeNull();
    expect(ids(store.lists.projects({ limit: 9, trashed: true }).items)).toBe('p9 p7');
    const named = store.lists.projects({ limit: 3, order: 'name' });
    expect(ids(named.items)).toBe('p1 p2 p3');
    expect(ids(store.lists.projects({ limit: 9, order: 'name', after: named.next }).items)).toBe(
      'p4 p5 p6 p8 p0',
    );
    expect(ids(store.lists.assets({ limit: 9, order: 'name', kind: 'video' }).items)).toBe('a3 a2 a1');
    expect(ids(store.lists.assets({ limit: 9, state: 'missing' }).items)).toBe('a2');
    expect(ids(store.lists.takes({ limit: 2, projectId: 'p1', rangeId: 'range-1' }).items)).toBe('t5 t4');
    expect(store.lists.takes({ limit: 2, minRating: 3, tag: 'odd' })).toMatchObject({ total: 3 });
    const { id, rating, tags, prompt, partial } = store.lists.takes({ limit: 1, projectId: 'p2' }).items[0]!;
    expect([id, rating, tags, prompt, partial]).toEqual(['t9', 3, ['odd'], 'Boats come home.', false]);
    expect(ids(store.lists.jobs(['waiting', 'running']))).toBe('j9 j8 j7 j6 j5 j4 j3 j2');
    for (const after of ['', '[]', '["a"]', '[1,2]', 'x'.repeat(5000)]) {
      expect(await refusal(() => store.lists.takes({ limit: 1, after }))).toBe('RECORD_INVALID');
    }
    for (const limit of [0, 501, 1.5]) {
      expect(await refusal(() => store.lists.takes({ limit }))).toBe('RECORD_INVALID');
    }
  });
});

describe('search', () => {
  async function filled(): Promise<Store> {
    const store = await openStore();
    const range = projectRecord('x').ranges[0]!;
    await store.transact(null, 'new', (edit) => {
      edit.put('projects', projectRecord('dusk', { name: 'Harbour at dusk', ranges: [{ ...range, prompt: '日落时分的港口，boats come home' }] }));
      edit.put('projects', projectRecord('café', { id: 'cafe', name: 'Café ＡＢＣ 雪山湖泊2024', ranges: [{ ...range, prompt: 'A harbour far away, seen from a train' }] }));
      edit.put('assets', assetRecord('clip', { name: 'fox_日落2.mov' }));
      edit.put('takes', takeRecord('t', 'dusk', { prompt: '一只狐狸跑过草地 in the harbour', tags: ['最爱'] }));
    }); // prettier-ignore
    return store;
  }

  it('finds words by their beginnings and Chinese by any stretch, names before prompts', async () => {
    const store = await filled();
    const find = (text: string, more: { kinds?: SearchKind[]; projectId?: string } = {}): string =>
      store
        .search({ text, limit: 20, ...more })
        .map(({ kind, id }) => `${kind}:${id}`)
        .join(' ');
    expect(find('日落').split(' ').sort()).toEqual(['asset:clip', 'prompt:range-1']);
    expect(find('落时分')).toBe('prompt:range-1');
    expect(find('港')).toBe('prompt:range-1');
    expect(find('口')).toBe('prompt:range-1');
    expect(find('落港')).toBe('');
    expect(find('狐狸')).toBe('take:t');
    expect(find('最爱 狐狸')).toBe('take:t');
    expect(find('山湖')).toBe('project:cafe');
    expect(find('2024')).toBe('project:cafe');
    expect(find('CAFE abc')).toBe('project:cafe');
    expect(find('fox')).toBe('asset:clip');
    expect(find('日落boats')).toBe('prompt:range-1');
    expect(find('harb')).toMatch(/^project:dusk /);
    expect(find('harb').split(' ')).toHaveLength(3);
    expect(find('harbour', { kinds: ['take', 'project'] })).toBe('project:dusk take:t');
    expect(find('harbour', { projectId: 'cafe' })).toBe('prompt:range-1');
    expect(store.search({ text: 'train', limit: 1 })).toEqual([
      { kind: 'prompt', id: 'range-1', projectId: 'cafe', title: 'A harbour far away, seen from a train' },
    ]);
    for (const text of ['', ' ', '"', '" OR *', '*', 'NEAR(', '：，', 'title:', '\u0000', '{a b}', '^-'])
      find(text);
    expect(find('harbour OR')).toBe('');
    expect(await refusal(() => store.search({ text: 'x'.repeat(201), limit: 1 }))).toBe('RECORD_INVALID');
    expect(await refusal(() => store.search({ text: 'x', limit: 0 }))).toBe('RECORD_INVALID');
  });

  it('follows edits, undoing, the trash and removal', async () => {
    const store = await filled();
    const count = (text: string): number => store.search({ text, limit: 20 }).length;
    const setPrompt = (prompt: string): Promise<unknown> =>
      store.transact('dusk', 'prompt', (edit) =>
        edit.update('projects', 'dusk', (project) => ({
          ...project,
          ranges: project.ranges.map((one) => ({ ...one, prompt })),
        })),
      );
    await setPrompt('夜景霓虹');
    expect([count('日落时'), count('霓虹')]).toEqual([0, 1]);
    await setPrompt('');
    expect(count('霓虹')).toBe(0);
    await store.undo('dusk');
    await store.undo('dusk');
    expect([count('日落时'), count('霓虹')]).toEqual([1, 0]);
    const trash = (trashedAt: string | null): Promise<unknown> =>
      store.transact(null, 'trash', (edit) =>
        edit.update('projects', 'dusk', (project) => ({ ...project, trashedAt })),
      );
    await trash('2026-03-01T00:00:00.000Z');
    expect([count('日落时'), count('狐狸'), count('harbour')]).toEqual([0, 0, 1]);
    await trash(null);
    expect(count('harbour')).toBe(3);
    await store.transact(null, 'remove', (edit) => edit.remove('takes', 't'));
    expect(count('狐狸')).toBe(0);
  });
});

describe('undo and redo', () => {
  /** One change of a project or of its takes, by numbers. */
  type Act = readonly [number, number, number];

  function perform(store: Store, [what, a, b]: Act): Promise<unknown> {
    return store.transact('p', `${what}`, (edit) => {
      const project = edit.require('projects', 'p');
      const clips = [...project.clips];
      const at = a % (clips.length + 1);
      const clip = { ...projectRecord('p').clips[0]!, id: `c${b}`, start: a };
      const takeId = `t${a % 3}`;
      const take: TakeRecord | null = edit.get('takes', takeId);
      const fresh = clips.every((one) => one.id !== clip.id);
      if (what === 0) edit.put('projects', { ...project, name: `n${b}`, fps: 1 + (a % 5) });
      else if (what === 1 && fresh) edit.put('projects', { ...project, clips: clips.toSpliced(at, 0, clip) });
      else if (what === 2) edit.put('projects', { ...project, clips: clips.toSpliced(at, 1) });
      else if (what === 3) edit.put('projects', { ...project, clips: clips.toReversed() });
      else if (what === 4) {
        const ranges = project.ranges.map((range) => ({
          ...range,
          marks: range.marks.slice(b % 4),
          prompt: `${a}`,
        }));
        edit.put('projects', { ...project, ranges });
      } else if (what === 5 && take) edit.remove('takes', takeId);
      else if (what === 6 && take) edit.put('takes', { ...take, rating: b % 6, tags: [`${a}`] });
      else if (what === 7) {
        const marker = { id: `m${b}`, frame: a, colour: 0 };
        edit.put('projects', withMarkers(project, a % 2 === 0 ? [marker] : []));
      } else if (what === 8) {
        edit.put(
          'projects',
          withTracks(project, a % 2 === 0 ? [{ track: b, locked: true, hidden: false }] : []),
        );
      } else edit.put('takes', takeRecord(takeId, 'p', { prompt: `${b}` }));
    });
  }

  const state = (store: Store): unknown => [
    store.get('projects', 'p'),
    ['t0', 't1', 't2'].map((id) => store.get('takes', id)),
    ['n', '1', '2', 'boats'].map((text) =>
      store
        .search({ text, limit: 50 })
        .map(({ kind, id }) => kind + id)
        .sort(),
    ),
  ];

  it('take any sequence of edits back to its start and forth to its end, across restarts', async () => {
    const act = fc.tuple(fc.nat({ max: 8 }), fc.nat({ max: 9 }), fc.nat({ max: 9 }));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 12 }), async (acts) => {
        const where = join(folder, String(run++));
        let store = await openStore(where);
        await store.transact(null, 'new', (edit) => edit.put('projects', projectRecord('p')));
        const states = [state(store)];
        for (const one of acts) {
          const steps = store.labels('p').undo.length;
          await perform(store, one);
          if (store.labels('p').undo.length > steps) states.push(state(store));
          else expect(state(store)).toEqual(states.at(-1));
        }
        const restart = async (): Promise<void> => {
          await store.close();
          store = await openStore(where);
        };
        await restart();
        for (const before of states.slice(0, -1).toReversed()) {
          expect((await store.undo('p'))?.kind).toBe('undo');
          expect(state(store)).toEqual(before);
        }
        expect(await store.undo('p')).toBeNull();
        await restart();
        for (const after of states.slice(1)) {
          expect((await store.redo('p'))?.kind).toBe('redo');
          expect(state(store)).toEqual(after);
        }
        expect(await store.redo('p')).toBeNull();
        for (let i = 1; i < states.length; i++) await store.undo('p');
        expect(state(store)).toEqual(states[0]);
        await store.close();
      }),
      { numRuns: 16, seed: 4 },
    );
  });

  it('belong to each project, forget redo on a new edit, and leave assets, jobs and other edits alone', async () => {
    const store = await openStore();
    const name = (id: string, to: string): Promise<unknown> =>
      store.transact(id, `name ${to}`, (edit) =>
        edit.update('projects', id, (project) => ({ ...project, name: to })),
      );
    await store.transact(null, 'new', (edit) => {
      edit.put('projects', projectRecord('p', { name: 'p0' }));
      edit.put('projects', projectRecord('q', { name: 'q0' }));
    });
    await name('p', 'p1');
    await name('q', 'q1');
    await store.transact('p', 'import', (edit) => {
      edit.put('assets', assetRecord('a'));
      edit.put('jobs', jobRecord('j', 'p'));
      edit.update('projects', 'p', (project) => ({ ...project, name: 'p2' }));
    });
    await store.transact('p', 'queue', (edit) => edit.put('jobs', jobRecord('k', 'p')));
    await store.transact(null, 'save as', (edit) =>
      edit.update('projects', 'p', (project) => ({ ...project, pusaPath: '/films/p.pusa' })),
    );
    expect(store.labels('p')).toEqual({ undo: ['import', 'name p1'], redo: [] });
    expect((await store.undo('p'))?.label).toBe('import');
    expect(store.get('projects', 'p')).toMatchObject({ name: 'p1', pusaPath: '/films/p.pusa' });
    expect(store.get('projects', 'q')!.name).toBe('q1');
    expect([store.get('assets', 'a')?.id, store.get('jobs', 'j')?.id]).toEqual(['a', 'j']);
    await name('p', 'p3');
    expect(store.labels('p')).toEqual({ undo: ['name p3', 'name p1'], redo: [] });
    expect(await store.redo('p')).toBeNull();
    expect(await refusal(() => store.transact('p', 'born', (edit) => edit.remove('projects', 'p')))).toBe(
      'INTERNAL',
    );
  });

  it('refuse to take back what was changed in another way since', async () => {
    const store = await openStore();
    await store.transact(null, 'new', (edit) => edit.put('projects', projectRecord('p')));
    const rename = (projectId: string | null, name: string): Promise<unknown> =>
      store.transact(projectId, 'rename', (edit) =>
        edit.update('projects', 'p', (project) => ({ ...project, name })),
      );
    await rename('p', 'one');
    await rename('p', 'two');
    await rename(null, 'three');
    expect(await refusal(() => store.undo('p'))).toBe('UNDO_IMPOSSIBLE');
    expect(store.get('projects', 'p')!.name).toBe('three');
    expect(store.labels('p').undo).toEqual([]);
    await rename('p', 'four');
    await store.undo('p');
    expect(store.get('projects', 'p')!.name).toBe('three');
  });

  it('keep the newest thousand steps, each only as large as what it changed', async () => {
    const store = await openStore();
    const clip = projectRecord('p').clips[0]!;
    const clips = Array.from({ length: 500 }, (_, i) => ({ ...clip, id: `c${i}`, start: i }));
    await store.transact(null, 'new', (edit) => edit.put('projects', projectRecord('p', { clips })));
    await store.transact('p', 'move', (edit) =>
      edit.update('projects', 'p', (project) => ({
        ...project,
        clips: project.clips.with(250, { ...project.clips[250]!, start: 9000 }),
      })),
    );
    const bytes = open[0]!.sqlite.prepare('SELECT sum(bytes) FROM history').pluck().get();
    expect(bytes).toBeLessThan(600);
    const small = projectRecord('small');
    await store.transact(null, 'new', (edit) => edit.put('projects', small));
    open[0]!.sqlite.pragma('synchronous = OFF');
    await Promise.all(
      Array.from({ length: 1005 }, (_, i) =>
        store.transact('small', `${i}`, (edit) => edit.put('projects', { ...small, name: `n${i}` })),
      ),
    );
    const { undo } = store.labels('small');
    expect([undo.length, undo[0], undo.at(-1)]).toEqual([1000, '1004', '5']);
  });
});
