import type { Input } from '../../../src-main/core/contract/api.ts';
import type { Export } from '../../../src-main/core/contract/api/takes.ts';
import type { Project, Range } from '../../../src-main/core/contract/project.ts';
import { timelineEnd } from '../../../src-main/core/timeline/tracks.ts';
import { boundStretch, type Bounds } from '../state/bounds.ts';

export const formats = ['mp4', 'webm', 'gif', 'frames'] as const;
export type Format = (typeof formats)[number];
/** Formats that come as one file: what a browser can receive. */
export type StreamFormat = Input<'exports.toStream'>['format'];

export type What = 'timeline' | 'range' | 'take';

export interface ExportForm {
  readonly what: What;
  /** Of the timeline; the frame `to` is not part of it. */
  readonly from: number;
  readonly to: number;
  readonly format: Format;
  readonly audio: boolean;
}

/** The frames the dialog begins with, `to` exclusive: from in to out where one is set, else those of the range. */
export function stretchOf(
  bounds: Bounds,
  range: Pick<Range, 'start' | 'frames'> | null,
  end: number,
): { readonly from: number; readonly to: number; readonly isChosen: boolean } {
  const isChosen = bounds.in !== null || bounds.out !== null;
  if (!isChosen && range !== null) return { from: range.start, to: range.start + range.frames, isChosen };
  const { first, last } = boundStretch(bounds, end);
  return { from: first, to: last + 1, isChosen };
}

/** Whether a format can hold sound. */
export function hasSound(format: Format): boolean {
  return format === 'mp4' || format === 'webm';
}

/** What the form asks of the studio; null while it asks for nothing. */
export function exportOf(form: ExportForm, project: Project | null, takeId: string | null): Export | null {
  if (form.what === 'take') return takeId === null ? null : { what: 'take', takeId };
  if (project === null || timelineEnd(project) === 0) return null;
  const audio = form.audio && hasSound(form.format);
  if (form.what === 'timeline') return { what: 'timeline', projectId: project.id, audio };
  if (form.to <= form.from) return null;
  return { what: 'timeline', projectId: project.id, from: form.from, to: form.to, audio };
}
