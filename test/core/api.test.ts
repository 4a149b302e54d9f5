import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  api,
  type Api,
  type EventName,
  type EventPayload,
  type Input,
  type MethodName,
  type Output,
} from '../../src-main/core/contract/api.ts';
import {
  createClient,
  createServer,
  type Handlers,
  type MethodSpec,
} from '../../src-main/core/contract/channel.ts';
import type { Project } from '../../src-main/core/contract/project.ts';
import { applyCommands } from '../../src-main/core/edit/apply.ts';
import { changeProject, diffProjects } from '../../src-main/core/edit/diff.ts';
import { PusaError } from '../../src-main/core/errors.ts';
import { newProject } from '../../src-main/core/presets/defaults.ts';
import { picture, range } from './fixtures.ts';
import { portLine, socketLine } from './lines.ts';

const page = { cursor: null, limit: 50 };
const projectId = 'p';
const jobId = 'j';
const contents = { media: true, takes: 'all' as const };

/** Each method asked once as a window would. */
const inputs: { readonly [M in MethodName]: Input<M> } = {
  'projects.list': { ...page, trashed: false, sort: 'modified' },
  'projects.search': { text: '港口', kinds: ['prompt'], limit: 20 },
  'projects.create': { name: '海边', fps: 16 },
  'projects.open': { projectId },
  'projects.edit': {
    projectId,
    label: 'Name',
    commands: [{ type: 'setName', name: 'New' }],
    gesture: 'typing',
  },
  'projects.undo': { projectId },
  'projects.redo': { projectId },
  'projects.duplicate': { projectId, name: 'Copy' },
  'projects.trash': { projectIds: [projectId] },
  'projects.restore': { projectIds: [projectId] },
  'projects.remove': { projectIds: [projectId] },
  'files.open': { path: '/films/film.pusa' },
  'files.upload': { task: 't' },
  'files.save': { projectId, ...contents },
  'files.saveAs': { projectId, path: 'C:\\film.pusa', ...contents },
  'files.download': { projectId, ...contents },
  'assets.list': { ...page, kind: 'video', state: 'present', sort: 'imported' },
  'assets.get': { assetId: 'a' },
  'assets.rename': { assetId: 'a', name: 'Boat' },
  'assets.import': { path: '/films/boat.mp4', task: 't' },
  'assets.upload': { name: 'boat.mp4' },
  'assets.read': { assetId: 'a', from: 10, bytes: 5 },
  'assets.thumbnail': { assetId: 'a', size: 256, at: 1.5 },
  'assets.filmstrip': { assetId: 'a', from: 0, to: 10, frames: 8, height: 48 },
  'assets.missing': page,
  'assets.probe': { assetId: 'a' },
  'assets.relink': { assetId: 'a', path: '/boat.mp4', accept: 'same' },
  'assets.relinkFolder': { path: '/media' },
  'assets.unusedMedia': page,
  'assets.collectUnused': { assetIds: ['a'] },
  'assets.moveStore': { path: '/disk/media' },
  'jobs.list': { ...page, states: ['waiting'] },
  'jobs.get': { jobId },
  'jobs.details': { jobIds: [jobId] },
  'jobs.forecast': { projectId, rangeId: 'r' },
  'jobs.enqueue': { projectId, rangeId: 'r', place: 'last', draft: true },
  'jobs.batch': { projectId, rangeId: 'r', sweep: { over: 'seed', values: [1, 2, 3] } },
  'jobs.reorder': { jobId, before: null },
  'jobs.edit': { jobId, prompt: 'A boat', sampler: { steps: 4 } },
  'jobs.pause': { jobIds: [jobId] },
  'jobs.resume': { jobIds: [jobId] },
  'jobs.cancel': { jobIds: [jobId] },
  'jobs.keep': { jobId },
  'jobs.retry': { jobId },
  'jobs.duplicate': { jobId, seed: 5 },
  'jobs.remove': { jobIds: [jobId] },
  'jobs.status': {},
  'jobs.setQueuePaused': { paused: true },
  'takes.inMedia': { projectId: 'p' },
  'takes.list': { ...page, minRating: 3, tag: 'good', sort: 'created' },
  'takes.get': { takeId: 't' },
  'takes.read': { takeId: 't' },
  'takes.thumbnail': { takeId: 't', size: 128 },
  'takes.rate': { takeId: 't', rating: 5 },
  'takes.setTags': { takeId: 't', tags: ['夜景', 'good'] },
  'takes.promote': { takeId: 't', clipId: 'c', track: 1 },
  'takes.extend': { takeId: 't', fromFrame: 60, frames: 81, overlap: 3, rangeId: 'r2', clipId: 'c' },
  'takes.recreate': { takeId: 't', rangeId: 'r3' },
  'takes.delete': { takeIds: ['t'] },
  'exports.toPath': { export: { what: 'take', takeId: 't' }, path: '/film.mp4' },
  'exports.toStream': {
    export: { what: 'timeline', projectId, from: 0, to: 81, audio: true },
    format: 'mp4',
  },
  'models.list': {},
  'models.details': { model: 'wan' },
  'models.countTokens': { model: null, text: '一只猫' },
  'models.tasks': {},
  'models.catalogue': {},
  'models.download': { entry: 'wan2-1-t2v-1-3b', folder: '/disk/models' },
  'models.space': { folder: 'D:\\models' },
  'models.sources': {},
  'models.setSources': { mirror: 'http://127.0.0.1:8080', token: 'hf_x', folder: null, lookIn: ['/models'] },
  'models.found': {},
  'models.inspect': { path: '/models/wan.safetensors' },
  'models.import': {
    paths: ['/models/wan'],
    id: 'wan',
    name: 'Wan',
    loras: [{ path: '/models/pusa.safetensors', strength: 1.4, live: true }],
    precision: 'asIs',
  },
  'models.bake': {
    model: 'wan',
    id: 'wan-int8',
    name: null,
    precision: 'int8',
    search: false,
    mergeLoras: true,
  },
  'models.verify': { model: 'wan' },
  'models.removal': { model: 'wan' },
  'models.remove': { model: 'wan' },
  'models.pause': { task: 't' },
  'models.resume': { task: 't' },
  'models.cancel': { task: 't', removeParts: false },
  'models.dismiss': { task: 't' },
  'device.report': { fresh: false },
  'settings.get': {},
  'settings.set': { language: 'zh-CN' },
  'library.status': {},
  'library.check': {},
  'library.repair': {},
  'library.findMedia': { path: '/disk/media', isNew: false },
  'library.backups': {},
  'library.restore': { name: 'backup' },
};

