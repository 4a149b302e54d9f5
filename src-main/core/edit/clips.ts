import { clipSchema, type Clip, type Project } from '../contract/project.ts';
import type { Command } from './commands.ts';
import { addRecords, checked, editInvalid, find, limits, reorder, replaceRecord } from './records.ts';

/** Commands that change clips. */
export type ClipCommand = Extract<
  Command,
  {
    type:
      | 'addClip'
      | 'moveClips'
      | 'trimClip'
      | 'splitClip'
      | 'slipClip'
      | 'setFit'
      | 'removeClips'
      | 'reorderClip';
  }
>;

/**
 * The clips of a project after a command.
 * @throws PusaError EDIT_INVALID
 */
export function editClips(project: Project, command: ClipCommand): Clip[] {
  const { clips } = project;
  switch (command.type) {
    case 'addClip': {
      find(project.assets, command.clip.assetId, 'asset');
      return addRecords(clips, [valid(command.clip)], limits.clips);
    }
    case 'moveClips':
      return changeMany(clips, command.clipIds, (clip) => ({
        ...clip,
        start: clip.start + command.byFrames,
        track: clip.track + command.byTracks,
      }));
    case 'trimClip':
      return replaceRecord(clips, valid(trim(project, command.clipId, command.edge, command.to)));
    case 'splitClip':
      return split(project, command.clipId, command.at, command.newId);
    case 'slipClip': {
      const clip = find(clips, command.clipId, 'clip');
      return replaceRecord(clips, valid({ ...clip, sourceStart: command.sourceStart }));
    }
    case 'setFit':
      return changeMany(clips, command.clipIds, (clip) => ({ ...clip, fit: command.fit }));
    case 'removeClips': {
      const ids = idsOf(clips, command.clipIds);
      return clips.filter(({ id }) => !ids.has(id));
    }
    case 'reorderClip':
      return reorder(clips, command.clipId, command.before, 'clip');
  }
}

function trim(project: Project, clipId: string, edge: 'start' | 'end', to: number): Clip {
  const clip = find(project.clips, clipId, 'clip');
  const end = clip.start + clip.frames;
  if (edge === 'end') {
    if (to <= clip.start) throw nothingLeft();
    return { ...clip, frames: to - clip.start };
  }
  if (to >= end) throw nothingLeft();
  return { ...laterBy(project, clip, to - clip.start), start: to, frames: end - to };
}

function split(project: Project, clipId: string, at: number, newId: string): Clip[] {
  const clip = find(project.clips, clipId, 'clip');
  const frames = at - clip.start;
  if (frames <= 0 || frames >= clip.frames) {
    throw editInvalid(
      `Frame ${at} does not lie inside the clip.`,
      'Split it between its first frame and its end.',
    );
  }
  const first = valid({ ...clip, frames });
  const second = valid({
    ...laterBy(project, clip, frames),
    id: newId,
    start: at,
    frames: clip.frames - frames,
  });
  addRecords(project.clips, [second], limits.clips);
  // Side by side in the list too.
  return project.clips.flatMap((each) => (each === clip ? [first, second] : [each]));
}

/** The clip with its source begun some frames later, or earlier; a still picture has no time. */
function laterBy(project: Project, clip: Clip, frames: number): Clip {
  if (find(project.assets, clip.assetId, 'asset').kind === 'image') return clip;
  const sourceStart = clip.sourceStart + frames / project.fps;
  // Rounding may fall a hair below the beginning.
  if (sourceStart < -1e-6) {
    throw editInvalid('The source has no earlier frames.', 'Stop at its first one.');
  }
  return { ...clip, sourceStart: Math.max(0, sourceStart) };
}

/** Several clips in one pass. */
function changeMany(clips: readonly Clip[], wanted: readonly string[], change: (clip: Clip) => Clip): Clip[] {
  const ids = idsOf(clips, wanted);
  return clips.map((clip) => (ids.has(clip.id) ? valid(change(clip)) : clip));
}

function idsOf(clips: readonly Clip[], wanted: readonly string[]): Set<string> {
  const there = new Set(clips.map(({ id }) => id));
  for (const id of wanted) if (!there.has(id)) find(clips, id, 'clip');
  return new Set(wanted);
}

function valid(clip: Clip): Clip {
  return checked(clipSchema, clip, 'The clip');
}

function nothingLeft(): Error {
  return editInvalid('Nothing would be left of the clip.', 'Remove it instead.');
}
