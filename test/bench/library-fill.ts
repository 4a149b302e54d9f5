// The library that `library.bench.ts` measures: as large as a person's ever gets.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openMediaStore } from '../../src-main/library/media-store.ts';
import type { Store } from '../../src-main/library/store.ts';
import { assetRecord, hashOf, projectRecord, takeRecord } from '../library/support.ts';
import { sampleProject } from '../support/project.ts';

export const counts = { projects: 10_000, assets: 100_000, takes: 100_000 };
const perEdit = 1000;

export const english = [
  'harbour', 'sunset', 'boats', 'lantern', 'mountain', 'river', 'fox', 'dancer', 'storm', 'glass', 'slow', 'camera',
  'pans', 'over', 'golden', 'light', 'rain', 'street', 'neon', 'crowd', 'forest', 'mist', 'horse', 'snow',
]; // prettier-ignore
export const chinese = [
  '日落时分的港口', '雨中的街道', '舞者慢慢转身', '森林里的雾气', '雪山与湖泊', '城市夜景霓虹', '金色的阳光', '一只狐狸跑过草地',
  '镜头缓缓推进', '灯笼随风摇摆',
]; // prettier-ignore

/** Words of a prompt, the same each time for the same number. */
function prompt(seed: number): string {
  let state = (seed * 2_654_435_761) >>> 0;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const words = Array.from({ length: 12 }, () => english[next(english.length)]!);
  return `${words.join(' ')} number${seed}，${chinese[next(chinese.length)]!}，${chinese[next(chinese.length)]!}`;
}

/** Puts the records in. */
export async function fill(store: Store): Promise<void> {
  const base = sampleProject();
  const time = (i: number): string => new Date(1.77e12 + i * 60_000).toISOString();
  const many = async (
    count: number,
    put: (edit: Parameters<Parameters<Store['transact']>[2]>[0], i: number) => void,
  ): Promise<void> => {
    for (let from = 0; from < count; from += perEdit) {
      await store.transact(null, 'fill', (edit) => {
        for (let i = from; i < Math.min(count, from + perEdit); i++) put(edit, i);
      });
    }
  };
  await many(counts.projects, (edit, i) =>
    edit.put(
      'projects',
      projectRecord(`project-${i}`, {
        name: `Project ${i} ${english[i % english.length]!} ${chinese[i % chinese.length]!}`,
        modifiedAt: time(i),
        ranges: base.ranges.map((range) => ({ ...range, prompt: prompt(i) })),
      }),
    ),
  );
  await many(counts.assets, (edit, i) =>
    edit.put(
      'assets',
      assetRecord(`asset-${i}`, {
        name: `${english[i % english.length]!}_${chinese[i % chinese.length]!}_${i}.mov`,
        importedAt: time(i),
      }),
    ),
  );
  await many(counts.takes, (edit, i) =>
    edit.put(
      'takes',
      takeRecord(`take-${i}`, `project-${i % counts.projects}`, {
        prompt: prompt(i),
        createdAt: time(i),
        rating: i % 6,
        tags: i % 3 === 0 ? ['best', '好看'] : [],
      }),
    ),
  );
}

/** Puts a file of one byte where each asset's and each take's media would lie. */
export async function fillMedia(folder: string): Promise<void> {
  await openMediaStore(folder);
  const fans = new Set<string>();
  const put = (hash: string): void => {
    const fan = join(folder, hash.slice(0, 2));
    if (!fans.has(fan)) mkdirSync(fan, { recursive: true });
    fans.add(fan);
    writeFileSync(join(fan, hash), '.');
  };
  for (let i = 0; i < counts.assets; i++) put(hashOf(`asset-${i}`));
  for (let i = 0; i < counts.takes; i++) put(hashOf(`take-${i}`));
}
