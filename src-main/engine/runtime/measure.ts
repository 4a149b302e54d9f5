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

/** So much slower in the small block is no matter of the way to the GPU. */
const hopeless = 4;

/**
 * Times a GPU against the processor, with the large block unless the small one has already decided.
 * @returns the last measurement of each
 */
export async function measureAgainstCpu(
  runtime: Runtime,
): Promise<{ readonly own: Measurement; readonly cpu: Measurement }> {
  const processor = createRuntime('cpu');
  const own = await measureBlock(runtime, smallBlock, 1);
  const cpu = await measureBlock(processor, smallBlock, 1);
  if (own.milliseconds > hopeless * cpu.milliseconds) return { own, cpu };
  return {
    own: await measureBlock(runtime, largeBlock, 1),
    cpu: await measureBlock(processor, largeBlock, 1),
  };
}
