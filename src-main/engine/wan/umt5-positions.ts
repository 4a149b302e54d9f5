import type { Tensor } from '../networks.ts';

/**
 * The bucket of a relative position, key − query, seen both ways (spec §5): half of the buckets for either sign, half
 * of those exact and the rest logarithmic up to the largest distance.
 */
export function relativeBucket(relative: number, buckets: number, maxDistance: number): number {
  const side = buckets / 2;
  const exact = side / 2;
  const base = relative > 0 ? side : 0;
  const distance = Math.abs(relative);
  if (distance < exact) return base + distance;
  // In float32, like the reference: at 16, 32 and 64 the logarithm's last bit decides the bucket.
  const share = Math.fround(Math.fround(Math.log(distance / exact)) / Math.log(maxDistance / exact));
  const logarithmic = exact + Math.trunc(Math.fround(share * (side - exact)));
  return base + Math.min(logarithmic, side - 1);
}

/**
 * One-hot buckets of all pairs: multiplied with a layer's table they give its attention bias, in floats and without a
 * gather, which every provider has.
 * @returns [n, n, buckets], by query and key
 */
export function relativeBuckets(n: number, buckets: number, maxDistance: number): Tensor {
  const data = new Float32Array(n * n * buckets);
  for (let query = 0; query < n; query++) {
    for (let key = 0; key < n; key++) {
      data[(query * n + key) * buckets + relativeBucket(key - query, buckets, maxDistance)] = 1;
    }
  }
  return { data, shape: [n, n, buckets] };
}
