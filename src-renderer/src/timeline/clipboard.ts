import { z } from 'zod';
import { parseBounded } from '../../../src-main/core/contract/parse.ts';
import {
  assetSchema,
  clipSchema,
  markSchema,
  type Mark,
  type Project,
  type Range,
} from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { cellCount, cellOfFrame, firstFrameOf, lastFrameOf } from '../../../src-main/core/timeline/cells.ts';
import { openTrack } from '../../../src-main/core/timeline/tracks.ts';

/** Characters and values of the largest text that is looked at. */
const maxText = 2 ** 20;
const maxValues = 100_000;
const mostClips = 2000;

/**
 * What is copied from a timeline, as text: other windows and projects can paste it. Starts count from the first clip,
 * tracks as they are; marks count from the first frame of the cells that were copied.
 */
const copiedSchema = z.discriminatedUnion('what', [
  z.strictObject({
    pusa: z.literal('timeline'),
    version: z.literal(1),
    what: z.literal('clips'),
    clips: z
      .array(clipSchema.omit({ id: true }))
      .min(1)
      .max(mostClips),
    assets: z.array(assetSchema).min(1).max(mostClips),
  }),
  z.strictObject({
    pusa: z.literal('timeline'),
    version: z.literal(1),
    what: z.literal('cells'),
    /** One list of marks a cell; its frames count from 0. */
    cells: z.array(z.array(markSchema).max(4)).min(1).max(1001),
  }),
]);
export type Copied = z.infer<typeof copiedSchema>;

/** Text for some clips of a project; null when none of them is there. */
export function copyClips(project: Project, clipIds: readonly string[]): string | null {
  const ids = new Set(clipIds);
  const clips = project.clips.filter(({ id }) => ids.has(id)).slice(0, mostClips);
  if (clips.length === 0) return null;
  const start = Math.min(...clips.map((clip) => clip.start));
  const used = new Set(clips.map(({ assetId }) => assetId));
  return write({
    pusa: 'timeline',
    version: 1,
    what: 'clips',
    clips: clips.map(({ assetId, frames, sourceStart, fit, ...clip }) => ({
      assetId,
      frames,
      sourceStart,
      fit,
      start: clip.start - start,
      track: clip.track,
    })),
    assets: project.assets.filter(({ id }) => used.has(id)),
  });
}

/** Text for the marks of some cells of a range, inclusive. */
export function copyCells(range: Pick<Range, 'marks'>, first: number, last: number): string {
  const cells = Array.from({ length: last - first + 1 }, (_, i): Mark[] =>
    range.marks
      .filter(({ frame }) => cellOfFrame(frame) === first + i)
      .map((mark) => ({ ...mark, frame: mark.frame - firstFrameOf(first + i) })),
  );
  return write({ pusa: 'timeline', version: 1, what: 'cells', cells });
}

function write(copied: Copied): string {
  return JSON.stringify(copied);
}

/** What a text from the clipboard holds; null for any other text. */
export function readCopied(text: string): Copied | null {
  if (text.length > maxText || !text.startsWith('{"pusa":"timeline"')) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = parseBounded(copiedSchema, value, maxValues);
  return parsed.ok ? parsed.value : null;
}

/** What pasting does, and the ids of the clips it makes. */
export interface Pasted {
  readonly commands: Command[];
  readonly clipIds: string[];
}

/**
 * Clips put at a frame, on the tracks they were copied from or the next open ones above. Assets the project lacks come
 * with them; one it has with the same bytes is used in their place.
 */
export function pasteClips(
  project: Project,
  copied: Extract<Copied, { what: 'clips' }>,
  at: number,
  newId: () => string,
): Pasted {
  const byHash = new Map(project.assets.map((asset) => [asset.hash, asset.id]));
  const ids = new Set(project.assets.map(({ id }) => id));
  const missing = copied.assets.filter(({ id, hash }) => !byHash.has(hash) && !ids.has(id));
  const idOf = new Map(copied.assets.map(({ id, hash }) => [id, byHash.get(hash) ?? id]));
  const clipIds: string[] = [];
  const commands: Command[] =
    missing.length > 0 ? [{ type: 'addAssets', assets: missing.slice(0, 1000) }] : [];
  for (const clip of copied.clips.slice(0, 999)) {
    const assetId = idOf.get(clip.assetId);
    // Text that names an asset it does not bring.
    if (assetId === undefined) continue;
    const id = newId();
    clipIds.push(id);
    const place = { start: at + clip.start, track: openTrack(clip.track, project) };
    commands.push({ type: 'addClip', clip: { ...clip, ...place, assetId, id } });
  }
  return { commands: clipIds.length > 0 ? commands : [], clipIds };
}

/** Marks put over the cells of a range from `first` on, as many as there are. */
export function pasteCells(
  range: Range,
  copied: Extract<Copied, { what: 'cells' }>,
  first: number,
): Command[] {
  const last = Math.min(cellCount(range.frames) - 1, first + copied.cells.length - 1);
  const marks = range.marks.filter(({ frame }) => {
    const cell = cellOfFrame(frame);
    return cell < first || cell > last;
  });
  for (let cell = first; cell <= last; cell++) {
    const from = firstFrameOf(cell);
    const taken = new Set<number>();
    for (const mark of copied.cells[cell - first]!) {
      const frame = from + mark.frame;
      if (frame > lastFrameOf(cell) || taken.has(frame)) continue;
      taken.add(frame);
      marks.push({ ...mark, frame });
    }
  }
  return [{ type: 'setMarks', rangeId: range.id, marks: marks.sort((a, b) => a.frame - b.frame) }];
}
