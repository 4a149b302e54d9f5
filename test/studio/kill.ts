import { spawn } from 'node:child_process';
import { cp, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { phases } from '../../src-main/core/contract/job.ts';
import { newRange } from '../../src-main/core/presets/defaults.ts';
import type { ForkEngine } from '../../src-main/engine/transport.ts';
import { readPusaFile } from '../../src-main/library/pusa-file.ts';
import { probeMedia } from '../../src-main/media/probe.ts';
import { seeded } from '../engine/kill.ts';
import { root } from '../support/places.ts';
import { connectStudio, type Connected } from './connect.ts';

/** What a child says: what it is about to do, and what was acknowledged. */
const lineSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready') }),
  z.strictObject({ type: z.enum(['naming', 'named']), name: z.string() }),
  z.strictObject({
    type: z.enum(['imported', 'removing', 'removed', 'job', 'take', 'phase']),
    id: z.string(),
  }),
  z.strictObject({ type: z.literal('written'), path: z.string(), bytes: z.int() }),
]);
export type Line = z.infer<typeof lineSchema>;

/** Of the project that all children work on. */
export const projectId = 'killed-project';
export const rangeId = 'range-1';

/** Length of the timeline that is exported. */
const timelineFrames = 9;

/** Where a library to be killed in lies. */
export const dataIn = (folder: string): string => join(folder, 'data');

/** Makes a library to be killed in: a small model, a project with a picture and a range, and a folder for exports. */
export async function makeLibrary(folder: string): Promise<void> {
  for (const name of ['in', 'out']) await mkdir(join(folder, name), { recursive: true });
  const model = join(dataIn(folder), 'models', 'test-pattern');
  await cp(join(root, 'test/fixtures/models/test-pattern'), model, { recursive: true });
  const connected = await connectStudio(dataIn(folder));
  const { studio, call } = connected;
  await call.settings.set({ provider: 'cpu', defaultModel: 'test-pattern' });
  const { project } = await call.projects.create({ name: 'begun' });
  const { importedAt, original, state, ...asset } = (
    await call.assets.import({ path: join(root, 'resources/samples/media/gold-ball.png') })
  ).asset;
  if (importedAt === '' || original === null || state !== 'present')
    throw new Error('The picture is not there.');
  await studio.context.store.transact(null, 'Begin', (edit) => {
    const record = edit.require('projects', project.id);
    edit.remove('projects', project.id);
    edit.put('projects', { ...record, id: projectId });
  });
  const recommended = { steps: 3, cfg: 1, shift: 5, loraStrength: 1 };
  await call.projects.edit({
    projectId,
    label: 'Begin',
    commands: [
      { type: 'addAssets', assets: [asset] },
      {
        type: 'addClip',
        clip: {
          id: 'clip',
          assetId: asset.id,
          track: 0,
          start: 0,
          frames: timelineFrames,
          sourceStart: 0,
          fit: 'crop',
        },
      },
      { type: 'addRange', range: newRange({ id: rangeId, frames: 17, recommended }) },
      { type: 'paintCells', rangeId, first: 0, last: 0, kind: 'fixed', m: null },
    ],
  });
  await connected.close();
}

/** Things acknowledged, by kind. */
export type Counts = Record<'edits' | 'imports' | 'removals' | 'jobs' | 'takes' | 'exports', number>;

const countedAs: Partial<Record<Line['type'], keyof Counts>> = {
  named: 'edits',
  imported: 'imports',
  removed: 'removals',
  job: 'jobs',
  take: 'takes',
  written: 'exports',
};

const sum = (counts: Counts): number => Object.values(counts).reduce((all, count) => all + count, 0);

/** What must hold after everything that was said so far, over all children of one library. */
class Expected {
  /** Names that the project may have: the last one acknowledged, and one asked for after that. */
  private names = ['begun'];
  private readonly assets = new Map<string, 'there' | 'perhaps' | 'gone'>();
  private readonly jobs = new Set<string>();
  private readonly takes = new Set<string>();
  private readonly written = new Map<string, number>();
  readonly acknowledged: Counts = { edits: 0, imports: 0, removals: 0, jobs: 0, takes: 0, exports: 0 };

