import { PusaError } from '../errors.ts';

/**
 * Refuses a size that a model has no latents for.
 * @param multiple both sides must be multiples of it, in pixels: the autoencoder's stride times the patch of two latents
 * @throws PusaError MODEL_CANNOT naming the nearest size
 */
export function checkSize(width: number, height: number, multiple: number): void {
  if (width % multiple === 0 && height % multiple === 0) return;
  throw new PusaError(
    'MODEL_CANNOT',
    `The model makes sizes whose sides are multiples of ${multiple}; ${width}×${height} is none.`,
    `Choose ${nearest(width, multiple)}×${nearest(height, multiple)}, or another model.`,
  );
}

function nearest(side: number, multiple: number): number {
  return Math.max(1, Math.round(side / multiple)) * multiple;
}
