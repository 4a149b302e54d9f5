import type { Clip } from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { boundMove, duplicateClips, slipTo, trimBounds } from './edits.ts';
import {
  nothingYet,
  reach,
  signed,
  snapped,
  type Gesture,
  type GestureContext,
  type Pointer,
  type Selected,
} from './gesture.ts';
import type { Hit } from './hit.ts';
import { rulerHeight, trackNear } from './layout.ts';
import { cellGesture, drawRange, moveRange, resizeRange } from './range-gestures.ts';
import { snap, snapMove } from './snap.ts';
import { xToFrame } from './view.ts';

/** Pixels the pointer must move before a press becomes a drag. */
export const dragThreshold = 3;

/** The drag that begins with a press; null where a press does nothing but select. */
export function startGesture(hit: Hit, press: Pointer, context: GestureContext): Gesture | null {
  switch (hit.on) {
    case 'ruler':
      return scrub(context);
    case 'marker':
      return dragMarker(hit.markerId, context);
    case 'bound':
      return dragBound(hit.bound, context);
    case 'clip': {
      const clip = context.scene.tracks[hit.track]?.clips.find(({ id }) => id === hit.clipId);
      if (clip === undefined || context.closed.has(hit.track)) return null;
      if (hit.part !== 'body') return trim(clip, hit.part, press, context);
      return press.alt ? slip(clip, press, context) : moveClips(clip, press, context);
    }
    case 'range': {
      const range = context.scene.ranges.get(hit.rangeId);
      if (range === undefined) return null;
      if (hit.part === 'body') return moveRange(range, press, context);
      return resizeRange(range, hit.part, press, context);
    }
    case 'cell':
      return cellGesture(hit, press, context);
    case 'lane':
      return drawRange(press, context);
    case 'take':
      return hit.part === 'body' ? promoteTake(hit.takeId, context) : null;
    case 'track':
    case 'nothing':
      return rubberBand(press, context);
    case 'plan':
      return null;
  }
}

function scrub(context: GestureContext): Gesture {
  return {
    cursor: 'ew-resize',
    immediate: true,
    follows: 'x',
    update: ({ x, shift }) => {
      const at = xToFrame(context.view, x);
      // Scrubbing snaps only where asked, so that every frame can be reached.
      const frame = shift && context.lines ? snap(at, context.lines, reach(context)).frame : Math.floor(at);
      return { ...nothingYet, playhead: Math.max(0, frame) };
    },
  };
}

function dragMarker(id: string, context: GestureContext): Gesture {
  const markers = context.project.markers ?? [];
  const from = markers.find((marker) => marker.id === id)?.frame;
  const own = new Set(from === undefined ? [] : [from]);
  return {
    cursor: 'ew-resize',
    immediate: false,
    follows: 'x',
    update: ({ x, shift }) => {
      const { frame, line } = snapped(context, xToFrame(context.view, x), shift, own);
      const moved = markers.map((marker) => (marker.id === id ? { ...marker, frame } : marker));
      return {
        commands: frame === from ? [] : [{ type: 'setMarkers', markers: moved }],
        label: 'timeline.edit.marker',
        line,
        readout: String(frame),
      };
    },
  };
}

function dragBound(bound: 'in' | 'out', context: GestureContext): Gesture {
  return {
    cursor: 'ew-resize',
    immediate: false,
    follows: 'x',
    update: ({ x, shift }) => {
      const { frame: border, line } = snapped(context, xToFrame(context.view, x), shift);
      const frame = bound === 'in' ? border : Math.max(0, border - 1);
      return { ...nothingYet, line, readout: String(frame), bound: { bound, frame } };
    },
  };
}

/** Moves what is selected, or copies it while Ctrl is held. Shift lets go of the snapping. */
function moveClips(clip: Clip, press: Pointer, context: GestureContext): Gesture {
  const { project, view, layout, scrollY, closed } = context;
  const ids = new Set(context.selected.clipIds.includes(clip.id) ? context.selected.clipIds : [clip.id]);
  const clips = project.clips.filter(({ id, track }) => ids.has(id) && !closed.has(track));
  const clipIds = clips.map(({ id }) => id);
  const places = [...new Set(clips.flatMap(({ start, frames }) => [start, start + frames]))].slice(0, 200);
  const own = new Set(places);
  const grabbed = xToFrame(view, press.x);
  const copyIds = clips.map(() => context.newId());
  return {
    cursor: 'grabbing',
    immediate: false,
    follows: 'xy',
    update: (pointer) => {
      const wanted = xToFrame(view, pointer.x) - grabbed;
      const { by, line } =
        context.lines === null || pointer.shift
          ? { by: Math.round(wanted), line: null }
          : snapMove(places, wanted, context.lines, reach(context), own);
      const to = trackNear(layout, pointer.y - rulerHeight + scrollY);
      const above = pointer.y - rulerHeight + scrollY < 0 ? 1 : 0;
      const bounded = boundMove(clips, by, to + above - clip.track);
      const isClosedThere = clips.some(({ track }) => closed.has(track + bounded.byTracks));
      const { byFrames } = bounded;
      const byTracks = isClosedThere ? 0 : bounded.byTracks;
      const readout = `${signed(byFrames)} · ${clip.start + byFrames}`;
      const isStill = byFrames === 0 && byTracks === 0;
      if (pointer.mod && !isStill) {
        let next = 0;
        const copies = duplicateClips(project, clipIds, byFrames, byTracks, () => copyIds[next++]!);
        const selected = { clipIds: copies.clipIds, cells: null };
        return { commands: copies.commands, label: 'timeline.edit.copy', line, readout, selected };
      }
      const commands: Command[] = isStill ? [] : [{ type: 'moveClips', clipIds, byFrames, byTracks }];
      return { commands, label: 'timeline.edit.move', line: isStill ? null : line, readout };
    },
  };
}