  hear(line: Line): void {
    const kind = countedAs[line.type];
    if (kind !== undefined) this.acknowledged[kind]++;
    switch (line.type) {
      case 'ready':
      case 'phase':
        return;
      case 'naming':
        this.names = [this.names[0]!, line.name];
        return;
      case 'named':
        this.names = [line.name];
        return;
      case 'imported':
        this.assets.set(line.id, 'there');
        return;
      case 'removing':
        this.assets.set(line.id, 'perhaps');
        return;
      case 'removed':
        this.assets.set(line.id, 'gone');
        return;
      case 'job':
        this.jobs.add(line.id);
        return;
      case 'take':
        this.takes.add(line.id);
        return;
      case 'written':
        this.written.set(line.path, line.bytes);
    }
  }

  /** Everything that is not as it should be, as sentences. */
  async check(folder: string, { studio, call }: Connected): Promise<string[]> {
    const { store, media, folders } = studio.context;
    await studio.settled();
    const flaws: string[] = [];
    const claim = (holds: boolean, sentence: string): void => {
      if (!holds) flaws.push(sentence);
    };
    // Files and records, both ways.
    const files = new Set(await media.list());
    const named = store.mediaHashes();
    for (const hash of files) claim(named.has(hash), `The file ${hash} has no record.`);
    for (const hash of named) claim((await media.verify(hash)) === 'sound', `The file ${hash} is not sound.`);
    claim((await readdir(join(media.folder, '.pusa-incoming'))).length === 0, 'An import left its pieces.');
    claim((await readdir(folders.temporary)).length === 0, 'A temporary file is left.');
    claim((await readdir(join(folders.data, 'unfinished'))).length === 0, 'A note of a file is left.');
    for (const id of await readdir(folders.jobs))
      claim(store.get('jobs', id) !== null, `The folder of job ${id} has no record.`);
    for (const name of await readdir(folders.data)) claim(!name.endsWith('.tmp'), `"${name}" is left.`);
    // What was acknowledged.
    const { name } = store.require('projects', projectId);
    claim(this.names.includes(name), `The project is "${name}" and not "${this.names.join('" or "')}".`);
    this.names = [name];
    for (const [id, state] of this.assets) {
      const isThere = store.get('assets', id)?.state === 'present';
      if (state !== 'perhaps')
        claim(isThere === (state === 'there'), `The asset ${id}, ${state}, is ${String(isThere)}.`);
      else this.assets.set(id, isThere ? 'there' : 'gone');
    }
    for (const id of this.takes) claim(store.get('takes', id) !== null, `The take ${id} is lost.`);
    for (const id of this.jobs) {
      const job = store.get('jobs', id);
      claim(job !== null, `The job ${id} is lost.`);
      // Killed again and again before its first step, a job is given up: it says so, and keeps what it has.
      if (job?.state === 'failed') claim(job.error?.code === 'ENGINE_CRASHED', `The job ${id} failed.`);
    }
    for (const entry of await readdir(join(folder, 'out'))) {
      const path = join(folder, 'out', entry);
      if (!/^[^.]+(\.mp4|\.pusa)?$/.test(entry)) {
        claim(false, `"${entry}" is left beside the exports.`);
        await rm(path, { recursive: true });
        continue;
      }
      const bytes = this.written.get(path);
      const isFolder = !entry.includes('.');
      const parts = isFolder ? (await readdir(path)).map((name) => join(path, name)) : [path];
      const sizes = await Promise.all(parts.map(async (part) => (await stat(part)).size));
      const size = sizes.reduce((sum, one) => sum + one, 0);
      if (bytes !== undefined) claim(size === bytes, `"${entry}" is not what was written.`);
      // What stands under its name is whole, acknowledged or not: pictures are all there or none of them.
      if (isFolder) {
        const names = parts.map((part) => basename(part)).sort();
        const all = Array.from({ length: timelineFrames }, (_, i) => `frame-0000${i + 1}.png`);
        claim(
          [[], all].some((one) => one.join() === names.join()),
          `"${entry}" holds ${names.join(', ')}.`,
        );
      }
      for (const part of parts) {
        await open(part).catch((thrown: unknown) => {
          flaws.push(`"${entry}" cannot be opened: ${String(thrown)}`);
        });
      }
      await rm(path, { recursive: true });
      this.written.delete(path);
    }
    for (const path of this.written.keys()) claim(false, `"${path}" is gone.`);
    const status = await call.library.check({});
    claim(status.state === 'sound', `The library is ${status.state}: ${status.flaws.join(' ')}`);
    return flaws;
  }
}

/** Opens an exported file as whoever gets it would. */
async function open(path: string): Promise<void> {
  if (path.endsWith('.pusa')) (await readPusaFile(path)).close();
  else await probeMedia(path);
}

