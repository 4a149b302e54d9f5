import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createRuntime } from '../../../src-main/engine/runtime/ort.ts';
import type { Provider } from '../../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import { createDenoiser } from '../../../src-main/engine/wan/dit.ts';
import { ditName, renamed } from '../../../src-main/engine/weights/key-maps.ts';
import { isInPlace, type Checkpoint } from '../../../src-main/engine/weights/checkpoint.ts';
import { convertCheckpoint } from '../../../src-main/engine/weights/convert.ts';
import { openCheckpoint } from '../../../src-main/engine/weights/open-checkpoint.ts';
import { openSafetensors } from '../../../src-main/engine/weights/safetensors.ts';
import { compare, type Comparison } from '../compare.ts';
import { isSkipped, type GoldenCase } from '../kinds.ts';
import { readTensors } from '../tensors.ts';
import { ditConfig, goldenTensor } from './dit.ts';

/** The parts of the case: a file and the output expected from it. */
const parts = [
  { part: 'shards', file: 'diffusion_pytorch_model.safetensors.index.json', output: 'output_f32' },
  { part: 'comfy_bf16', file: 'weights_comfy_bf16.safetensors', output: 'output_comfy_bf16' },
  { part: 'f16', file: 'weights_f16.safetensors', output: 'output_f16' },
  { part: 'diffusers', file: 'weights_diffusers_f32.safetensors', output: 'output_f32' },
  { part: 'fp8_plain', file: 'weights_fp8_e4m3fn.safetensors', output: 'output_fp8_plain' },
  { part: 'fp8_scaled', file: 'weights_comfy_fp8_scaled.safetensors', output: 'output_fp8_scaled' },
  { part: 'gguf_Q8_0', file: 'weights_Q8_0.gguf', output: 'output_gguf_Q8_0' },
  { part: 'gguf_Q4_0', file: 'weights_Q4_0.gguf', output: 'output_gguf_Q4_0' },
  { part: 'gguf_BF16', file: 'weights_BF16.gguf', output: 'output_gguf_BF16' },
] as const;

/** One network from the file flavours people have. */
export async function run(
  caseDir: string,
  { name, config, tolerance }: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const results: Comparison[] = [];
  for (const { part, file, output } of parts) {
    if (isSkipped(`${name}/${part}`)) continue;
    const checkpoint = await usable(renamed(await openCheckpoint(join(caseDir, file)), ditName));
    try {
      const weights = checkpointWeights(checkpoint, dirname(checkpoint.path));
      const denoiser = createDenoiser(createRuntime(provider), ditConfig(config), weights);
      const velocity = await denoiser.velocity(
        goldenTensor(tensors, 'x', 4),
        tensors.f32('timesteps'),
        goldenTensor(tensors, 'context', 2),
        1,
      );
      await denoiser.release();
      results.push(compare(part, velocity.data, tensors.f32(output), tolerance));
    } finally {
      await checkpoint.close();
      if (!checkpoint.path.startsWith(caseDir)) await rm(dirname(checkpoint.path), { recursive: true });
    }
  }
  return results;
}

/** The checkpoint itself, or what import makes of one whose numbers graphs cannot use where they lie. */
async function usable(checkpoint: Checkpoint): Promise<Checkpoint> {
  if ([...checkpoint.entries.values()].every(isInPlace)) return checkpoint;
  const path = join(await mkdtemp(join(tmpdir(), 'pusa-golden-')), 'baked.safetensors');
  await convertCheckpoint(checkpoint, path, { precision: 'F32' });
  await checkpoint.close();
  return openSafetensors(path);
}
