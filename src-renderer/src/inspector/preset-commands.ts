import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { Asset, Clip, PresetId, Project, Range } from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { defaultFrames, newRange, type RecommendedSampler } from '../../../src-main/core/presets/defaults.ts';
import { applyPreset } from '../../../src-main/core/presets/presets.ts';
import { coverRange } from '../../../src-main/core/timeline/coverage.ts';
import { clipsInSight } from '../../../src-main/core/timeline/tracks.ts';
import { placeFor, type Missing, type Placement } from './preset-places.ts';

/** What choosing a preset does: one step to undo, and the range to show afterwards. */
export interface PresetEdit {
  readonly commands: Command[];
  readonly rangeId: string;
  /** What has to be put on the timeline before it can be generated; null: nothing. */
  readonly missing: Missing | null;
}

export interface PresetWish {
  readonly project: Project;
  /** The range that is shown now. */
  readonly range: Range | null;
  readonly preset: PresetId;
  /** Frame under the playhead. */
  readonly playhead: number;
  /** Clips that are selected: those are meant, where there are any. */
  readonly clipIds?: readonly string[];
  readonly model: Pick<Model, 'recommended' | 'native'> | null;
  /** Id of the range where a new one is needed. */
  readonly newRangeId: string;
}

/** What a preset takes from a model: everything it recommends for sampling. */
export function recommendedOf(model: Pick<Model, 'recommended'> | null): RecommendedSampler {
  if (model === null) return {};
  const { solver, steps, cfg, shift, loraStrength } = model.recommended;
  return { solver, steps, cfg, shift, loraStrength };
}

/**
 * The commands of a preset. The range that is shown is used as it lies where it has the sources the task needs, and
 * is not left behind by a selected clip or the playhead. Otherwise the clips meant are sought, and the range is put
 * where the task wants it: moved when it lies over them anyway, or made new. Published lengths: 9 + 12 frames kept in
 * a transition, 13 in an extension (spec §3.3), fewer where the model's own length is short.
 * @throws PusaError PRESET_INVALID, EDIT_INVALID where the timeline has no room
 */
export function presetCommands(wish: PresetWish): PresetEdit {
  const { project, range, preset, model } = wish;
  const recommended = recommendedOf(model);
  const setPreset = (rangeId: string): Command => ({ type: 'setPreset', rangeId, preset, recommended });
  if (range !== null && range.frames > 1 && isMeant(wish, range) && suits(project, range, preset)) {
    return { commands: [setPreset(range.id)], rangeId: range.id, missing: null };
  }
  const length = lengthFor(range, model);
  const place = placeFor(wish, length);
  if (range !== null && canMove(range, place)) {
    return {
      commands: [...place.commands, ...moved(range, place), setPreset(range.id)],
      rangeId: range.id,
      missing: place.missing,
    };
  }
  const made = newRange({ id: wish.newRangeId, start: place.start, frames: place.frames, recommended });
  const negativePrompt = model?.recommended.negativePrompt ?? made.negativePrompt;
  // A new range goes on with the words and the seed of the one before: they are rarely meant to change.
  const added: Range = {
    ...made,
    negativePrompt,
    model: range?.model ?? null,
    sampler: { ...made.sampler, seed: range?.sampler.seed ?? made.sampler.seed },
  };
  return {
    commands: [...place.commands, { type: 'addRange', range: added }, setPreset(added.id)],
    rangeId: added.id,
    missing: place.missing,
  };
}

/** Whether a range has what a task needs where it lies. */
export function suits(project: Project, range: Range, preset: PresetId): boolean {
  const shown = clipsUnder(project, range);
  if ((preset === 'transition' || preset === 'start-end') && shown.length < 2) return false;
  if (preset === 'keyframes' && shown.filter(({ asset }) => asset.kind === 'image').length < 2) return false;
  // Clips that touch have no way between them yet: room for it has to be made.
  if (preset === 'transition' && coverRange(project, range).every((seen) => seen !== null)) return false;
  // A clip as long as the range leaves nothing of it to go on from.
  if (preset === 'extend' && shown[0] !== undefined && endOf(shown[0].clip) >= range.start + range.frames) {
    return false;
  }
  try {
    return applyPreset(preset, project, range).missing === null;
  } catch {
    return false;
  }
}

/** Whether the person means the range that is shown: nothing selected and no playhead outside it over another clip. */
function isMeant({ project, playhead, clipIds = [], preset }: PresetWish, range: Range): boolean {
  if (preset === 'text-to-video') return true;
  const touches = ({ start, frames }: Pick<Clip, 'start' | 'frames'>): boolean =>
    start < range.start + range.frames && start + frames > range.start;
  const selected = project.clips.filter(({ id }) => clipIds.includes(id));
  if (selected.length > 0) return selected.every(touches);
  const inside = playhead >= range.start && playhead < range.start + range.frames;
  if (inside) return true;
  return !clipsInSight(project).some(
    (clip) => clip.start <= playhead && playhead < endOf(clip) && !touches(clip),
  );
}

/** A range is moved when it lies where the new place is, or when nothing was done with it yet. */
function canMove(range: Range, { start, frames }: Placement): boolean {
  const untouched = range.prompt.trim() === '' && range.marks.length === 0;
  return untouched || (start < range.start + range.frames && start + frames > range.start);
}

function moved(range: Range, { start, frames, commands }: Placement): Command[] {
  // What the placement shifts may include this range.
  const stays = range.start === start && !commands.some(({ type }) => type === 'moveRange');
  return [
    ...(stays ? [] : [{ type: 'moveRange', rangeId: range.id, start } as const]),
    ...(range.frames === frames ? [] : [{ type: 'resizeRange', rangeId: range.id, frames } as const]),
  ];
}

/** The length a task may take: the one a person gave the range, else the model's own. */
function lengthFor(range: Range | null, model: Pick<Model, 'native'> | null): number {
  const native = model?.native.frames ?? defaultFrames;
  return Math.max(5, range !== null && range.frames > 1 ? range.frames : native);
}

function clipsUnder(project: Project, range: Range): { clip: Clip; asset: Asset }[] {
  return clipsInSight(project)
    .filter((clip) => clip.start < range.start + range.frames && endOf(clip) > range.start)
    .sort((a, b) => a.start - b.start)
    .flatMap((clip) => {
      const asset = project.assets.find(({ id }) => id === clip.assetId);
      return asset === undefined ? [] : [{ clip, asset }];
    });
}

function endOf({ start, frames }: Pick<Clip, 'start' | 'frames'>): number {
  return start + frames;
}
