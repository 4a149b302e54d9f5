import type { MemoryPlan } from './memory.ts';

/** What a person should know of the memory before generating. None of it stops a job. */
export interface MemoryWarning {
  readonly code: 'MEMORY_SHORT' | 'MODEL_STREAMED' | 'QUANTISED_STREAMED';
  readonly text: string;
  readonly values: Readonly<Record<string, number>>;
}

/**
 * Whether a plan is larger than the memory, or so close to it that blocks are loaded at every step.
 * @param isQuantised whether the model's weights have 8 bits or fewer already
 */
export function memoryWarnings(
  { leastBytes, availableBytes, streamedBlocks, residentBlocks }: MemoryPlan,
  isQuantised: boolean,
): MemoryWarning[] {
  if (leastBytes > availableBytes) {
    const values = { needed: gigabytes(leastBytes), available: gigabytes(availableBytes) };
    return [
      {
        code: 'MEMORY_SHORT',
        text:
          `This needs about ${values.needed} GB of memory and ${values.available} GB are free: it may run out. ` +
          'Choose a smaller size or fewer frames, or close other programs.',
        values,
      },
    ];
  }
  if (streamedBlocks === 0) return [];
  const values = { streamed: streamedBlocks, blocks: streamedBlocks + residentBlocks };
  const text =
    `The model does not fit into the free memory: ${values.streamed} of its ${values.blocks} parts are read from ` +
    'the disk at every step, which takes longer.';
  if (isQuantised) return [{ code: 'QUANTISED_STREAMED', text, values }];
  return [
    {
      code: 'MODEL_STREAMED',
      text: `${text} Baked to int8 it takes about a quarter of the memory.`,
      values,
    },
  ];
}

/** In eighths, rounded up. */
function gigabytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 27) / 8;
}
