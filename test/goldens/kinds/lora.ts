import { join } from 'node:path';
import { createRuntime } from '../../../src-main/engine/runtime/ort.ts';
import type { Provider } from '../../../src-main/engine/runtime/runtime.ts';
import { attachLoras, checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import { createDenoiser } from '../../../src-main/engine/wan/dit.ts';
import { readLora, type AppliedLora, type Lora } from '../../../src-main/engine/weights/lora.ts';
import { openSafetensors, type Checkpoint } from '../../../src-main/engine/weights/safetensors.ts';
import { asPusaLoader, mergedTensor } from '../../support/merged-tensor.ts';
import { compare, type Comparison, type Tolerance } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors } from '../tensors.ts';
import { ditConfig } from './dit.ts';

interface Stated {
  weights: string;
  pusa: { lora_alpha: number };
  step_distill: { strength: number };
}

/** One bfloat16 rounding of both factors of a product. */
const bfloat16: Tolerance = { atol: 2e-3, rtol: 2 ** -7 };

/** Merging by both rules, the copy under Comfy's names, and the model's output with the LoRA kept apart. */
export async function run(
  caseDir: string,
  { config, tolerance }: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const stated = config as unknown as Stated;
  const base = await openSafetensors(join(caseDir, stated.weights));
  const opened: Checkpoint[] = [base];
  const openLora = async (file: string): Promise<Lora> => {
    const checkpoint = await openSafetensors(join(caseDir, file));
    opened.push(checkpoint);
    return readLora(checkpoint);
  };
  try {
    const pusa = { lora: await openLora('lora_pusa.safetensors'), strength: stated.pusa.lora_alpha };
    const comfy = {
      lora: await openLora('lora_pusa_comfy_bf16.safetensors'),
      strength: stated.pusa.lora_alpha,
    };
    const distill = {
      lora: await openLora('lora_step_distill.safetensors'),
      strength: stated.step_distill.strength,
    };
    const results: Comparison[] = [];
    const merged = (
      label: string,
      expectedFile: string,
      loras: readonly AppliedLora[],
      rule: 'full' | 'pusa-loader',
      within: Tolerance,
    ): void => {
      const read = rule === 'full' ? loras : loras.map((one) => ({ ...one, lora: asPusaLoader(one.lora) }));
      const expected = readTensors(join(caseDir, expectedFile));
      for (const name of expected.names) {
        const actual = mergedTensor(base, name, read);
        results.push(compare(`${label}: ${name}`, actual, expected.f32(name), within));
      }
    };
    merged('pusa', 'expected_pusa.safetensors', [pusa], 'full', tolerance);
    merged('pusa, its loader', 'expected_pusa.safetensors', [pusa], 'pusa-loader', tolerance);
    merged('pusa in bfloat16', 'expected_pusa.safetensors', [comfy], 'full', bfloat16);
    merged('distilled', 'expected_step_distill_full.safetensors', [distill], 'full', tolerance);
    const loader = 'expected_step_distill_pusa_loader.safetensors';
    merged('distilled, Pusa loader', loader, [distill], 'pusa-loader', tolerance);
    const both = 'expected_both_pusa_loader.safetensors';
    merged('both, Pusa loader', both, [distill, pusa], 'pusa-loader', tolerance);
    results.push(...(await outputs(caseDir, config, base, pusa, provider)));
    return results;
  } finally {
    for (const checkpoint of opened) await checkpoint.close();
  }
}

/** The whole model with the LoRA apart, at strengths 0 and α: within the tolerance of the DiT goldens. */
async function outputs(
  caseDir: string,
  config: GoldenCase['config'],
  base: Checkpoint,
  { lora, strength }: AppliedLora,
  provider: Provider,
): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  // The base lies beside the case: the folder of both holds the files of both.
  const folder = join(caseDir, '..');
  const source = { ...checkpointWeights(base, folder), folder };
  const { weights, loras } = attachLoras(source, [{ lora, strength: 'live' }]);
  const denoiser = createDenoiser(createRuntime(provider), ditConfig(config), weights, loras);
  const results: Comparison[] = [];
  try {
    for (const [name, alpha] of [
      ['output_base', 0],
      ['output_pusa_merged', strength],
    ] as const) {
      const velocity = await denoiser.velocity(
        { data: tensors.f32('x'), shape: tensors.get('x').shape },
        tensors.f32('timesteps'),
        { data: tensors.f32('context'), shape: tensors.get('context').shape },
        alpha,
      );
      results.push(compare(`${name}, apart`, velocity.data, tensors.f32(name), { atol: 1e-4, rtol: 1e-4 }));
    }
    return results;
  } finally {
    await denoiser.release();
  }
}
