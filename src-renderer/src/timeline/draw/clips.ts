import type { Asset, Clip } from '../../../../src-main/core/contract/project.ts';
import { inset, type Row } from '../layout.ts';
import { frameToX, visibleFrames, type View } from '../view.ts';
import type { TrackIndex } from '../scene.ts';
import { filmInterval, type Pictures } from './pictures.ts';
import { cover, roundRect, type Pen } from './shapes.ts';
import { ellipsis, setFont } from './text.ts';

export interface ClipScene {
  readonly view: View;
  readonly fps: number;
  readonly assets: ReadonlyMap<string, Asset>;
  readonly selected: ReadonlySet<string>;
  readonly promoted: ReadonlySet<string>;
  readonly pictures: Pictures;
  /** Words after the name of a clip. */
  readonly framesText: (frames: number) => string;
}

/** From this width on a clip has pictures, and from the next its name. */
const pictureWidth = 14;
const nameWidth = 30;
const labelHeight = 17;
/** More clips than this on one track are too narrow for pictures. */
const mostPictured = 64;
/** Rates closer than this share are taken as one, as the pre-flight does. */
const rateTolerance = 0.002;

/** The clips of one track that are seen. `top` is the row's place on the canvas. */
export function drawTrack(
  tools: Pen,
  scene: ClipScene,
  track: TrackIndex,
  row: Row,
  top: number,
  isLocked: boolean,
): void {
  const { first, last } = visibleFrames(scene.view);
  const clips = track.query(first, last + 1);
  const y = top + inset;
  const height = row.height - 2 * inset;
  // From afar hundreds of clips are a few pixels each: plain boxes, in one path per colour.
  if (clips.length > mostPictured) {
    drawMany(tools, scene, clips, y, height);
    return;
  }
  // Round corners on pictures cost more than the pictures: many clips are cut square, which hardly shows.
  const isRound = clips.length <= 24;
  for (const clip of clips) drawClip(tools, scene, clip, y, height, isLocked, isRound);
}

function kindOf(scene: ClipScene, clip: Clip): 'image' | 'video' | 'sequence' | 'take' {
  return scene.promoted.has(clip.id) ? 'take' : (scene.assets.get(clip.assetId)?.kind ?? 'video');
}

function drawMany(
  { pen, palette }: Pen,
  scene: ClipScene,
  clips: readonly Clip[],
  y: number,
  height: number,
): void {
  const { view } = scene;
  for (const kind of ['image', 'video', 'sequence', 'take'] as const) {
    pen.fillStyle = palette.clip[kind];
    pen.beginPath();
    for (const clip of clips) {
      if (kindOf(scene, clip) !== kind) continue;
      const width = clip.frames * view.scale;
      // Whole pixels: nothing to smooth.
      const left = Math.round(frameToX(view, clip.start));
      pen.rect(
        left,
        y,
        Math.max(1, Math.round(frameToX(view, clip.start) + width) - left - (width > 3 ? 1 : 0)),
        height,
      );
    }
    pen.globalAlpha = 0.75;
    pen.fill();
    pen.globalAlpha = 1;
  }
  if (scene.selected.size === 0) return;
  pen.fillStyle = palette.accent;
  pen.beginPath();
  for (const clip of clips) {
    if (!scene.selected.has(clip.id)) continue;
    pen.rect(frameToX(view, clip.start), y, Math.max(2, clip.frames * view.scale - 1), height);
  }
  pen.fill();
}