const payloads: { readonly [E in EventName]: EventPayload<E> } = {
  'projects.edited': {
    projectId,
    revision: 1,
    change: { fields: { name: 'New' } },
    steps: { undo: 'Name', redo: null },
  },
  'jobs.progress': {
    jobId,
    progress: { phase: 'denoise', done: 1, total: 10, secondsLeft: null, fraction: 0.1 },
  },
  'jobs.preview': { jobId, cells: 1, width: 2, height: 2, rgb: new Uint8Array(12) },
  'jobs.queue': { running: [jobId], waiting: 3, paused: false },
  'models.changed': {},
  'models.task': {
    task: {
      id: 't',
      kind: 'download',
      label: 'Wan2.1 T2V 1.3B',
      phase: { kind: 'download', subject: 'wan.safetensors' },
      done: 5,
      total: 10,
      bytesPerSecond: 1e6,
      state: 'running',
      canPause: true,
      error: null,
      entry: 'wan2-1-t2v-1-3b',
      model: null,
      createdAt: '2026-01-02T03:04:05.000Z',
      finishedAt: null,
    },
  },
  'settings.changed': {
    language: 'system',
    theme: 'dark',
    reducedMotion: null,
    defaultModel: null,
    provider: 'webgpu',
    previews: true,
    exportFolder: null,
  },
  'library.changed': {
    state: 'sound',
    flaws: [],
    endedUncleanly: false,
    mediaFolder: '/media',
    mediaMissing: false,
    mediaBytes: 5,
  },
  'records.changed': { table: 'takes', ids: null },
  'tasks.progress': { task: 't', done: 5, total: null, unit: 'bytes' },
  'notices.posted': {
    level: 'error',
    code: 'DISK_FULL',
    values: {},
    message: 'The disk is full.',
    remedy: 'Free some space.',
    projectId: null,
    jobId,
  },
};

const methods = Object.entries<MethodSpec>(api.methods);

/** Every schema inside a JSON schema, with where it stands. */
function* schemasIn(
  schema: unknown,
  path: string,
): Generator<[path: string, schema: Record<string, unknown>]> {
  if (typeof schema !== 'object' || schema === null) return;
  if (!Array.isArray(schema)) yield [path, schema as Record<string, unknown>];
  for (const [key, child] of Object.entries(schema)) yield* schemasIn(child, `${path}.${key}`);
}

const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): unknown =>
  z.toJSONSchema(schema, { io, unrepresentable: 'any', reused: 'inline' });

