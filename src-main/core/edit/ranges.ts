import { rangeSchema, type Mark, type Project, type Range } from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { applyPreset } from '../presets/presets.ts';
import { requireRangeLength } from '../timeline/cells.ts';
import { clearCells, paintCells, setM, trimMarks, type Paint } from '../timeline/marks.ts';
import type { ClipCommand } from './clips.ts';
import type { Command } from './commands.ts';
import { addRecords, checked, find, limits, reorder, replaceRecord } from './records.ts';

/** Commands that change ranges. */
export type RangeCommand = Exclude<
  Command,
  | ClipCommand
  | {
      type:
        | 'setName'
        | 'setSize'
        | 'setRate'
        | 'setMarkers'
        | 'setTrack'
        | 'addAssets'
        | 'replaceAsset'
        | 'removeAsset';
    }
>;

/** Commands that change one range that is there. */
type ChangeCommand = Exclude<
  RangeCommand,
  { type: 'addRange' | 'duplicateRange' | 'removeRange' | 'reorderRange' }
>;

/**
 * The ranges of a project after a command.
 * @throws PusaError EDIT_INVALID, MARK_INVALID, RANGE_LENGTH, SAMPLER_INVALID, PRESET_INVALID
 */
export function editRanges(project: Project, command: RangeCommand): Range[] {
  const { ranges } = project;
  switch (command.type) {
    case 'addRange': {
      const range = valid(command.range);
      return addRecords(ranges, [{ ...range, marks: checkedMarks(range, range.marks) }], limits.ranges);
    }
    case 'duplicateRange': {
      const range = find(ranges, command.rangeId, 'range');
      const copy = valid({ ...range, id: command.newId, start: command.start });
      return addRecords(ranges, [copy], limits.ranges);
    }
    case 'removeRange':
      find(ranges, command.rangeId, 'range');
      return ranges.filter(({ id }) => id !== command.rangeId);
    case 'reorderRange':
      return reorder(ranges, command.rangeId, command.before, 'range');
    default: {
      const range = find(ranges, command.rangeId, 'range');
      return replaceRecord(ranges, valid(change(project, range, command)));
    }
  }
}

function change(project: Project, range: Range, command: ChangeCommand): Range {
  const { frames, marks } = range;
  switch (command.type) {
    case 'moveRange':
      return { ...range, start: command.start };
    case 'resizeRange':
      return {
        ...range,
        frames: requireRangeLength(command.frames),
        marks: trimMarks(command.frames, marks),
      };
    case 'paintCells':
      return { ...range, marks: paintCells(frames, marks, command.first, command.last, paintOf(command)) };
    case 'setM':
      return { ...range, marks: setM(frames, marks, command.first, command.last, command.m ?? undefined) };
    case 'clearCells':
      return { ...range, marks: clearCells(frames, marks, command.first, command.last) };
    case 'setMarks':
      return { ...range, marks: checkedMarks(range, command.marks) };
    case 'setInterpolation':
      return {
        ...range,
        interpolation: {
          curve: command.interpolation.curve ?? range.interpolation.curve,
          peak: command.interpolation.peak ?? range.interpolation.peak,
        },
      };
    case 'setPrompt':
      return {
        ...range,
        prompt: command.prompt ?? range.prompt,
        negativePrompt: command.negativePrompt ?? range.negativePrompt,
      };
    case 'setSampler': {
      const { solver, steps, cfg, shift, seed, loraStrength } = command.sampler;
      const { sampler } = range;
      return {
        ...range,
        sampler: {
          solver: solver ?? sampler.solver,
          steps: steps ?? sampler.steps,
          cfg: cfg ?? sampler.cfg,
          shift: shift ?? sampler.shift,
          seed: seed ?? sampler.seed,
          loraStrength: loraStrength ?? sampler.loraStrength,
        },
      };
    }
    case 'setModel':
      return { ...range, model: command.model };
    case 'setKeepOriginalPixels':
      return { ...range, keepOriginalPixels: command.keepOriginalPixels };
    case 'setPreset': {
      if (command.preset === null) return { ...range, preset: null };
      const applied = applyPreset(command.preset, project, range, command.recommended);
      return { ...range, preset: applied.preset, marks: applied.marks, sampler: applied.sampler };
    }
  }
}

function paintOf({ kind, m }: Extract<Command, { type: 'paintCells' }>): Paint {
  if (kind !== 'interpolated') return { kind };
  return m === null ? { kind } : { kind, m };
}

/** Marks by frame, each inside the range and no frame marked twice. */
function checkedMarks(range: Pick<Range, 'frames'>, marks: readonly Mark[]): Mark[] {
  const sorted = [...marks].sort((a, b) => a.frame - b.frame);
  for (const [index, { frame }] of sorted.entries()) {
    if (frame >= range.frames) {
      throw new PusaError(
        'MARK_INVALID',
        `A mark stands on frame ${frame}, outside the range with frames 0 to ${range.frames - 1}.`,
        'Remove the mark or make the range longer.',
      );
    }
    if (sorted[index + 1]?.frame === frame) {
      throw new PusaError('MARK_INVALID', `Frame ${frame} is marked twice.`, 'Mark it once.');
    }
  }
  return sorted;
}

function valid(range: Range): Range {
  return checked(rangeSchema, range, 'The range');
}
