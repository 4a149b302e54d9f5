import type { Plan } from '../../../../src-main/core/contract/job.ts';
import { firstFrameOf, lastFrameOf } from '../../../../src-main/core/timeline/cells.ts';
import { inset, type Row } from '../layout.ts';
import type { WorkedRange } from '../scene.ts';
import { frameToX, type View } from '../view.ts';
import type { Words } from './content.ts';
import { heatIndex, type Palette } from './palette.ts';
import { visibleCells } from './ranges.ts';
import { roundRect, type Pen } from './shapes.ts';
import { ellipsis, setFont } from './text.ts';

interface Drawn {
  readonly palette: Palette;
  readonly canvas: OffscreenCanvas;
}

/** One pixel per cell and step, made once per plan and theme. */
const drawn = new WeakMap<Plan, Drawn>();

function heatMap(plan: Plan, palette: Palette): OffscreenCanvas {
  const known = drawn.get(plan);
  if (known?.palette === palette) return known.canvas;
  const canvas = new OffscreenCanvas(plan.cells.length, plan.steps);
  const pen = canvas.getContext('2d')!;
  const image = pen.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let step = 0; step < plan.steps; step++) {
    for (let cell = 0; cell < plan.cells.length; cell++) {
      pixels[step * plan.cells.length + cell] = palette.heat[heatIndex(plan.timesteps[step]![cell]!)]!;
    }
  }
  pen.putImageData(image, 0, 0);
  drawn.set(plan, { palette, canvas });
  return canvas;
}

/**
 * The plan as a heat map: steps down, cells across, the brighter the noisier.
 * @param step steps that are done while a job of this range runs; null otherwise
 */
export function drawPlan(
  { pen, palette }: Pen,
  { view, words }: { readonly view: View; readonly words: Pick<Words, 'error'> },
  { range, plan, error }: WorkedRange,
  row: Row & { readonly kind: 'plan' },
  top: number,
  step: number | null,
): void {
  const x = frameToX(view, range.start);
  const right = frameToX(view, range.start + range.frames);
  const y = top + inset;
  const height = row.height - 2 * inset;
  if (right < 0 || x > view.width) return;
  if (plan === null) {
    setFont(pen, palette, 12);
    pen.fillStyle = palette.bad;
    const from = Math.max(8, x + 8);
    pen.fillText(
      ellipsis(pen, error === null ? '' : words.error(error), view.width - from - 8),
      from,
      y + Math.min(height / 2 + 4, 24),
    );
    return;
  }
  const map = heatMap(plan.plan, palette);
  const steps = plan.plan.steps;
  pen.save();
  roundRect(pen, Math.max(-8, x), y, Math.min(right, view.width + 8) - Math.max(-8, x), height, 4);
  pen.clip();
  pen.imageSmoothingEnabled = false;
  const seen = visibleCells(view, range);
  if (seen !== null) {
    // Cell 0 is a quarter as wide as the others.
    if (seen.first === 0) pen.drawImage(map, 0, 0, 1, steps, x, y, view.scale, height);
    const first = Math.max(1, seen.first);
    if (seen.last >= first) {
      const from = frameToX(view, range.start + firstFrameOf(first));
      const to = frameToX(view, range.start + lastFrameOf(seen.last) + 1);
      pen.drawImage(map, first, 0, seen.last - first + 1, steps, from, y, to - from, height);
    }
    if (!row.folded) {
      pen.fillStyle = palette.well;
      pen.beginPath();
      if (view.scale * 4 > 7) {
        for (let cell = Math.max(1, seen.first); cell <= seen.last; cell++) {
          pen.rect(frameToX(view, range.start + firstFrameOf(cell)) - 0.75, y, 1.5, height);
        }
      }
      if (height / steps > 4) {
        for (let k = 1; k < steps; k++) {
          const at = y + (k / steps) * height;
          pen.rect(Math.max(0, x), at - 0.5, Math.min(right, view.width) - Math.max(0, x), 1);
        }
      }
      pen.fill();
    }
  }
  pen.restore();
  if (step === null) return;
  const at = y + Math.min(1, step / steps) * height;
  const from = Math.max(0, x);
  const to = Math.min(right, view.width);
  pen.fillStyle = palette.well;
  pen.globalAlpha = 0.55;
  pen.fillRect(from, y, to - from, at - y);
  pen.globalAlpha = 1;
  pen.fillStyle = palette.playhead;
  pen.fillRect(from, at - 1, to - from, 2);
  pen.beginPath();
  pen.moveTo(from, at - 5);
  pen.lineTo(from + 7, at);
  pen.lineTo(from, at + 5);
  pen.fill();
}
