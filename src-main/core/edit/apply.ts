import {
  assetSchema,
  clipSchema,
  projectSchema,
  markerSchema,
  rangeSchema,
  trackSchema,
  type Asset,
  type Clip,
  type Marker,
  type Project,
} from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { lockedTracks } from '../timeline/tracks.ts';
import { editClips } from './clips.ts';
import type { Command } from './commands.ts';
import { editRanges } from './ranges.ts';
import {
  addRecords,
  checked,
  editInvalid,
  find,
  limits,
  replaceRecord,
  withMarkers,
  withTracks,
} from './records.ts';

/**
 * What a command makes of a project. The project given stays as it is; what the command does not touch is shared with
 * the new one, so that a record that did not change is the same object. `modifiedAt` is the caller's to set.
 *
 * A valid project stays valid (`validateProject`); only what changed is checked, so that a large one costs no more.
 * @throws PusaError EDIT_INVALID (no such record, an id used twice, a place outside the timeline), SIZE_INVALID,
 *   TRACK_LOCKED (a clip of a locked track would change), MARK_INVALID, RANGE_LENGTH, SAMPLER_INVALID, PRESET_INVALID
 */
export function applyCommand(project: Project, command: Command): Project {
  switch (command.type) {
    case 'setName':
      return { ...project, name: checked(projectSchema.shape.name, command.name, 'The name') };
    case 'setSize':
      return setSize(project, command.width, command.height);
    case 'setRate':
      return setRate(project, command.fps);
    case 'setMarkers':
      return setMarkers(project, command.markers, 'The marker');
    case 'addAssets':
    case 'replaceAsset':
    case 'removeAsset':
      return editAssets(project, command);
    case 'addClip':
    case 'moveClips':
    case 'trimClip':
    case 'splitClip':
    case 'slipClip':
    case 'setFit':
    case 'removeClips':
    case 'reorderClip':
      return withClips(project, editClips(project, command));
    case 'setTrack':
      return setTrack(project, command);
    default:
      return { ...project, ranges: editRanges(project, command) };
  }
}

/**
 * Several commands, one after the other; all of them or, when one is refused, none.
 * @throws what {@link applyCommand} does
 */
export function applyCommands(project: Project, commands: readonly Command[]): Project {
  return commands.reduce(applyCommand, project);
}

function setSize(project: Project, width: number, height: number): Project {
  const { width: w, height: h } = projectSchema.shape;
  if (w.safeParse(width).success && h.safeParse(height).success) return { ...project, width, height };
  throw new PusaError(
    'SIZE_INVALID',
    `A picture of ${width}×${height} pixels cannot be generated.`,
    'Use multiples of 16 from 16 to 4096.',
  );
}

function setRate(project: Project, wanted: number): Project {
  const fps = checked(projectSchema.shape.fps, wanted, 'The frame rate');
  const at = (frame: number): number => Math.round((frame / project.fps) * fps);
  const changed = {
    ...project,
    fps,
    // Both ends are rounded alike, so that clips that touch still do.
    clips: project.clips.map((clip) => {
      const start = at(clip.start);
      const frames = Math.max(1, at(clip.start + clip.frames) - start);
      return checked(clipSchema, { ...clip, start, frames }, 'A clip at this rate');
    }),
    ranges: project.ranges.map((range) => ({
      ...range,
      start: checked(rangeSchema.shape.start, at(range.start), 'The start of a range at this rate'),
    })),
  };
  const markers = (project.markers ?? []).map((marker) => ({ ...marker, frame: at(marker.frame) }));
  return setMarkers(changed, markers, 'A marker at this rate');
}

function setMarkers(project: Project, markers: readonly Marker[], subject: string): Project {
  const sound = markers.map((marker) => checked(markerSchema, marker, subject));
  return withMarkers(project, addRecords([], sound, limits.markers));
}

function setTrack(
  project: Project,
  { track, locked, hidden }: Extract<Command, { type: 'setTrack' }>,
): Project {
  const others = (project.tracks ?? []).filter((each) => each.track !== track);
  if (!locked && !hidden) return withTracks(project, others);
  return withTracks(project, [...others, checked(trackSchema, { track, locked, hidden }, 'The track')]);
}

/** @throws PusaError TRACK_LOCKED when the clips of a locked track are not the same ones as before */
function withClips(project: Project, clips: Clip[]): Project {
  for (const track of lockedTracks(project)) {
    const before = project.clips.filter((clip) => clip.track === track);
    const after = clips.filter((clip) => clip.track === track);
    if (before.length === after.length && before.every((clip, index) => clip === after[index])) continue;
    throw new PusaError('TRACK_LOCKED', `Track ${track + 1} is locked.`, 'Unlock it first.');
  }
  return { ...project, clips };
}

type AssetCommand = Extract<Command, { type: 'addAssets' | 'replaceAsset' | 'removeAsset' }>;

function editAssets(project: Project, command: AssetCommand): Project {
  switch (command.type) {
    case 'addAssets':
      return {
        ...project,
        assets: addRecords(
          project.assets,
          command.assets.map((asset) => checked(assetSchema, asset, 'The asset')),
          limits.assets,
        ),
      };
    case 'replaceAsset': {
      const asset: Asset = checked(assetSchema, command.asset, 'The asset');
      find(project.assets, asset.id, 'asset');
      return { ...project, assets: replaceRecord(project.assets, asset) };
    }
    case 'removeAsset': {
      const { name } = find(project.assets, command.assetId, 'asset');
      if (project.clips.some(({ assetId }) => assetId === command.assetId)) {
        throw editInvalid(`"${name}" is on the timeline.`, 'Remove its clips first.');
      }
      return { ...project, assets: project.assets.filter(({ id }) => id !== command.assetId) };
    }
  }
}
