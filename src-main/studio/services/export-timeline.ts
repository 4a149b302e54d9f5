import type { Project } from '../../core/contract/project.ts';
import { PusaError } from '../../core/errors.ts';
import { sourceTime, visibleRuns, type VisibleRun } from '../../core/timeline/coverage.ts';
import { heardRuns } from '../../core/timeline/heard.ts';
import { timelineEnd } from '../../core/timeline/tracks.ts';
import { openSource, type FrameSource } from '../../media/frames.ts';
import type { SoundPart } from '../../media/sound.ts';
import type { FindMedia } from '../freeze.ts';

/** A stretch of a timeline, ready to be written. */
export interface Timeline {
  /** RGB8 frames of the project's size, at its rate: the topmost clip's, black where nothing lies. */
  readonly frames: AsyncGenerator<Uint8Array, void>;
  readonly count: number;
  /** The clips' own sound as {@link heardRuns} has it; empty where there is none, or none is wanted. */
  readonly sound: readonly SoundPart[];
}

/**
 * Opens every medium that is seen in a stretch of the timeline, so that what is missing or broken is told before hours
 * of work.
 * @param from first frame; the beginning if left out
 * @param to frame after the last; the end of the last clip that is seen if left out
 * @param takes whose files the project may show; null where no sound is wanted
 * @throws PusaError NO_SOURCE_AT_ALL (nothing in the stretch), EDIT_INVALID (an empty one); of `openSource`
 */
export async function openTimeline(
  project: Project,
  {
    from = 0,
    to = timelineEnd(project),
  }: { readonly from?: number | undefined; readonly to?: number | undefined },
  takes: readonly { readonly fileHash: string }[] | null,
  findMedia: FindMedia,
): Promise<Timeline> {
  if (timelineEnd(project) === 0) throw nothingThere('No clip is seen on the timeline.');
  if (to <= from) {
    throw new PusaError(
      'EDIT_INVALID',
      `Nothing lies between frame ${from} and frame ${to}.`,
      'Set the out point after the in point.',
    );
  }
  const stretch = { start: from, frames: to - from };
  const runs = visibleRuns(project, stretch);
  if (runs.length === 0) throw nothingThere(`No clip lies between frame ${from} and frame ${to}.`);
  const heard = takes === null ? [] : heardRuns(project, takes, stretch);
  const sources = new Map<string, FrameSource>();
  const paths = new Map<string, string>();
  for (const { asset } of [...runs, ...heard.filter((run) => run.asset.kind === 'video')]) {
    if (sources.has(asset.id)) continue;
    const path = await findMedia(asset).catch((thrown: unknown) => {
      throw missing(asset.name, thrown);
    });
    paths.set(asset.id, path);
    sources.set(
      asset.id,
      await openSource(path, asset.kind === 'sequence' ? { sequenceFps: asset.fps } : {}),
    );
  }
  return {
    frames: compose(project, runs, stretch, sources),
    count: stretch.frames,
    sound: soundOf(project, heard, from, sources, paths),
  };
}

/** Seconds in a run's source at which one of its frames is taken; a still picture has no time. */
function timeIn({ clip, asset, start }: VisibleRun, frame: number, fps: number): number {
  return asset.kind === 'image' ? 0 : sourceTime(clip, start - clip.start + frame, fps);
}

async function* compose(
  { width, height, fps }: Project,
  runs: readonly VisibleRun[],
  stretch: { readonly start: number; readonly frames: number },
  sources: ReadonlyMap<string, FrameSource>,
): AsyncGenerator<Uint8Array, void> {
  const black = new Uint8Array(width * height * 3);
  let at = stretch.start;
  for (const run of runs) {
    for (; at < run.start; at++) yield black;
    const times = Array.from({ length: run.frames }, (_, frame) => timeIn(run, frame, fps));
    yield* sources.get(run.asset.id)!.frames(times, { width, height }, run.clip.fit);
    at += run.frames;
  }
  for (; at < stretch.start + stretch.frames; at++) yield black;
}

function soundOf(
  { fps }: Project,
  runs: readonly VisibleRun[],
  from: number,
  sources: ReadonlyMap<string, FrameSource>,
  paths: ReadonlyMap<string, string>,
): SoundPart[] {
  const parts: SoundPart[] = [];
  for (const run of runs) {
    const source = sources.get(run.asset.id);
    if (source?.probe.hasAudio !== true) continue;
    const part = {
      path: paths.get(run.asset.id)!,
      sourceStart: source.origin + timeIn(run, 0, fps),
      start: (run.start - from) / fps,
      end: (run.start - from + run.frames) / fps,
    };
    const before = parts.at(-1);
    if (before !== undefined && goesOn(before, part)) parts[parts.length - 1] = { ...before, end: part.end };
    else parts.push(part);
  }
  return parts;
}

/** Whether a part is what the one before it would go on with, as after a clip was split. */
function goesOn(before: SoundPart, part: SoundPart): boolean {
  const near = (a: number, b: number): boolean => Math.abs(a - b) < 1e-4;
  const ends = before.sourceStart + before.end - before.start;
  return before.path === part.path && near(before.end, part.start) && near(ends, part.sourceStart);
}

function nothingThere(message: string): PusaError {
  return new PusaError('NO_SOURCE_AT_ALL', message, 'Put a clip on the timeline, or promote a take to it.');
}

function missing(name: string, thrown: unknown): PusaError {
  return new PusaError(
    'FILE_NOT_FOUND',
    `The file of “${name}” is not in the library’s media folder.`,
    'Relink it: point to the original file or to a folder that holds it.',
    { cause: thrown },
  );
}
