/** Sizes of a UMT5 encoder with one relative bias table per layer (spec §5). */
export interface Umt5Config {
  readonly vocabulary: number;
  readonly dim: number;
  /** Of all heads together. */
  readonly attentionDim: number;
  readonly ffnDim: number;
  readonly heads: number;
  readonly layers: number;
  /** Relative positions are put into so many buckets, distances from `maxDistance` on into the last. */
  readonly buckets: number;
  readonly maxDistance: number;
  readonly eps: number;
}
