import { formatBytes } from '../../../src-main/core/units.ts';
import { timelineEnd } from '../../../src-main/core/timeline/tracks.ts';
import { describe, expect, it } from 'vitest';
import { exportOf, stretchOf, type ExportForm } from '../../../src-renderer/src/export/export.ts';
import { formatDuration, formatFps, parseTags } from '../../../src-renderer/src/library/format.ts';
import { Paged, type PageOf } from '../../../src-renderer/src/library/paged.svelte.ts';
import { bytesOf, collect, fileName } from '../../../src-renderer/src/state/bytes.ts';
import { until } from '../../core/small-studio.ts';
import { sampleBytes, sampleProject } from '../../support/project.ts';
import { TestStudio } from '../state/studio.ts';

interface Row {
  readonly id: string;
}

/** Ten thousand rows in pages; answers when it is told to. */
class Rows {
  readonly asked: [cursor: string | null, limit: number][] = [];
  readonly #waiting: (() => void)[] = [];
  first = 0;

  readonly read = (cursor: string | null, limit: number): Promise<PageOf<Row>> => {
    this.asked.push([cursor, limit]);
    const from = cursor === null ? this.first : Number(cursor);
    const items = Array.from({ length: limit }, (_, index) => ({ id: `row-${from + index}` }));
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve({ items, next: String(from + limit), total: 10_000 }));
    });
  };

  async answer(which = 0): Promise<void> {
    this.#waiting.splice(which, 1)[0]?.();
    await Promise.resolve();
    await Promise.resolve();
  }
}

const noFailure = (thrown: unknown): never => {
  throw thrown;
};

describe('a paged list', () => {
  it('reads a page at a time, and again as many as are shown', async () => {
    const rows = new Rows();
    const list = new Paged<Row>(rows.read, noFailure);
    void list.restart(true);
    expect(list.loading).toBe(true);
    await rows.answer();
    expect([list.items.length, list.total, list.ready, list.hasMore]).toEqual([60, 10_000, true, true]);

    void list.more();
    void list.more();
    expect(rows.asked).toHaveLength(2);
    await rows.answer();
    expect(list.items).toHaveLength(120);

    // A new row in front: read again, nothing is shown twice.
    rows.first = -1;
    void list.restart(false);
    await rows.answer();
    expect(rows.asked.at(-1)).toEqual([null, 120]);
    expect(list.items[0]?.id).toBe('row--1');
    expect(new Set(list.items.map(({ id }) => id)).size).toBe(120);
  });

  it('leaves out the answer to a question that is no longer asked', async () => {
    const rows = new Rows();
    const list = new Paged<Row>(rows.read, noFailure);
    void list.restart(true);
    rows.first = 500;
    void list.restart(true);
    await rows.answer(1);
    await rows.answer(0);
    expect(list.items[0]?.id).toBe('row-500');
    expect(list.loading).toBe(false);
  });

  it('tells a failure, and goes on', async () => {
    const told: unknown[] = [];
    let fails = true;
    const list = new Paged<Row>(
      () =>
        fails ? Promise.reject(new Error('gone')) : Promise.resolve({ items: [], next: null, total: 0 }),
      (thrown) => told.push(thrown),
    );
    await list.restart(true);
    expect([told.length, list.loading, list.ready]).toEqual([1, false, false]);
    fails = false;
    await list.restart(true);
    expect([told.length, list.ready, list.hasMore]).toEqual([1, true, false]);
  });
});

describe('what the library says', () => {
  it('is short', () => {
    expect([0, 999, 1000, 15_900_000, 999_600_000, 14.2e9].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '15.9 MB',
      '1.00 GB',
      '14.2 GB',
    ]);
    expect([0, 4.4, 65, 3723].map(formatDuration)).toEqual(['0:00', '0:04', '1:05', '1:02:03']);
    expect(formatFps(29.97)).toBe('29.97');
    expect(parseTags(' sea, sea，boats、 , 港口')).toEqual(['sea', 'boats', '港口']);
    expect(parseTags(Array.from({ length: 80 }, (_, i) => `t${i}`).join(','))).toHaveLength(50);
    expect(fileName('a/b:c*?.')).toBe('a-b-c-');
    expect(fileName('///')).toBe('-');
    expect(fileName('  ')).toBe('Pusa');
  });
});