function drawClip(
  { pen, palette, stripes }: Pen,
  scene: ClipScene,
  clip: Clip,
  y: number,
  height: number,
  isLocked: boolean,
  isRound: boolean,
): void {
  const { view } = scene;
  const x = frameToX(view, clip.start);
  const width = Math.max(2, clip.frames * view.scale - 1);
  const asset = scene.assets.get(clip.assetId);
  const isSelected = scene.selected.has(clip.id);
  const colour = palette.clip[kindOf(scene, clip)];
  // What lies outside the canvas is not drawn: a clip of an hour is a million pixels wide at one frame's zoom.
  const left = Math.max(x, -8);
  const right = Math.min(x + width, view.width + 8);
  // Where there are many, only wide ones have room for more than their colour.
  const named = isRound ? nameWidth : 2 * nameWidth;
  const radius = !isRound ? 0 : width > 10 ? 5 : 2;

  pen.save();
  if (isRound) roundRect(pen, left, y, right - left, height, radius);
  else {
    pen.beginPath();
    pen.rect(left, y, right - left, height);
  }
  pen.fillStyle = colour;
  if (width < pictureWidth) {
    pen.globalAlpha = 0.8;
    pen.fill();
    pen.restore();
  } else {
    pen.clip();
    pen.globalAlpha = 0.28;
    pen.fillRect(left, y, right - left, height);
    pen.globalAlpha = 1;
    if (asset !== undefined) drawFilm(pen, scene, clip, asset, left, right, y, height);
    if (width >= named) {
      pen.fillStyle = 'rgb(10 12 16 / 62%)';
      pen.fillRect(left, y + height - labelHeight, right - left, labelHeight);
    }
    pen.fillStyle = colour;
    pen.fillRect(left, y, right - left, 2.5);
    if (width >= named) drawName(pen, palette, scene, clip, asset, left, right, y + height - 5);
    if (isLocked) {
      pen.fillStyle = stripes;
      pen.fillRect(left, y, right - left, height);
    }
    pen.restore();
  }
  if (isSelected) {
    roundRect(pen, left + 0.75, y + 0.75, right - left - 1.5, height - 1.5, radius);
    pen.strokeStyle = palette.accent;
    pen.lineWidth = 2;
    pen.stroke();
    if (width > 24) {
      pen.fillStyle = palette.accent;
      for (const edge of [x + 3.5, x + width - 5.5]) {
        roundRect(pen, edge, y + height / 2 - 8, 2, 16, 1);
        pen.fill();
      }
    }
  } else {
    roundRect(pen, left + 0.5, y + 0.5, right - left - 1, height - 1, radius);
    pen.strokeStyle = 'rgb(0 0 0 / 35%)';
    pen.lineWidth = 1;
    pen.stroke();
  }
}

function drawFilm(
  pen: CanvasRenderingContext2D,
  { view, fps, pictures }: ClipScene,
  clip: Clip,
  asset: Asset,
  left: number,
  right: number,
  y: number,
  height: number,
): void {
  const x = frameToX(view, clip.start);
  const aspect = Math.min(4, Math.max(0.25, asset.width / asset.height));
  const width = height * aspect;
  if (asset.kind === 'image') {
    const piece = pictures.still(asset);
    if (piece === null) return;
    const end = Math.min(right, x + clip.frames * view.scale);
    for (let at = x + Math.max(0, Math.floor((left - x) / width)) * width; at < end; at += width) {
      cover(pen, piece, at, y, width, height);
    }
    return;
  }
  const pixelsPerSecond = view.scale * fps;
  const every = filmInterval(width, pixelsPerSecond, asset.fps);
  const step = every * pixelsPerSecond;
  // Pictures stand at fixed moments of the source, so that they stay put while an edge is trimmed.
  const origin = x - clip.sourceStart * pixelsPerSecond;
  for (let slot = Math.max(0, Math.floor((left - origin) / step)); ; slot++) {
    const at = origin + slot * step;
    if (at >= right) break;
    const piece = pictures.film(asset, Math.min(slot * every, asset.duration - every / 2), every);
    if (piece !== null) cover(pen, piece, at, y, step + 0.5, height);
  }
}

function drawName(
  pen: CanvasRenderingContext2D,
  palette: Pen['palette'],
  { fps, framesText }: ClipScene,
  clip: Clip,
  asset: Asset | undefined,
  left: number,
  right: number,
  baseline: number,
): void {
  let from = Math.max(left, 0) + 7;
  const isOtherRate =
    asset !== undefined &&
    asset.fps > 0 &&
    Math.abs(asset.fps / fps - 1) > rateTolerance &&
    right - from > 46;
  if (isOtherRate) {
    pen.fillStyle = palette.playhead;
    pen.beginPath();
    pen.arc(from + 3, baseline - 3.5, 3, 0, 2 * Math.PI);
    pen.fill();
    from += 11;
  }
  setFont(pen, palette, 11, 550);
  pen.fillStyle = '#f3f5f9';
  pen.fillText(ellipsis(pen, asset?.name ?? '', right - from - 6), from, baseline);
  const rate = isOtherRate ? ` · ${Math.round(asset.fps * 100) / 100} fps` : '';
  const text = `${framesText(clip.frames)}${rate}`;
  setFont(pen, palette, 10.5);
  const name = asset?.name ?? '';
  const needed = name.length * 6.4 + text.length * 5.6 + 30;
  if (right - from > needed) {
    pen.fillStyle = 'rgb(243 245 249 / 72%)';
    pen.textAlign = 'right';
    pen.fillText(text, right - 8, baseline);
    pen.textAlign = 'left';
  }
}