/** An engine that never says anything: nothing is rendered while the library is looked at. */
const silent: ForkEngine = () => {
  let end: (exit: { code: null; signal: string }) => void = () => undefined;
  return {
    pid: undefined,
    send: () => undefined,
    onMessage: () => undefined,
    onOutput: () => undefined,
    onExit: (listener) => void (end = listener),
    kill: () => end({ code: null, signal: 'SIGKILL' }),
  };
};

export interface KillReport {
  readonly kills: number;
  /** Things acknowledged in all. */
  readonly acknowledged: number;
  readonly counts: Counts;
  /** Takes in the library at the end: also those whose making was not said any more. */
  readonly takes: number;
  readonly flaws: readonly string[];
}

/**
 * Kills a studio at work, again and again in the same library, and looks after each time whether everything is as it
 * was acknowledged. A third of the kills come after a time, a third right after something was said, and a third soon
 * after a render has entered a phase or made a take, each in turn.
 * @param options.first number of the first run: those before it are passed over, to go on where a flaw was found
 */
export async function killStudios(
  folder: string,
  {
    count,
    seed,
    first = 0,
    onKill,
  }: { count: number; seed: number; first?: number; onKill?: (text: string) => void },
): Promise<KillReport> {
  await makeLibrary(folder);
  const random = seeded(seed);
  const expected = new Expected();
  const flaws: string[] = [];
  let takes = 0;
  for (let run = 0; run < first; run++) pointOf(run, random);
  for (let run = first; run < first + count; run++) {
    const point = pointOf(run, random);
    const before = sum(expected.acknowledged);
    await killOne(folder, seed + run, point, (line) => expected.hear(line));
    const studio = await connectStudio(dataIn(folder), { fork: silent });
    const found = await expected.check(folder, studio);
    takes = studio.studio.context.store.lists.takes({ limit: 1 }).total;
    await studio.close();
    flaws.push(...found.map((flaw) => `Run ${run} (${JSON.stringify(point)}): ${flaw}`));
    onKill?.(
      `run ${run}: killed at ${JSON.stringify(point)}, ${sum(expected.acknowledged) - before} acknowledged, ${takes} takes in all: ${found.length === 0 ? 'as it should be' : found.join(' ')}`,
    );
  }
  const counts = expected.acknowledged;
  return { kills: count, acknowledged: sum(counts), counts, takes, flaws };
}

/** When to kill a child. */
type Point =
  | { readonly afterMs: number }
  | { readonly afterLines: number }
  | { readonly at: string; readonly delayMs: number };

function pointOf(run: number, random: (below: number) => number): Point {
  if (run % 3 === 0) return { afterMs: random(3000) };
  if (run % 3 === 1) return { afterLines: 1 + random(100) };
  // A take every other time: those are the longest in coming.
  const milestones = phases.flatMap((phase) => ['take', phase]);
  return { at: milestones[Math.floor(run / 3) % milestones.length]!, delayMs: random(60) };
}

/** No child lives longer than this once it is at work: one that is to reach a milestone has time to, on any machine. */
const longestMs = { milestone: 90_000, other: 12_000 };

/** Starts a child and kills it. @throws Error when it ended by itself */
function killOne(folder: string, seed: number, point: Point, hear: (line: Line) => void): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'kill-child.ts'), folder, String(seed)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let lines = 0;
    const reader = createInterface({ input: child.stdout });
    reader.on('line', (text) => {
      const line = lineSchema.parse(JSON.parse(text));
      hear(line);
      lines++;
      // Not every point is reached, or not soon.
      if (line.type === 'ready')
        setTimeout(
          () => child.kill('SIGKILL'),
          'at' in point ? longestMs.milestone : longestMs.other,
        ).unref();
      if ('afterMs' in point && line.type === 'ready') setTimeout(() => child.kill('SIGKILL'), point.afterMs);
      if ('afterLines' in point && lines === point.afterLines) child.kill('SIGKILL');
      if ('at' in point && (line.type === point.at || (line.type === 'phase' && line.id === point.at)))
        setTimeout(() => child.kill('SIGKILL'), point.delayMs);
    });
    const closed = new Promise((closing) => reader.once('close', closing));
    child.once('error', fail);
    child.once('exit', (code, signal) => {
      if (signal === 'SIGKILL') void closed.then(() => done());
      else fail(new Error(`The child ended by itself (${String(code ?? signal)}).`));
    });
  });
}
