const size = 624;
const shift = 397;

/**
 * The 32-bit Mersenne Twister (Matsumoto and Nishimura, 1998) seeded as PyTorch's CPU generator seeds it. Only the
 * low 32 bits of a seed count there, so a seed is 0 … 2³²−1.
 */
export class Mt19937 {
  private readonly state = new Uint32Array(size);
  private next = size;

  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff) {
      throw new RangeError(`A seed is an integer from 0 to 4294967295, not ${seed}.`);
    }
    const state = this.state;
    state[0] = seed;
    for (let i = 1; i < size; i++) {
      const before = state[i - 1]!;
      state[i] = Math.imul(1_812_433_253, before ^ (before >>> 30)) + i;
    }
  }

  /** The next 32 random bits as an integer 0 … 2³²−1. */
  uint32(): number {
    if (this.next === size) this.refill();
    let y = this.state[this.next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private refill(): void {
    const state = this.state;
    for (let i = 0; i < size; i++) {
      const y = (state[i]! & 0x8000_0000) | (state[(i + 1) % size]! & 0x7fff_ffff);
      state[i] = state[(i + shift) % size]! ^ (y >>> 1) ^ ((y & 1) * 0x9908_b0df);
    }
    this.next = 0;
  }
}
