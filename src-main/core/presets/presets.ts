import type { Mark, PresetId, Range, Sampler } from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { cellCount, cellOfFrame, firstFrameOf, lastFrameOf, nameFrames } from '../timeline/cells.ts';
import { coverRange, type ClipsOf, type CoveredFrame } from '../timeline/coverage.ts';
import { paintCells } from '../timeline/marks.ts';
import { defaultSampler, withRecommended, type RecommendedSampler } from './defaults.ts';

/** How a preset places its marks; m = 0 means fixed. */
export type PresetRule =
  /** The first cell, and the last where it has an m. */
  | { readonly place: 'ends'; readonly first: number; readonly last: number | null }
  /** The cells a clip at the start covers: `ramp` for the first few, all `whole` when it covers more. */
  | { readonly place: 'start'; readonly ramp: readonly number[]; readonly whole: number }
  /** Cells at both ends, less of them where the range is short. */
  | { readonly place: 'both'; readonly startCells: number; readonly endCells: number; readonly m: number }
  /** One cell for each still picture. */
  | { readonly place: 'pictures'; readonly first: number; readonly others: number }
  /** Every cell with something under it. */
  | { readonly place: 'sourced'; readonly m: number }
  | { readonly place: 'nothing' };

export interface Preset {
  readonly title: string;
  readonly rule: PresetRule;
  /** One sentence: what the marks do. */
  readonly explanation: string;
}

/** The eight tasks with their published values (spec §3.3). They are all the same act with other marks. */
export const presets: Readonly<Record<PresetId, Preset>> = {
  'image-to-video': {
    title: 'Image → video',
    rule: { place: 'ends', first: 0.2, last: null },
    explanation:
      'The first frame stays close to your picture and the rest is generated; set m to 0 to keep it strictly, with less motion.',
  },
  'start-end': {
    title: 'Start–end',
    rule: { place: 'ends', first: 0.2, last: 0.4 },
    explanation:
      'Motion is generated from the first picture to the last; the end has more freedom so that motion does not stiffen.',
  },
  keyframes: {
    title: 'Keyframes',
    rule: { place: 'pictures', first: 0.2, others: 0.4 },
    explanation: 'Every picture on the timeline holds its place and the frames between them are generated.',
  },
  extend: {
    title: 'Extend',
    rule: { place: 'start', ramp: [0, 0.3, 0.4, 0.5], whole: 0 },
    explanation:
      'The clip at the start goes on; its later frames are held more and more loosely, so that no seam shows.',
  },
  transition: {
    title: 'Transition',
    rule: { place: 'both', startCells: 3, endCells: 3, m: 0 },
    explanation:
      'Up to nine frames of the first clip and twelve of the second are kept, and a way between them is generated.',
  },
  complete: {
    title: 'Complete',
    rule: { place: 'ends', first: 0.3, last: 0.3 },
    explanation: 'The first and last frames of the clip are held and everything between them is made anew.',
  },
  restyle: {
    title: 'Restyle',
    rule: { place: 'sourced', m: 0.7 },
    explanation:
      'Every frame keeps the layout of its source and is painted over as the prompt says; a higher m changes more.',
  },
  'text-to-video': {
    title: 'Text → video',
    rule: { place: 'nothing' },
    explanation: 'Everything is generated from the prompt; clips under the range are not used.',
  },
};

/** What choosing a preset changes in a range, and what to tell the person. */
export interface AppliedPreset {
  readonly preset: PresetId;
  readonly marks: Mark[];
  readonly sampler: Sampler;
  readonly explanation: string;
  /** A sentence about what still has to be put on the timeline; null when the range can be generated. */
  readonly missing: string | null;
}

/**
 * Applies a preset: new marks for the whole range, the published sampler values or what the model recommends. The
 * seed stays. Nothing but what is returned changes.
 * @throws RANGE_LENGTH, PROJECT_INVALID; PRESET_INVALID for an unknown preset or a range too short for it
 */