function trim(clip: Clip, edge: 'start' | 'end', press: Pointer, context: GestureContext): Gesture {
  const { view, project, scene } = context;
  const from = edge === 'start' ? clip.start : clip.start + clip.frames;
  const grabbed = xToFrame(view, press.x) - from;
  const [least, most] = trimBounds(clip, scene.assets.get(clip.assetId), project.fps)[edge];
  const own = new Set([from]);
  return {
    cursor: 'ew-resize',
    immediate: false,
    follows: 'x',
    update: ({ x, shift }) => {
      const { frame, line } = snapped(context, xToFrame(view, x) - grabbed, shift, own);
      const to = Math.min(most, Math.max(least, frame));
      const frames = edge === 'start' ? clip.start + clip.frames - to : to - clip.start;
      return {
        commands: to === from ? [] : [{ type: 'trimClip', clipId: clip.id, edge, to }],
        label: 'timeline.edit.trim',
        line: to === frame ? line : null,
        readout: `${signed(to - from)} · ${frames} f`,
      };
    },
  };
}

function slip(clip: Clip, press: Pointer, { view, project, scene }: GestureContext): Gesture {
  const asset = scene.assets.get(clip.assetId);
  return {
    cursor: 'ew-resize',
    immediate: false,
    update: ({ x }) => {
      // The pictures follow the pointer: to the right shows earlier ones.
      const by = -Math.round((x - press.x) / view.scale);
      const sourceStart = slipTo(clip, asset, by, project.fps);
      const isStill = sourceStart === null || sourceStart === clip.sourceStart;
      return {
        commands: isStill ? [] : [{ type: 'slipClip', clipId: clip.id, sourceStart }],
        label: 'timeline.edit.slip',
        line: null,
        readout: sourceStart === null ? null : `${sourceStart.toFixed(2)} s`,
      };
    },
  };
}

/** Selects the clips a band touches; with Shift or Ctrl beside what was selected. */
function rubberBand(press: Pointer, { scene, layout, view, scrollY, selected }: GestureContext): Gesture {
  const rowY = (y: number): number => y - rulerHeight + scrollY;
  return {
    cursor: 'default',
    immediate: false,
    follows: 'xy',
    update: ({ x, y, shift, mod }) => {
      const band = {
        from: xToFrame(view, Math.min(press.x, x)),
        to: xToFrame(view, Math.max(press.x, x)),
        top: rowY(Math.min(press.y, y)),
        bottom: rowY(Math.max(press.y, y)),
      };
      const ids = new Set(shift || mod ? selected.clipIds : []);
      for (const row of layout.rows) {
        if (row.kind !== 'track' || row.y > band.bottom || row.y + row.height < band.top) continue;
        const touched = scene.tracks[row.track]?.query(Math.floor(band.from), Math.ceil(band.to)) ?? [];
        for (const clip of touched) ids.add(clip.id);
      }
      return { ...nothingYet, band, selected: { clipIds: [...ids], cells: null } };
    },
  };
}

function promoteTake(takeId: string, context: GestureContext): Gesture {
  return {
    cursor: 'grabbing',
    immediate: false,
    follows: 'y',
    update: ({ y }) => {
      const inRows = y - rulerHeight + context.scrollY;
      const isOverTrack = context.layout.rows.some(
        (row) => row.kind === 'track' && inRows >= row.y - row.height && inRows <= row.y + row.height,
      );
      const track = trackNear(context.layout, inRows);
      if (!isOverTrack || context.closed.has(track)) return nothingYet;
      return { ...nothingYet, promote: { takeId, track } };
    },
  };
}

/** What a press on something selects at once, before it is known whether it becomes a drag. */
export function selectOnPress(hit: Hit, { shift, mod }: Pointer, selected: Selected): Selected {
  if (hit.on === 'clip') {
    const isSelected = selected.clipIds.includes(hit.clipId);
    if (shift || mod) {
      const others = selected.clipIds.filter((id) => id !== hit.clipId);
      // Ctrl on one of several is also how copying begins: it goes only on release.
      if (isSelected) return mod ? selected : { clipIds: others, cells: null };
      return { clipIds: [...others, hit.clipId], cells: null };
    }
    return isSelected ? selected : { clipIds: [hit.clipId], cells: null };
  }
  const keeps = hit.on === 'ruler' || hit.on === 'cell' || hit.on === 'marker' || hit.on === 'bound';
  return keeps || shift || mod ? selected : { clipIds: [], cells: null };
}

/** What a press without a drag leaves selected. */
export function selectOnClick(
  hit: Hit,
  { shift, mod }: Pointer,
  before: Selected,
  selected: Selected,
): Selected {
  if (hit.on !== 'clip' || shift) return selected;
  if (mod) {
    return before.clipIds.includes(hit.clipId)
      ? { clipIds: selected.clipIds.filter((id) => id !== hit.clipId), cells: null }
      : selected;
  }
  return { clipIds: [hit.clipId], cells: null };
}