describe('an export', () => {
  const project = sampleProject();
  const form: ExportForm = { what: 'timeline', from: 0, to: 10, format: 'mp4', audio: true };

  it('asks for what the form says, and for nothing that is not there', () => {
    expect(timelineEnd(project)).toBe(21);
    const nothing = { ...project, tracks: [0, 1].map((track) => ({ track, locked: false, hidden: true })) };
    expect(exportOf(form, nothing, null)).toBeNull();
    expect(exportOf(form, project, null)).toEqual({ what: 'timeline', projectId: 'sample', audio: true });
    expect(exportOf({ ...form, format: 'gif' }, project, null)).toMatchObject({ audio: false });
    expect(exportOf({ ...form, what: 'range' }, project, null)).toMatchObject({ from: 0, to: 10 });
    expect(exportOf({ ...form, what: 'range', from: 10 }, project, null)).toBeNull();
    expect(exportOf({ ...form, what: 'take' }, project, null)).toBeNull();
    expect(exportOf({ ...form, what: 'take' }, null, 'take-1')).toEqual({ what: 'take', takeId: 'take-1' });
    expect(exportOf(form, { ...project, clips: [] }, null)).toBeNull();
    expect(exportOf(form, null, null)).toBeNull();
  });

  it('begins with in and out, else with the range', () => {
    const range = { start: 4, frames: 9 };
    expect(stretchOf({ in: null, out: null }, range, 21)).toEqual({ from: 4, to: 13, isChosen: false });
    expect(stretchOf({ in: null, out: null }, null, 21)).toEqual({ from: 0, to: 21, isChosen: false });
    expect(stretchOf({ in: 3, out: 7 }, range, 21)).toEqual({ from: 3, to: 8, isChosen: true });
    expect(stretchOf({ in: 3, out: null }, range, 21)).toEqual({ from: 3, to: 21, isChosen: true });
    expect(stretchOf({ in: null, out: 90 }, range, 21)).toEqual({ from: 0, to: 21, isChosen: true });
    expect(stretchOf({ in: 50, out: 60 }, null, 21)).toMatchObject({ from: 20, to: 21 });
    expect(stretchOf({ in: null, out: null }, null, 0)).toMatchObject({ from: 0, to: 1 });
  });

  it('reads and collects bytes as they come', async () => {
    const bytes = sampleBytes(300_000, 7);
    const counts: number[] = [];
    const blob = await collect(bytesOf(new Blob([bytes as Uint8Array<ArrayBuffer>])), 'video/mp4', (count) =>
      counts.push(count),
    );
    expect(new Uint8Array(await blob.arrayBuffer())).toEqual(bytes);
    expect(blob.type).toBe('video/mp4');
    expect(counts.at(-1)).toBe(300_000);
  });
});

describe('the library of a studio', () => {
  it('lists what was made, page by page', async () => {
    const studio = await TestStudio.open();
    try {
      const { api } = studio.connection();
      for (let i = 0; i < 65; i++)
        await api.projects.create({ name: `Project ${i}`, width: 64, height: 48, fps: 8 });
      const list = new Paged(
        (cursor, limit) => api.projects.list({ cursor, limit, trashed: false, sort: 'created' }),
        noFailure,
      );
      await list.restart(true);
      expect([list.items.length, list.total]).toEqual([60, 65]);
      expect(list.items[0]?.name).toBe('Project 64');
      await list.more();
      await until(() => !list.hasMore);
      expect(list.items.at(-1)?.name).toBe('Project 0');
    } finally {
      await studio.close();
    }
  });
});
