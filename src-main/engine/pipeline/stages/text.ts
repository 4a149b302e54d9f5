import type { Tensor, TextEncoder } from '../../networks.ts';
import type { JobFolder } from '../job-folder.ts';
import type { Watch } from '../watch.ts';

/** Rows the denoiser attends to, [textLength, dim]; `negative` is null where CFG is 1 and no such pass runs. */
export interface Context {
  readonly positive: Tensor;
  readonly negative: Tensor | null;
}

/** How many prompts the text stage encodes. */
export function textPasses(cfg: number): 1 | 2 {
  return cfg === 1 ? 1 : 2;
}

/**
 * Text stage: prompts → `context.bin`, which is used as it is when it is there.
 * @param load loads the encoder, only when it is needed; it is released before the stage ends
 */
export async function encodeText(
  folder: JobFolder,
  load: () => Promise<TextEncoder>,
  watch: Watch,
): Promise<Context> {
  const { prompt, negativePrompt, sampler } = folder.job;
  const passes = textPasses(sampler.cfg);
  const saved = await folder.readRecord('context');
  if (saved.state === 'whole') {
    const { positive, negative } = saved.content.tensors;
    watch.begin('text', passes);
    if (positive !== undefined && (passes === 1 || negative !== undefined)) {
      return { positive, negative: negative ?? null };
    }
  } else if (saved.state === 'damaged') {
    watch.log(`context.bin is made again: ${saved.reason}.`);
  }

  watch.begin('text');
  const encoder = await load();
  try {
    const positive = await encoder.encode(prompt, (done, total) => watch.advance(done / total));
    watch.advance(1);
    let negative: Tensor | null = null;
    if (passes === 2) {
      negative = await encoder.encode(negativePrompt, (done, total) => watch.advance(1 + done / total));
      watch.advance(2);
    }
    const tensors = { positive, ...(negative === null ? {} : { negative }) };
    await folder.writeRecord('context', { tensors, meta: null });
    return { positive, negative };
  } finally {
    await encoder.release();
  }
}
