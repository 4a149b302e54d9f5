import type { Asset, Clip, Marker } from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { toPusaError } from '../../../src-main/core/errors.ts';
import { cellCount, firstFrameOf, lastFrameOf } from '../../../src-main/core/timeline/cells.ts';
import { openTrack } from '../../../src-main/core/timeline/tracks.ts';
import { t } from '../i18n/index.svelte.ts';
import { deleteTake, promoteTake } from '../library/take-actions.ts';
import { assetOf } from '../state/drag.svelte.ts';
import { copyCells, copyClips, pasteCells, pasteClips, readCopied } from './clipboard.ts';
import {
  boundMove,
  clipsToSplit,
  dropAssets,
  duplicateClips,
  extentOf,
  insertionFrame,
  rangeAt,
  rangeDefaults,
  rangeOver,
  rippleDelete,
  slipTo,
  splitAt,
  transitionBetween,
  trimTo,
  type DropPlace,
} from './edits.ts';
import type { Brush } from './gesture.ts';
import type { Hit } from './hit.ts';
import { trackNear, rulerHeight } from './layout.ts';
import { snap, snapPixels } from './snap.ts';
import { newId, type TimelineState } from './state.svelte.ts';
import { xToFrame } from './view.ts';

/** Colours that markers take in turn. */
const markerColours = 5;

/** What keys, menus and buttons do to a timeline. Every edit is one step to undo. */
export class TimelineActs {
  readonly #state: TimelineState;
  /** What was copied here, for where the system's clipboard cannot be read. */
  #copied: string | null = null;

  constructor(state: TimelineState) {
    this.#state = state;
  }

  get canPaste(): boolean {
    return this.#copied !== null;
  }

