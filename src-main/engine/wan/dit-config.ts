/** Sizes of a Wan diffusion transformer (spec §1.1). The patch is 1×2×2 and RoPE's θ 10000 in all of them. */
export interface DitConfig {
  readonly dim: number;
  readonly ffnDim: number;
  readonly heads: number;
  readonly layers: number;
  /** Latent channels in and out. */
  readonly inDim: number;
  readonly outDim: number;
  /** Width of the sinusoidal time features. */
  readonly freqDim: number;
  readonly textDim: number;
  /** Rows of text attended to, the padding included. */
  readonly textLength: number;
  /** Of every norm. */
  readonly eps: number;
}

/** Height and width of a patch in latent units. */
export const patch = 2;