export function applyPreset(
  id: PresetId,
  project: ClipsOf,
  range: Pick<Range, 'start' | 'frames' | 'sampler'>,
  recommended: RecommendedSampler = {},
): AppliedPreset {
  if (!Object.hasOwn(presets, id)) {
    throw new PusaError(
      'PRESET_INVALID',
      'There is no such preset.',
      `Choose one of: ${Object.keys(presets).join(', ')}.`,
    );
  }
  const { rule, explanation, title } = presets[id];
  const coverage = coverRange(project, range);
  const count = cellCount(range.frames);
  if (count === 1 && needsLength(rule)) {
    throw new PusaError(
      'PRESET_INVALID',
      `${title} needs frames to generate beside those it keeps; the range has only one frame.`,
      'Make the range at least 5 frames long.',
    );
  }
  const placed = placeMarks(rule, coverage, count);
  let marks: Mark[] = [];
  for (const { cell, m } of placed) {
    marks = paintCells(
      range.frames,
      marks,
      cell,
      cell,
      m === 0 ? { kind: 'fixed' } : { kind: 'interpolated', m },
    );
  }
  const sampler = withRecommended({ ...defaultSampler, seed: range.sampler.seed }, recommended);
  return {
    preset: id,
    marks,
    // Only Euler knows a timestep per cell.
    sampler: rule.place === 'nothing' ? sampler : { ...sampler, solver: 'euler' },
    explanation,
    missing: missingSources(rule, placed, coverage),
  };
}

interface Placed {
  readonly cell: number;
  readonly m: number;
}

/** Presets that keep the ends and generate the rest have nothing to do in a single cell. */
function needsLength(rule: PresetRule): boolean {
  return rule.place === 'ends' || rule.place === 'start' || rule.place === 'both';
}

function placeMarks(rule: PresetRule, coverage: readonly (CoveredFrame | null)[], count: number): Placed[] {
  switch (rule.place) {
    case 'ends':
      return [{ cell: 0, m: rule.first }, ...(rule.last === null ? [] : [{ cell: count - 1, m: rule.last }])];
    case 'start': {
      const given = coveredFromStart(coverage);
      const rampCells = Math.min(rule.ramp.length, Math.max(1, Math.floor(count / 2)));
      // A clip that fills the range leaves nothing to generate: then only its beginning is kept.
      if (given === 0 || given >= count) return cellsFrom(0, rampCells, (i) => rule.ramp[i]!);
      return cellsFrom(0, given, (i) => (given <= rule.ramp.length ? rule.ramp[i]! : rule.whole));
    }
    case 'both': {
      const most = Math.max(1, Math.floor((count - 1) / 2));
      const endCells = Math.min(rule.endCells, most);
      return [
        ...cellsFrom(0, Math.min(rule.startCells, most), () => rule.m),
        ...cellsFrom(count - endCells, endCells, () => rule.m),
      ];
    }
    case 'pictures':
      return pictureCells(coverage).map((cell, i) => ({ cell, m: i === 0 ? rule.first : rule.others }));
    case 'sourced':
      return cellsFrom(0, count, () => rule.m).filter(({ cell }) => covers(coverage, cell));
    case 'nothing':
      return [];
  }
}

function cellsFrom(first: number, count: number, m: (i: number) => number): Placed[] {
  return Array.from({ length: count }, (_, i) => ({ cell: first + i, m: m(i) }));
}

/** Cells wholly covered from the first on. */
function coveredFromStart(coverage: readonly (CoveredFrame | null)[]): number {
  const gap = coverage.indexOf(null);
  const frames = gap === -1 ? coverage.length : gap;
  return frames === 0 ? 0 : Math.floor((frames - 1) / 4) + 1;
}

/**
 * The cell each still picture stands for: where it first appears, so that motion goes on from there; for one that
 * lasts to the end of the range the last cell, so that motion arrives at it.
 */
function pictureCells(coverage: readonly (CoveredFrame | null)[]): number[] {
  const cells = new Set<number>();
  const end = coverage.length - 1;
  for (let frame = 0; frame <= end; frame++) {
    const seen = coverage[frame];
    if (seen?.time !== null) continue;
    const first = frame;
    while (coverage[frame + 1]?.clipId === seen.clipId) frame++;
    cells.add(cellOfFrame(frame === end && first > 0 ? end : first));
  }
  return [...cells].sort((a, b) => a - b);
}

function covers(coverage: readonly (CoveredFrame | null)[], cell: number): boolean {
  return coverage.slice(firstFrameOf(cell), lastFrameOf(cell) + 1).some((seen) => seen !== null);
}

function missingSources(
  rule: PresetRule,
  placed: readonly Placed[],
  coverage: readonly (CoveredFrame | null)[],
): string | null {
  if (rule.place === 'nothing') return null;
  if (placed.length === 0) {
    return rule.place === 'pictures'
      ? 'Put a picture on the timeline for every frame to hold.'
      : 'Put a clip or picture under the range.';
  }
  const bare = placed.filter(({ cell }) => !covers(coverage, cell));
  if (bare.length === 0) return null;
  return `Put a clip or picture under ${bare.map(({ cell }) => nameFrames(cell)).join(', ')}.`;
}