describe('the contract', () => {
  it.each(methods)('%s takes what a window says and nothing more', (name, { input }) => {
    const example = inputs[name as MethodName];
    expect(input.parse(example)).toEqual(example);
    expect(input.safeParse({ ...example, more: 1 }).success).toBe(false);
    for (const other of [null, undefined, [], 'text']) expect(input.safeParse(other).success).toBe(false);
  });

  it.each(Object.entries(api.events))(
    'the event %s says what it should and nothing more',
    (name, { payload }) => {
      const example = payloads[name as EventName];
      expect(payload.parse(example)).toEqual(example);
      expect(payload.safeParse({ ...example, more: 1 }).success).toBe(false);
    },
  );

  it.each(methods)('%s is the same at both ends and bounded in what it takes', (name, { input, output }) => {
    expect(name).toMatch(/^[a-z]+\.[a-z][A-Za-z]+$/);
    for (const schema of [input, output])
      expect(jsonSchema(schema, 'input')).toEqual(jsonSchema(schema, 'output'));
    const unbounded = [...schemasIn(jsonSchema(input, 'input'), name)].filter(
      ([, { type, maxLength, maxItems, pattern, format, enum: choices, const: only }]) =>
        (type === 'string' &&
          [maxLength, pattern, format, choices, only].every((each) => each === undefined)) ||
        (type === 'array' && maxItems === undefined),
    );
    expect(unbounded.map(([path]) => path)).toEqual([]);
  });

  it('says of every method that names a path that it does', () => {
    for (const [name, { input, namesPath }] of methods) {
      const keys = [...schemasIn(jsonSchema(input, 'input'), '')].map(([path]) => path);
      const hasPath = keys.some((key) => /properties\.(path|folder|file|exportFolder)$/.test(key));
      // The export folder is a setting that is only offered in a dialog.
      expect([name, hasPath && name !== 'settings.set']).toEqual([name, namesPath === true]);
    }
  });
});

/** A studio with one project in memory, for the channel's sake. */
function smallStudio(): { handlers: Handlers<Api>; project: () => Project } {
  let project: Project = {
    ...newProject({ id: projectId, name: 'Test', now: '2026-01-02T03:04:05.000Z' }),
    ranges: Array.from({ length: 200 }, (_, i) => ({
      ...range(
        401,
        Array.from({ length: 401 }, (_, frame) => ({ frame, kind: 'fixed' as const })),
      ),
      id: `r${i}`,
    })),
  };
  let revision = 0;
  const own: Partial<Handlers<Api>> = {
    'projects.open': () => ({
      project,
      revision,
      steps: { undo: null, redo: null },
      trashedAt: null,
      pusaPath: null,
    }),
    'projects.edit': ({ commands, label }) => {
      const before = project;
      project = applyCommands(before, commands);
      return {
        projectId,
        revision: ++revision,
        change: diffProjects(before, project),
        steps: { undo: label, redo: null },
      };
    },
  };
  const missing = (): never => {
    throw new PusaError('MODEL_CANNOT', 'This studio is small.', 'Ask a larger one.');
  };
  const handlers = Object.fromEntries(
    Object.keys(api.methods).map((name) => [name, own[name as MethodName] ?? missing]),
  );
  return { handlers: handlers as unknown as Handlers<Api>, project: () => project };
}

describe.each([
  ['a MessageChannel', portLine],
  ['a pair of sockets', socketLine],
])('the studio over %s', (_, line) => {
  it('gives a large project whole, and keeps a window in step with it by changes', async () => {
    const ends = await line();
    const { handlers, project } = smallStudio();
    const server = createServer(api, ends.server, handlers);
    const client = createClient(api, ends.client);
    const opened: Output<'projects.open'> = await client.api.projects.open({ projectId });
    expect(opened.project).toEqual(project());
    let mine = opened.project;
    const { change, steps } = await client.api.projects.edit({
      projectId,
      label: 'Add a picture',
      commands: [
        { type: 'addAssets', assets: [picture] },
        {
          type: 'addClip',
          clip: { id: 'c', assetId: 'picture', track: 0, start: 3, frames: 4, sourceStart: 0, fit: 'crop' },
        },
        { type: 'clearCells', rangeId: 'r7', first: 0, last: 99 },
      ],
    });
    mine = changeProject(mine, change);
    expect(mine).toEqual(project());
    expect(steps.undo).toBe('Add a picture');
    expect(change.ranges?.put.map(({ id }) => id)).toEqual(['r7']);
    await expect(
      client.api.projects.edit({
        projectId,
        label: 'Nothing',
        commands: [{ type: 'removeClips', clipIds: ['none'] }],
      }),
    ).rejects.toMatchObject({ code: 'EDIT_INVALID' });
    await expect(client.api.models.list({})).rejects.toMatchObject({ code: 'MODEL_CANNOT' });
    client.close();
    await server.closed;
  });
});
