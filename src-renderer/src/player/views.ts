import { paintContent, type Content, type Paints } from './paint.ts';
import type { Player } from './player.svelte.ts';
import type { Rect, Size } from './rect.ts';

/**
 * Source and result as the view of the session lays them: one of them, both beside each other, or the result over a
 * part or a share of the source.
 * @param frame of the project
 * @param places where the frame lies on the canvas; `second` is the result's beside the source
 */
export function paintViews(
  context: CanvasRenderingContext2D,
  player: Player,
  frame: Size,
  places: { readonly first: Rect; readonly second: Rect },
  paints: Paints,
): void {
  const { view } = player.session;
  const place = places.first;
  // Whoever enlarges by hand looks at pixels.
  const isSmooth = player.zoom.scale === null || player.zoom.scale < 2;
  const paint = (content: Content, at: Rect): void =>
    paintContent(context, content, frame, at, paints, isSmooth);
  if (view === 'source') {
    paint(player.source(), place);
    return;
  }
  if (view === 'result') {
    const result = player.result();
    paint(result.kind === 'none' ? player.source() : result, place);
    return;
  }
  paint(player.source(), place);
  if (view === 'side') {
    paint(player.result(), places.second);
    return;
  }
  const result = player.result();
  context.save();
  if (view === 'onion') context.globalAlpha = result.kind === 'none' ? 0 : player.onion;
  else {
    const left = place.x + place.width * player.wipe;
    context.beginPath();
    context.rect(left, place.y, place.x + place.width - left, place.height);
    context.clip();
  }
  paint(result, place);
  context.restore();
}
