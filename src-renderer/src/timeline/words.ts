import type { Range } from '../../../src-main/core/contract/project.ts';
import type { TakeSummary } from '../../../src-main/core/contract/records.ts';
import type { PusaError } from '../../../src-main/core/errors.ts';
import { cellCount, firstFrameOf, lastFrameOf } from '../../../src-main/core/timeline/cells.ts';
import type { CellMark } from '../../../src-main/core/timeline/marks.ts';
import { currentLanguage, t, type Language } from '../i18n/index.svelte.ts';
import { errorText } from '../inspector/messages.ts';
import type { Words } from './draw/content.ts';
import type { Hit } from './hit.ts';
import { coverageOf } from './marks-edit.ts';
import type { Scene, WorkedRange } from './scene.ts';

/** What a cell's mark is called, with its m. */
export function kindText(mark: CellMark): string {
  if (mark.kind !== 'interpolated') return t(`timeline.kind.${mark.kind}`);
  const m = mark.m.toFixed(2);
  return t(mark.automatic ? 'timeline.kind.automatic' : 'timeline.kind.interpolated', { m });
}

/** The frames of a cell, counted from the range's first. */
export function framesText(cell: number): string {
  const from = firstFrameOf(cell);
  const to = lastFrameOf(cell);
  return from === to ? t('timeline.tip.frame', { frame: from }) : t('timeline.tip.frames', { from, to });
}

/** "cell 3 · frames 9–12 · fixed" */
export function cellText(cell: number, mark: CellMark): string {
  return t('timeline.tip.cell', { cell, frames: framesText(cell), kind: kindText(mark) });
}

/** The beginning of a range's prompt, or that it has none. */
export function rangeName(range: Range): string {
  const prompt = range.prompt.trim().replace(/\s+/g, ' ');
  if (prompt !== '') return prompt.length > 80 ? `${prompt.slice(0, 80)}…` : prompt;
  return range.preset === null ? t('timeline.untitledRange') : t(`inspector.preset.${range.preset}`);
}

function rangeTitle(range: Range): string {
  return t('timeline.rangeTitle', {
    name: rangeName(range),
    frames: range.frames,
    cells: cellCount(range.frames),
  });
}

let known: { readonly language: Language; readonly words: Words } | null = null;

/** The texts that are drawn on the canvas, in the language of the window; the same object until that changes. */
export function drawnWords(): Words {
  const language = currentLanguage();
  if (known?.language !== language) known = { language, words: makeWords() };
  return known.words;
}

function makeWords(): Words {
  const titles = new WeakMap<Range, string>();
  return {
    fixed: t('timeline.kind.fixed'),
    noisy: t('timeline.kind.noisy'),
    emptyTrack: t('timeline.emptyTrack'),
    emptyLane: t('timeline.emptyLane'),
    frames: (frames) => t('timeline.frames', { frames }),
    generate: (frames) => t('timeline.generate', { frames }),
    rangeTitle: (range) => {
      const title = titles.get(range) ?? rangeTitle(range);
      titles.set(range, title);
      return title;
    },
    error: failedText,
  };
}

/** What happened and what to do, in the language of the window. */
function failedText({ code, message, remedy }: PusaError): string {
  const told = errorText(code, message, remedy);
  return [told.message, told.remedy].filter((part) => part !== null && part !== '').join(' ');
}

/**
 * "Take 3 · seed 1204117 · ★★★★"
 * @param size of the project: a take of another, as a draft, tells its own
 */
export function takeText(
  take: TakeSummary,
  number: number,
  seed: number | undefined,
  size: { readonly width: number; readonly height: number },
): string {
  return [
    t('timeline.take', { number: String(number).padStart(2, '0') }),
    seed === undefined ? null : t('timeline.seed', { seed }),
    take.width === size.width && take.height === size.height ? null : `${take.width}×${take.height}`,
    take.rating > 0 ? '★'.repeat(take.rating) : null,
    take.partial ? t('timeline.partial') : null,
  ]
    .filter((part) => part !== null)
    .join(' · ');
}

/** What is said of what lies under the pointer: a line, and more below it. */
export interface Tip {
  readonly title: string;
  readonly more: string | null;
}

export function tipOf(
  hit: Hit,
  scene: Scene,
  worked: (range: Range) => WorkedRange,
  label: (takeId: string) => string | null,
): Tip | null {
  switch (hit.on) {
    case 'cell': {
      const range = scene.ranges.get(hit.rangeId);
      if (range === undefined) return null;
      const { cells, coverage, plan } = worked(range);
      const mark = cells[hit.cell];
      if (mark === undefined) return null;
      const covered = coverageOf(coverage, hit.cell);
      const isBlend = plan?.plan.cells[hit.cell]?.source.from === 'blend';
      const isWrong = mark.kind === 'fixed' && covered === 'none';
      const more = isWrong
        ? t('timeline.tip.wrong')
        : isBlend
          ? t('timeline.tip.blend')
          : t(`timeline.tip.covered.${covered}`);
      return { title: cellText(hit.cell, mark), more };
    }
    case 'plan': {
      const range = scene.ranges.get(hit.rangeId);
      const plan = range && worked(range).plan?.plan;
      const timestep = plan?.timesteps[hit.step]?.[hit.cell];
      if (plan === undefined || timestep === undefined) return null;
      const { steps } = plan;
      const isStill = plan.sigmaSteps[hit.step]?.[hit.cell] === 0;
      return {
        title: t('timeline.tip.plan', {
          step: hit.step + 1,
          steps,
          cell: hit.cell,
          timestep: Math.round(timestep * 10) / 10,
        }),
        more: isStill ? t('timeline.tip.still') : `σ ${plan.sigmas[hit.step]!.toFixed(4)}`,
      };
    }
    case 'clip': {
      const clip = scene.tracks[hit.track]?.clips.find(({ id }) => id === hit.clipId);
      const asset = clip && scene.assets.get(clip.assetId);
      if (clip === undefined || asset === undefined || hit.part !== 'body') return null;
      const isOther = asset.fps > 0 && Math.abs(asset.fps / scene.project.fps - 1) > 0.002;
      return {
        title: t('timeline.tip.clip', { name: asset.name, frames: clip.frames, start: clip.start }),
        more: isOther
          ? t('timeline.tip.rate', { from: Math.round(asset.fps * 100) / 100, to: scene.project.fps })
          : null,
      };
    }
    case 'range': {
      const range = scene.ranges.get(hit.rangeId);
      const error = range && worked(range).error;
      if (range === undefined) return null;
      return { title: rangeTitle(range), more: error ? failedText(error) : null };
    }
    case 'take': {
      if (hit.part !== 'body') return { title: t(`timeline.tip.${hit.part}`), more: null };
      const title = label(hit.takeId);
      return title === null ? null : { title, more: null };
    }
    default:
      return null;
  }
}