  #clips(): Clip[] {
    const { session, selected, closed } = this.#state;
    return (session.project?.clips ?? []).filter(({ id, track }) => selected.has(id) && !closed.has(track));
  }

  // Clips

  /** Clips that the playhead goes through: selected ones, else all on open tracks. */
  #clipsAtPlayhead(): Clip[] {
    const { scene, session, closed, selection } = this.#state;
    return scene === null ? [] : clipsToSplit(scene, session.playhead, selection.clipIds, closed);
  }

  split(): void {
    const { playhead } = this.#state.session;
    void this.#state.edit(t('timeline.edit.split'), splitAt(this.#clipsAtPlayhead(), playhead, newId));
  }

  /** Cuts off what lies before the playhead, or from it on. */
  trim(edge: 'start' | 'end'): void {
    const { playhead } = this.#state.session;
    void this.#state.edit(t('timeline.edit.trim'), trimTo(this.#clipsAtPlayhead(), edge, playhead));
  }

  /** Shows other pictures of the source in the same place. */
  slip(byFrames: number): void {
    const { scene, fps } = this.#state;
    const commands = this.#clips().flatMap((clip): Command[] => {
      const sourceStart = slipTo(clip, scene?.assets.get(clip.assetId), byFrames, fps);
      if (sourceStart === null || sourceStart === clip.sourceStart) return [];
      return [{ type: 'slipClip', clipId: clip.id, sourceStart }];
    });
    void this.#state.edit(t('timeline.edit.slip'), commands);
  }

  remove(): void {
    const { session, selection, current } = this.#state;
    const clipIds = this.#clips().map(({ id }) => id);
    if (clipIds.length > 0) {
      void this.#state.edit(t('timeline.edit.delete'), [{ type: 'removeClips', clipIds }]);
      session.selection = { clipIds: [], cells: null };
      return;
    }
    if (selection.cells !== null && current !== null) {
      const cells = { rangeId: current.id, ...selection.cells };
      void this.#state.edit(t('timeline.edit.clear'), [{ type: 'clearCells', ...cells }]);
    }
  }

  rippleRemove(): void {
    const { session } = this.#state;
    const clipIds = this.#clips().map(({ id }) => id);
    if (session.project === null || clipIds.length === 0) return;
    void this.#state.edit(t('timeline.edit.ripple'), rippleDelete(session.project, clipIds));
    session.selection = { clipIds: [], cells: null };
  }

  duplicate(): void {
    const { session } = this.#state;
    const clipIds = this.#clips().map(({ id }) => id);
    const extent = session.project && extentOf(session.project, clipIds);
    if (session.project === null || extent === null) return;
    const copies = duplicateClips(session.project, clipIds, extent.to - extent.from, 0, newId);
    void this.#state.edit(t('timeline.edit.duplicate'), copies.commands);
    session.selection = { clipIds: copies.clipIds, cells: null };
  }

  /** Moves the selected clips, else the current range. */
  nudge(byFrames: number, byTracks = 0): void {
    const { current, closed } = this.#state;
    const clips = this.#clips();
    if (this.#state.selected.size === 0 && current !== null && byTracks === 0) {
      const start = Math.max(0, current.start + byFrames);
      if (start === current.start) return;
      const commands: Command[] = [{ type: 'moveRange', rangeId: current.id, start }];
      void this.#state.edit(t('timeline.edit.moveRange'), commands);
      return;
    }
    const bounded = boundMove(clips, byFrames, byTracks);
    if (clips.length === 0 || (bounded.byFrames === 0 && bounded.byTracks === 0)) return;
    if (clips.some(({ track }) => closed.has(track + bounded.byTracks))) return;
    const clipIds = clips.map(({ id }) => id);
    void this.#state.edit(t('timeline.edit.move'), [{ type: 'moveClips', clipIds, ...bounded }]);
  }

  setFit(fit: Clip['fit']): void {
    const clipIds = this.#clips().map(({ id }) => id);
    if (clipIds.length > 0) void this.#state.edit(t('timeline.edit.fit'), [{ type: 'setFit', clipIds, fit }]);
  }

  selectAll(): void {
    const { project } = this.#state.session;
    if (project === null) return;
    const { closed } = this.#state;
    const clipIds = project.clips.filter(({ track }) => !closed.has(track)).map(({ id }) => id);
    this.#state.select({ clipIds, cells: null });
  }

  // Clipboard

  /** The text to copy; null when nothing is selected. */
  copy(): string | null {
    const { session, selection, current } = this.#state;
    if (session.project === null) return null;
    const text =
      selection.clipIds.length > 0
        ? copyClips(session.project, selection.clipIds)
        : selection.cells !== null && current !== null
          ? copyCells(current, selection.cells.first, selection.cells.last)
          : null;
    if (text !== null) this.#copied = text;
    return text;
  }

  /** @returns whether the text was something of a timeline */
  paste(text: string | null): boolean {
    const { session, current, selection } = this.#state;
    const copied = readCopied(text ?? this.#copied ?? '');
    if (copied === null || session.project === null) return false;
    if (copied.what === 'clips') {
      const at = insertionFrame(session.project, session.playhead);
      const pasted = pasteClips(session.project, copied, at, newId);
      void this.#state.edit(t('timeline.edit.paste'), pasted.commands);
      session.selection = { clipIds: pasted.clipIds, cells: null };
    } else if (current !== null) {
      const first = selection.cells?.first ?? this.#state.playheadCell ?? 0;
      void this.#state.edit(t('timeline.edit.paste'), pasteCells(current, copied, first));
    }
    return true;
  }

  // Cells

  /** Paints the selected cells, else the one under the pointer, else the one under the playhead. */
  paint(kind: Brush): void {
    const { selection, current, hover, playheadCell } = this.#state;
    const hovered = hover?.on === 'cell' ? hover : null;
    if (selection.cells === null && hovered !== null && hovered.rangeId !== current?.id) {
      this.#state.session.showRange(hovered.rangeId);
      this.#paintCells(hovered.rangeId, hovered.cell, hovered.cell, kind);
      return;
    }
    if (current === null) return;
    const cell = hovered?.cell ?? playheadCell;
    const cells = selection.cells ?? (cell === null ? null : { first: cell, last: cell });
    if (cells !== null) this.#paintCells(current.id, cells.first, cells.last, kind);
  }

  #paintCells(rangeId: string, first: number, last: number, kind: Brush): void {
    void this.#state.edit(t('timeline.edit.paint'), [
      { type: 'paintCells', rangeId, first, last, kind, m: null },
    ]);
  }

  /** Changes m of the interpolated cells that are selected. */
  nudgeM(by: number): void {
    const { selection, current, currentWork, playheadCell } = this.#state;
    const first = selection.cells?.first ?? playheadCell;
    const last = selection.cells?.last ?? playheadCell;
    const mark = first === null ? undefined : currentWork?.cells[first];
    if (current === null || first === null || last === null || mark?.kind !== 'interpolated') return;
    const m = Math.round(Math.min(0.99, Math.max(0.01, mark.m + by)) * 100) / 100;
    void this.#state.edit(t('timeline.edit.m'), [{ type: 'setM', rangeId: current.id, first, last, m }]);
  }

  autoM(): void {
    const { selection, current } = this.#state;
    if (current === null) return;
    const cells = selection.cells ?? { first: 0, last: cellCount(current.frames) - 1 };
    void this.#state.edit(t('timeline.edit.autoM'), [
      { type: 'setM', rangeId: current.id, ...cells, m: null },
    ]);
  }

  /** The next cell, or the one before, is selected; with `grow` beside those that are. */
  stepCell(by: number, grow: boolean): void {
    const { current, selection, playheadCell } = this.#state;
    if (current === null) return;
    const most = cellCount(current.frames) - 1;
    const now = selection.cells ?? { first: playheadCell ?? 0, last: playheadCell ?? 0 };
    const to = Math.min(most, Math.max(0, (by > 0 ? now.last : now.first) + by));
    const cells = grow
      ? { first: Math.min(now.first, to), last: Math.max(now.last, to) }
      : { first: to, last: to };
    this.#state.select({ clipIds: [], cells });
    this.#state.goTo(current.start + firstFrameOf(to));
  }

  // Ranges

  /** Over in and out, between two selected clips, over one, or at the playhead. */
  newRange(at: number | null = null): void {
    const { session } = this.#state;
    const { in: from, out } = session.bounds;
    if (session.project === null) return;
    const defaults = rangeDefaults(this.#state.session.model, newId());
    const clips = this.#clips().sort((a, b) => a.start - b.start);
    const [first, second] = clips;
    if (at === null && from !== null && out !== null) {
      this.#addRange(rangeOver(from, out + 1, defaults), defaults.id);
    } else if (at === null && clips.length === 2 && first !== undefined && second !== undefined) {
      this.transition(first.id, second.id);
    } else if (at === null && clips.length > 2) {
      const extent = extentOf(
        session.project,
        clips.map(({ id }) => id),
      )!;
      this.#addRange(rangeOver(extent.from, extent.to, defaults), defaults.id);
    } else {
      this.#addRange(rangeAt(at ?? first?.start ?? session.playhead, defaults), defaults.id);
    }
  }

  transition(firstId: string, secondId: string): void {
    const { project } = this.#state.session;
    if (project === null) return;
    const defaults = rangeDefaults(this.#state.session.model, newId());
    this.#addRange(transitionBetween(project, firstId, secondId, defaults), defaults.id);
  }

  #addRange(commands: ReturnType<typeof rangeAt>, id: string): void {
    void this.#state.edit(t('timeline.edit.addRange'), commands);
    this.#state.session.showRange(id);
    this.#state.session.selection = { clipIds: [], cells: null };
  }

  duplicateRange(rangeId: string): void {
    const range = this.#state.scene?.ranges.get(rangeId);
    if (range === undefined) return;
    const id = newId();
    const start = range.start + range.frames;
    void this.#state.edit(t('timeline.edit.duplicateRange'), [
      { type: 'duplicateRange', rangeId, newId: id, start },
    ]);
    this.#state.session.showRange(id);
  }

  removeRange(rangeId: string): void {
    void this.#state.edit(t('timeline.edit.removeRange'), [{ type: 'removeRange', rangeId }]);
  }

  clearMarks(rangeId: string): void {
    void this.#state.edit(t('timeline.edit.clear'), [{ type: 'setMarks', rangeId, marks: [] }]);
  }

  // Takes

  async promote(takeId: string, track: number | null = null): Promise<void> {
    const { session } = this.#state;
    if (!(await promoteTake(session, { id: takeId }, track))) return;
    session.takeId = takeId;
    this.#state.announcement = t('timeline.promoted');
  }

  async deleteTake(takeId: string): Promise<void> {
    const { session, takes } = this.#state;
    const take = takes.find(({ id }) => id === takeId);
    if (take !== undefined) await deleteTake(session, take);
  }

  async rate(takeId: string, rating: number): Promise<void> {
    const { session } = this.#state;
    try {
      await session.client.api.takes.rate({ takeId, rating });
    } catch (thrown) {
      session.fail(toPusaError(thrown));
    }
  }

  showTake(takeId: string): void {
    this.#state.session.takeId = takeId;
    this.#state.session.view = 'result';
  }

  // Markers

  toggleMarker(): void {
    const { playhead } = this.#state.session;
    const there = this.#state.markers.find(({ frame }) => frame === playhead);
    if (there === undefined) this.addMarker(playhead);
    else this.removeMarker(there.id);
  }

  addMarker(frame: number): void {
    const { markers } = this.#state;
    if (markers.some((each) => each.frame === frame)) return;
    this.#setMarkers([...markers, { id: newId(), frame, colour: markers.length % markerColours }]);
  }

  removeMarker(id: string): void {
    this.#setMarkers(this.#state.markers.filter((each) => each.id !== id));
  }

  clearMarkers(): void {
    this.#setMarkers([]);
  }

  #setMarkers(markers: readonly Marker[]): void {
    void this.#state.edit(t('timeline.edit.marker'), [{ type: 'setMarkers', markers: [...markers] }]);
  }

  // Dropping

  /** Where something dropped at a place of the canvas lands: on a cell, or at a frame of a track. */
  dropPlace(x: number, y: number): DropPlace {
    const { scene, view, layout, scrollY, stored, session } = this.#state;
    const tracks = session.project ?? {};
    const hit = this.#state.hit(x, y);
    const range = hit.on === 'cell' ? scene?.ranges.get(hit.rangeId) : undefined;
    if (hit.on === 'cell' && range !== undefined) {
      const first = firstFrameOf(hit.cell);
      const frames = lastFrameOf(hit.cell) - first + 1;
      return { start: range.start + first, track: openTrack(0, tracks), frames };
    }
    const track = openTrack(trackNear(layout, y - rulerHeight + scrollY), tracks);
    // The first of all begins at the beginning, wherever it is let go.
    if (scene?.length === 0) return { start: 0, track };
    const wanted = Math.max(0, xToFrame(view, x));
    if (scene === null || !stored.snapping) return { start: Math.round(wanted), track };
    return { start: snap(wanted, this.#state.snapLines(scene), snapPixels / view.scale).frame, track };
  }

  /** Puts assets on the timeline. The first picture of a project without ranges brings one, so that cells are there. */
  drop(assets: readonly Asset[], place: DropPlace): void {
    const { session } = this.#state;
    if (session.project === null || assets.length === 0) return;
    const dropped = dropAssets(session.project, assets.map(assetOf), place, newId);
    const commands = [...dropped.commands];
    const isFirst = session.project.ranges.length === 0 && session.project.clips.length === 0;
    if (isFirst && assets[0]?.kind === 'image') {
      const defaults = rangeDefaults(this.#state.session.model, newId());
      commands.push(...rangeAt(place.start, defaults));
      void this.#state.edit(t('timeline.edit.drop'), commands);
      this.#state.session.showRange(defaults.id);
    } else void this.#state.edit(t('timeline.edit.drop'), commands);
    session.selection = { clipIds: dropped.clipIds, cells: null };
  }

  /** Plain double click: into what was pointed at. */
  open(hit: Hit): void {
    const { session, scene } = this.#state;
    if (hit.on === 'range' || hit.on === 'cell') this.#state.session.showRange(hit.rangeId);
    if (hit.on === 'clip') {
      const clip = scene?.tracks[hit.track]?.clips.find(({ id }) => id === hit.clipId);
      if (clip !== undefined) this.#state.goTo(clip.start);
      session.view = 'source';
    }
    if (hit.on === 'take') this.showTake(hit.takeId);
    if (hit.on === 'lane') this.newRange(hit.frame);
  }
}
