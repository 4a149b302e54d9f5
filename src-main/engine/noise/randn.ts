import { Mt19937 } from './mt19937.ts';

/** From this many elements on PyTorch fills a tensor in groups of 16 instead of drawing one number at a time. */
const group = 16;
const fround = Math.fround;
const twoPi = fround(2 * Math.PI);

/**
 * Normal numbers as `torch.randn(n, generator=torch.Generator('cpu').manual_seed(seed))` gives them in float32,
 * so that a run can be compared with the reference scripts. Fewer than 16 elements are equal bit by bit; from 16
 * on PyTorch's vectorised logarithm and sine leave a difference of at most 1e-6.
 *
 * A generator goes on where its last call ended, like PyTorch's.
 */
export class NormalGenerator {
  private readonly random: Mt19937;
  /** The second number of the last Box–Muller pair of a call for fewer than 16 elements. */
  private spare: number | null = null;

  /** @param seed 0 … 2³²−1 */
  constructor(seed: number) {
    this.random = new Mt19937(seed);
  }

  /** @returns `length` numbers from N(0, 1), in the row-major order of the tensor they fill */
  randn(length: number): Float32Array {
    const out = new Float32Array(length);
    if (length < group) {
      for (let i = 0; i < length; i++) out[i] = this.single();
      return out;
    }
    for (let i = 0; i < length; i++) out[i] = this.uniform24();
    for (let i = 0; i + group <= length; i += group) boxMuller16(out, i);
    if (length % group !== 0) {
      // The last 16 are drawn anew, over numbers that may be finished already.
      const tail = length - group;
      for (let i = tail; i < length; i++) out[i] = this.uniform24();
      boxMuller16(out, tail);
    }
    return out;
  }

  /** Uniform in [0, 1) with 24 bits. */
  private uniform24(): number {
    return (this.random.uint32() & 0xff_ffff) / 2 ** 24;
  }

  /** Uniform in [0, 1) with 53 bits: the low 53 of two draws, the first being the high half. */
  private uniform53(): number {
    const high = this.random.uint32() & 0x1f_ffff;
    return (high * 2 ** 32 + this.random.uint32()) / 2 ** 53;
  }

  /** One number by Box–Muller in double precision; every second call returns the pair's other number. */
  private single(): number {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    const angle = 2 * Math.PI * this.uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniform53()));
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** Turns 16 uniform numbers into normal ones in place, number j with number j + 8, rounded to float32 as in PyTorch. */
function boxMuller16(values: Float32Array, at: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = fround(Math.sqrt(fround(-2 * fround(Math.log(1 - values[j]!)))));
    const angle = fround(twoPi * values[j + 8]!);
    values[j] = radius * fround(Math.cos(angle));
    values[j + 8] = radius * fround(Math.sin(angle));
  }
}

/**
 * The initial noise of a run: normal numbers of the given shape from a fresh generator.
 * @param seed 0 … 2³²−1
 */
export function seededNoise(seed: number, shape: readonly number[]): Float32Array {
  return new NormalGenerator(seed).randn(shape.reduce((product, n) => product * n, 1));
}
