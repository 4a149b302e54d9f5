import { randomUUID } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Export } from '../../core/contract/api/takes.ts';
import type { Take } from '../../core/contract/job.ts';
import { takeSchema } from '../../core/contract/job.ts';
import { encodeTake } from '../../media/encode.ts';
import { openSource } from '../../media/frames.ts';
import { planOutput, type OutputPlan } from '../../media/output.ts';
import { listSequence } from '../../media/sequence.ts';
import { sniffFile } from '../../media/sniff.ts';
import type { NoteTemporary } from '../../media/temporary.ts';
import type { Report, StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { withoutPlace } from '../pusa-import.ts';
import type { TimelineInfo } from '../read-take.ts';
import { software } from '../software.ts';
import { refuseOwnFolders, requireAbsolute } from '../own-folders.ts';
import { copyOut, streamFile } from './export-file.ts';
import { openTimeline } from './export-timeline.ts';

const mimes = { mp4: 'video/mp4', webm: 'video/webm', gif: 'image/gif' } as const;

/** How writing an export is watched and ended. */
interface ExportWatch {
  readonly report: Report;
  readonly signal: AbortSignal;
  readonly onTemporary: NoteTemporary;
}

/** Takes and timelines as files. What is written appears whole or not at all. */
export function exportsHandlers(context: StudioContext): HandlersOf<'exports'> {
  return {
    'exports.toPath': async ({ export: what, path, task }, { signal }) => {
      await refuseOwnFolders(context, requireAbsolute(path));
      const written = await write(context, what, path, {
        report: context.reporter(task, 'frames'),
        signal,
      });
      return { path: written, bytes: await bytesOf(written) };
    },
    'exports.toStream': async ({ export: what, format, task }, { signal }) => {
      const path = join(context.folders.temporary, `${randomUUID()}.${format}`);
      try {
        await write(context, what, path, { report: context.reporter(task, 'frames'), signal });
        const { size } = await stat(path);
        const name = `${nameOf(context, what)}.${format}`;
        return { output: { name, mime: mimes[format], bytes: size }, body: streamFile(path) };
      } catch (thrown) {
        await rm(path, { force: true });
        throw thrown;
      }
    },
  };
}

/** @returns the path to find it by: the file's, or a sequence's folder or pattern */
function write(
  context: StudioContext,
  what: Export,
  path: string,
  watch: Omit<ExportWatch, 'onTemporary'>,
): Promise<string> {
  return context.unfinished.noting((onTemporary) =>
    what.what === 'take'
      ? writeTake(context, what.takeId, path, { ...watch, onTemporary })
      : writeTimeline(context, what, path, { ...watch, onTemporary }),
  );
}

/** A take's own file where it has the format asked for, else its frames in that format. */
async function writeTake(
  { store, media }: StudioContext,
  takeId: string,
  path: string,
  { report, signal, onTemporary }: ExportWatch,
): Promise<string> {
  const record = store.require('takes', takeId);
  const plan = await planOutput(path, record);
  const stored = await media.path(record.fileHash);
  if (await isOfFormat(stored, plan)) {
    const frames = record.plan.frames;
    await copyOut(media, record.fileHash, plan.path, { signal, onTemporary });
    report(frames, frames);
    return plan.path;
  }
  const source = await openSource(stored);
  const { width, height, fps, frames, duration } = source.probe;
  const count = frames ?? Math.max(1, Math.round(duration * fps));
  const times = Array.from({ length: count }, (_, frame) => frame / fps);
  return encodeTake({
    frames: counted(source.frames(times, { width, height }, 'stretch'), count, report),
    width,
    height,
    fps: record.fps,
    path,
    metadata: JSON.stringify(takeOf(record)),
    signal,
    onTemporary,
  });
}

async function writeTimeline(
  context: StudioContext,
  { projectId, from, to, audio }: Export & { what: 'timeline' },
  path: string,
  { report, signal, onTemporary }: ExportWatch,
): Promise<string> {
  const { store, media } = context;
  const project = withoutPlace(store.require('projects', projectId));
  const { width, height, fps, name } = project;
  const plan = await planOutput(path, project);
  const takes = audio ? store.lists.takesInMedia(projectId) : null;
  const timeline = await openTimeline(project, { from, to }, takes, (asset) => media.path(asset.hash));
  const hasSound = timeline.sound.length > 0;
  const info: TimelineInfo = { software, project: name, createdAt: new Date().toISOString() };
  const written = await encodeTake({
    frames: counted(timeline.frames, timeline.count, report),
    width,
    height,
    fps,
    path,
    title: name,
    metadata: JSON.stringify(info),
    ...(hasSound && holdsSound(plan)
      ? { sound: { parts: timeline.sound, seconds: timeline.count / fps } }
      : {}),
    signal,
    onTemporary,
  });
  if (hasSound && !holdsSound(plan)) {
    context.notify({
      level: 'info',
      code: 'EXPORT_WITHOUT_SOUND',
      message: 'The export has no sound: a gif or pictures cannot hold any.',
      remedy: 'Export mp4 or webm to keep the sound of the clips.',
      projectId,
    });
  }
  return written;
}

function holdsSound({ format }: OutputPlan): boolean {
  return format === 'mp4' || format === 'webm';
}

async function isOfFormat(stored: string, plan: OutputPlan): Promise<boolean> {
  const { content } = await sniffFile(stored);
  if (content.is === 'picture') return plan.format === 'gif' && content.format === 'gif';
  const demuxer = content.is === 'video' ? content.demuxer : null;
  return (plan.format === 'mp4' && demuxer === 'mov') || (plan.format === 'webm' && demuxer === 'matroska');
}

/** The take inside a record: what its file says about it. */
function takeOf(record: object): Take {
  const fields = Object.entries(record).filter(([field]) => Object.hasOwn(takeSchema.shape, field));
  return takeSchema.parse(Object.fromEntries(fields));
}

async function* counted(
  frames: AsyncIterable<Uint8Array>,
  total: number,
  report: Report,
): AsyncGenerator<Uint8Array, void> {
  let done = 0;
  for await (const frame of frames) {
    yield frame;
    report(++done, total);
  }
}

/** What a browser saves it as: letters and digits of any script, no separators of paths. */
function nameOf({ store }: StudioContext, what: Export): string {
  const title =
    what.what === 'take'
      ? store.require('takes', what.takeId).prompt
      : store.require('projects', what.projectId).name;
  const name = title.replace(/[^\p{L}\p{M}\p{N}_-]+/gu, ' ').trim();
  return Array.from(name).slice(0, 60).join('').trim() || 'take';
}

async function bytesOf(path: string): Promise<number> {
  const files = (await listSequence(path)) ?? [path];
  let bytes = 0;
  for (const file of files) bytes += (await stat(file)).size;
  return bytes;
}
