import type { Project } from '../../../../src-main/core/contract/project.ts';
import { rulerHeight } from '../layout.ts';
import { frameToX, ticks, tickStep, timecode, type View } from '../view.ts';
import type { Pen } from './shapes.ts';
import { setFont } from './text.ts';

export interface RulerLook {
  readonly view: View;
  readonly fps: Project['fps'];
  readonly markers: readonly { readonly id: string; readonly frame: number; readonly colour: number }[];
  readonly bounds: { readonly in: number | null; readonly out: number | null };
}

/** Frames and timecode, markers, in and out. */
export function drawRuler({ pen, palette }: Pen, { view, fps, markers, bounds }: RulerLook): void {
  pen.fillStyle = palette.panel;
  pen.fillRect(0, 0, view.width, rulerHeight);
  if (bounds.in !== null || bounds.out !== null) {
    const from = bounds.in === null ? 0 : Math.max(0, frameToX(view, bounds.in));
    const to = bounds.out === null ? view.width : Math.min(view.width, frameToX(view, bounds.out + 1));
    pen.fillStyle = palette.accent;
    pen.globalAlpha = 0.16;
    pen.fillRect(from, 0, to - from, rulerHeight);
    pen.globalAlpha = 1;
    for (const [at, way] of [
      [bounds.in, 1],
      [bounds.out === null ? null : bounds.out + 1, -1],
    ] as const) {
      if (at === null) continue;
      const x = frameToX(view, at);
      pen.fillStyle = palette.accent;
      pen.fillRect(x - 1, 0, 2, rulerHeight);
      pen.fillRect(Math.min(x, x + way * 6), 0, 6, 2.5);
      pen.fillRect(Math.min(x, x + way * 6), rulerHeight - 2.5, 6, 2.5);
    }
  }
  const step = tickStep(view.scale, fps);
  const seen = ticks(view, step);
  pen.fillStyle = palette.lineStrong;
  pen.beginPath();
  for (const { frame, isMajor } of seen) {
    const height = isMajor ? 13 : 5;
    pen.rect(Math.round(frameToX(view, frame)), rulerHeight - height, 1, height);
  }
  pen.fill();
  // One font after the other: changing it for every label costs more than writing them.
  const labelled = seen.filter(({ isMajor }) => isMajor);
  const write = (text: (frame: number) => string, y: number): void => {
    for (const { frame } of labelled) pen.fillText(text(frame), Math.round(frameToX(view, frame)) + 5, y);
  };
  setFont(pen, palette, 11, 550);
  pen.fillStyle = palette.text2;
  write(String, 13);
  setFont(pen, palette, 9.5);
  pen.fillStyle = palette.muted;
  write((frame) => timecode(frame, fps), 24);
  for (const { frame, colour } of markers) {
    const x = frameToX(view, frame);
    if (x < -8 || x > view.width + 8) continue;
    pen.fillStyle = [palette.playhead, palette.accent, palette.interpolated, palette.fixed, palette.bad][
      colour % 5
    ]!;
    pen.beginPath();
    pen.moveTo(x - 5, rulerHeight - 13);
    pen.lineTo(x + 5, rulerHeight - 13);
    pen.lineTo(x + 5, rulerHeight - 7);
    pen.lineTo(x, rulerHeight - 1);
    pen.lineTo(x - 5, rulerHeight - 7);
    pen.fill();
  }
  pen.fillStyle = palette.line;
  pen.fillRect(0, rulerHeight - 1, view.width, 1);
}
