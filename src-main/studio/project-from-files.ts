import { randomUUID } from 'node:crypto';
import type { Asset, Clip, Fit, PresetId, Project, Range, Sampler } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { newProject, newRange, type RecommendedSampler } from '../core/presets/defaults.ts';
import { applyPreset } from '../core/presets/presets.ts';
import { firstFrameOf, lastFrameOf } from '../core/timeline/cells.ts';
import { parseMarks } from '../core/timeline/parse-marks.ts';
import { toAsset } from '../media/asset.ts';

/** What a person names on the command line. Paths are theirs; they never enter the project. */
export interface ProjectWish {
  readonly name: string;
  readonly image?: string | undefined;
  readonly video?: string | undefined;
  readonly endImage?: string | undefined;
  readonly endVideo?: string | undefined;
  readonly keyframes: readonly { readonly frame: number; readonly path: string }[];
  readonly fit: Fit;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** 4n+1 */
  readonly frames: number;
  readonly preset?: PresetId | undefined;
  /** Text of {@link parseMarks}; it replaces the preset's marks. */
  readonly marks?: string | undefined;
  readonly prompt: string;
  readonly negativePrompt?: string | undefined;
  readonly sampler: Partial<Sampler>;
  readonly recommended: RecommendedSampler;
}

/** A project made of files, ready to be frozen. */
export interface ProjectOfFiles {
  readonly project: Project;
  readonly range: Range;
  readonly findMedia: (asset: Asset) => Promise<string>;
}

/** Frames of a clip that the published recipes give to an extension (spec §3.3): 4 cells. */
const extensionFrames = 13;
/** Frames that a transition takes from the end of the first clip (3 cells) and the start of the second. */
const transitionFrames = { first: 9, second: 12 } as const;

/** The task that the named files suggest. */
function presetOfFiles(
  wish: Pick<ProjectWish, 'image' | 'video' | 'endImage' | 'endVideo' | 'keyframes'>,
): PresetId {
  if (wish.keyframes.length > 0) return 'keyframes';
  if (wish.video !== undefined) return wish.endVideo === undefined ? 'extend' : 'transition';
  if (wish.image !== undefined) return wish.endImage === undefined ? 'image-to-video' : 'start-end';
  return wish.endImage === undefined && wish.endVideo === undefined ? 'text-to-video' : 'start-end';
}

/**
 * Lays files on a timeline as a task wants them and marks them by its preset.
 * @throws PusaError of the media, the preset or the marks
 */
export async function projectOfFiles(wish: ProjectWish): Promise<ProjectOfFiles> {
  const preset = wish.preset ?? presetOfFiles(wish);
  const paths = new Map<string, string>();
  const assets: Asset[] = [];
  const clips: Clip[] = [];

  const place = async (
    path: string,
    start: number,
    frames: number | ((available: number) => number),
    take: 'head' | 'tail' = 'head',
  ): Promise<number> => {
    const asset = await toAsset(path, `asset-${assets.length + 1}`);
    const available =
      asset.kind === 'image' ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(asset.duration * wish.fps));
    const count = Math.min(typeof frames === 'number' ? frames : frames(available), available, wish.frames);
    assets.push(asset);
    paths.set(asset.id, path);
    clips.push({
      id: `clip-${clips.length + 1}`,
      assetId: asset.id,
      track: clips.length,
      start,
      frames: count,
      sourceStart: take === 'tail' ? Math.max(0, asset.duration - count / wish.fps) : 0,
      fit: wish.fit,
    });
    return count;
  };

  const lastCell = (wish.frames - 1) / 4;
  if (wish.image !== undefined) await place(wish.image, 0, 1);
  if (wish.video !== undefined) {
    if (preset === 'extend') await place(wish.video, 0, extensionFrames, 'tail');
    else if (preset === 'transition') await place(wish.video, 0, transitionFrames.first, 'tail');
    else await place(wish.video, 0, wish.frames);
  }
  if (wish.endImage !== undefined) {
    // A still fills its whole cell: the last four frames.
    const first = firstFrameOf(lastCell);
    await place(wish.endImage, first, lastFrameOf(lastCell) - first + 1);
  }
  if (wish.endVideo !== undefined) {
    const count = await place(wish.endVideo, 0, transitionFrames.second);
    const clip = clips.at(-1)!;
    clips[clips.length - 1] = { ...clip, start: Math.max(0, wish.frames - count) };
  }
  for (const { frame, path } of wish.keyframes) {
    if (frame >= wish.frames) {
      throw new PusaError(
        'MARK_INVALID',
        `The keyframe at frame ${frame} lies outside the ${wish.frames} frames.`,
        'Choose an earlier frame or a longer range.',
      );
    }
    await place(path, frame, 1);
  }

  const base = newProject({
    id: randomUUID(),
    name: wish.name,
    now: new Date().toISOString(),
    width: wish.width,
    height: wish.height,
    fps: wish.fps,
  });
  const project = { ...base, assets, clips };
  const empty = newRange({ id: 'range-1', frames: wish.frames, recommended: wish.recommended });
  const applied = applyPreset(preset, project, empty, wish.recommended);
  if (applied.missing !== null && wish.marks === undefined) {
    throw new PusaError(
      'NO_SOURCE_AT_ALL',
      applied.missing,
      'Name the files it needs, or choose another preset.',
    );
  }
  const range: Range = {
    ...empty,
    preset,
    marks: wish.marks === undefined ? applied.marks : parseMarks(wish.marks, wish.frames),
    sampler: { ...applied.sampler, ...wish.sampler },
    prompt: wish.prompt,
    negativePrompt: wish.negativePrompt ?? empty.negativePrompt,
  };
  return {
    project: { ...project, ranges: [range] },
    range,
    findMedia: (asset) => Promise.resolve(paths.get(asset.id) ?? ''),
  };
}
