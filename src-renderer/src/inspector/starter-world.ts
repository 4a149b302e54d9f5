import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { Project, Range } from '../../../src-main/core/contract/project.ts';
import type { SourcePlan } from '../../../src-main/core/timeline/sources.ts';

/**
 * The bundled starter model was trained on one small world of drawn scenes (build/starter-model/data.py); whatever is
 * not of it comes out as mush. What is said about it here is known from those scenes, not measured.
 */

const english = new Set(
  (
    'a an the and is in of it its to from ball cube star red gold golden green blue purple white slides sliding left ' +
    'right bounces bouncing up down falls falling grows growing bigger shrinks shrinking smaller turns turning stays ' +
    'still front wall on meadow warm floor'
  ).split(' '),
);
/** Longer ones first: one may begin with another. */
const chinese =
  /在蓝墙前|在草地上|在暖色地板上|从左向右滑动|从右向左滑动|上下弹跳|静止不动|方块|星星|落下|变大|变小|变成|红色|金色|绿色|蓝色|紫色|白色|一个|球|的/gu;
const most = 5;

/** What of a range lies outside of the starter model's world. */
export interface Outside {
  /** Words of the prompt, at most five. */
  readonly words: readonly string[];
  /** Names of pictures and clips, at most five. */
  readonly sources: readonly string[];
}

/** Words of a prompt that the starter model has never seen, in their order, each once. */
export function unknownWords(prompt: string): string[] {
  const words = prompt
    .toLowerCase()
    .replace(chinese, ' ')
    .match(/\p{Script=Han}+|[\p{L}\p{M}]+(?:['’-][\p{L}\p{M}]+)*/gu);
  return [...new Set(words ?? [])].filter((word) => !english.has(word));
}

/**
 * What of a range the starter model cannot know; null for other models, and where nothing is outside. Its scenes have
 * one size: a picture of another cannot be one of them.
 */
export function outsideStarterWorld(
  model: Pick<Model, 'bundled' | 'native'> | null,
  project: Pick<Project, 'assets' | 'clips'>,
  range: Pick<Range, 'prompt'>,
  sources: SourcePlan | null,
): Outside | null {
  if (model?.bundled !== true) return null;
  const { width, height } = model.native;
  const shown = new Set(sources?.passes.flatMap(({ frames }) => frames.map(({ clipId }) => clipId)));
  const assetIds = new Set(project.clips.filter(({ id }) => shown.has(id)).map(({ assetId }) => assetId));
  const foreign = project.assets.filter(
    (asset) => assetIds.has(asset.id) && (asset.width !== width || asset.height !== height),
  );
  const outside = {
    words: unknownWords(range.prompt).slice(0, most),
    sources: foreign.map(({ name }) => name).slice(0, most),
  };
  return outside.words.length === 0 && outside.sources.length === 0 ? null : outside;
}
