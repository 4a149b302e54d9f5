import { blockOperations, blockProbe, type BlockSize } from './probe-graphs.ts';
import { createRuntime } from './ort.ts';
import type { Measurement } from './report.ts';
import type { Runtime } from './runtime.ts';

/** About one GFLOP: quick even on a GPU driver in software. On a real GPU the way there and back decides. */
export const smallBlock: BlockSize = { tokens: 512, width: 256, heads: 4, hidden: 1024 };

/** About 18 GFLOP: long enough that the work decides. */
export const largeBlock: BlockSize = { tokens: 1024, width: 768, heads: 12, hidden: 3072 };

/** Times a block like the DiT's on a runtime; the first run (which compiles and maps) is not counted. */
export async function measureBlock(runtime: Runtime, size: BlockSize, runs = 3): Promise<Measurement> {
  const probe = blockProbe(runtime.forms.attention, size);
  const segment = await runtime.load(probe.model);
  try {
    await segment.run(probe.inputs);
    let milliseconds = Infinity;
    for (let i = 0; i < runs; i++) {
      const start = performance.now();
      await segment.run(probe.inputs);
      milliseconds = Math.min(milliseconds, performance.now() - start);
    }
    return {
      provider: runtime.provider,
      tokens: size.tokens,
      width: size.width,
      milliseconds,
      gflops: blockOperations(size) / milliseconds / 1e6,
    };
  } finally {
    await segment.release();
  }
}

/** So much slower in a smaller block is no matter of the way to the GPU. */
const hopeless = 4;

/** A first look of a few milliseconds: a driver in software takes a second for it, and minutes for the large block. */
const tinyBlock: BlockSize = { tokens: 64, width: 128, heads: 2, hidden: 256 };

/** Even across a network a graphics card has done the tiny block after this many milliseconds. */
const tinyLimit = 60;

/**
 * Times a GPU against the processor, with the large block unless a smaller one has already decided.
 * @returns the last measurement of each
 */
export async function measureAgainstCpu(
  runtime: Runtime,
): Promise<{ readonly own: Measurement; readonly cpu: Measurement }> {
  const processor = createRuntime('cpu');
  for (const { size, least } of [
    { size: tinyBlock, least: tinyLimit },
    { size: smallBlock, least: 0 },
  ]) {
    const own = await measureBlock(runtime, size, 1);
    if (own.milliseconds < least) continue;
    const cpu = await measureBlock(processor, size, 1);
    if (own.milliseconds > hopeless * cpu.milliseconds) return { own, cpu };
  }
  return {
    own: await measureBlock(runtime, largeBlock, 1),
    cpu: await measureBlock(processor, largeBlock, 1),
  };
}
