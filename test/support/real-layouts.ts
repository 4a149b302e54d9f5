// A small model of the project's own in the layouts, formats and names of the files that people have (spec §7).
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Dtype } from '../../src-main/engine/weights/dtypes.ts';
import { openCheckpoint } from '../../src-main/engine/weights/open-checkpoint.ts';
import {
  encodeNumbers,
  writeSafetensors,
  type TensorToWrite,
} from '../../src-main/engine/weights/write-safetensors.ts';
import { root } from './places.ts';
import { stateDict, torchArchive } from './torch-file.ts';

const starter = join(root, 'resources/models/starter');
/** Its VAE has two residual blocks in each stage, as Wan's: Diffusers' names count on that. */
const pattern = join(root, 'test/fixtures/models/test-pattern');

interface Weights {
  readonly tensors: readonly TensorToWrite[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** All tensors of a checkpoint as they are stored. */
export async function weightsOf(path: string): Promise<Weights> {
  const checkpoint = await openCheckpoint(path);
  const tensors: TensorToWrite[] = [];
  for (const [name, { dtype, shape }] of checkpoint.entries) {
    tensors.push({ name, dtype: dtype as Dtype, shape, data: await checkpoint.readBytes(name) });
  }
  await checkpoint.close();
  return { tensors, metadata: checkpoint.metadata };
}

async function writeAs(path: string, { tensors, metadata }: Weights): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeSafetensors(path, tensors, metadata);
  return path;
}

/** Several files and an index, as the official repositories and Diffusers have large networks. */
export async function writeShards(
  folder: string,
  { tensors, metadata }: Weights,
  count = 2,
): Promise<string> {
  const map: Record<string, string> = {};
  const number = (value: number): string => String(value).padStart(5, '0');
  for (let n = 0; n < count; n++) {
    const file = `diffusion_pytorch_model-${number(n + 1)}-of-${number(count)}.safetensors`;
    const some = tensors.filter((_, index) => index % count === n);
    for (const { name } of some) map[name] = file;
    await writeAs(join(folder, file), { tensors: some, metadata });
  }
  const index = join(folder, 'diffusion_pytorch_model.safetensors.index.json');
  await writeFile(index, JSON.stringify({ metadata: {}, weight_map: map }));
  return index;
}

/** As torch.save writes tensors; their numbers in one format. */
export async function writeTorch(path: string, source: string, dtype: 'F32' | 'BF16'): Promise<string> {
  const checkpoint = await openCheckpoint(source);
  const type = dtype === 'F32' ? 'FloatStorage' : 'BFloat16Storage';
  const described = [];
  const storages = [];
  for (const [name, entry] of checkpoint.entries) {
    if (entry.dtype === 'U8') continue;
    described.push({ name, type, shape: entry.shape });
    storages.push(encodeNumbers(await checkpoint.read(name), dtype));
  }
  await checkpoint.close();
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, torchArchive(stateDict(described), storages).bytes);
  return path;
}

/** The tokenizer that the starter's text encoder carries, as a file of its own. */
async function writeSpiece(path: string): Promise<void> {
  const { tensors } = await weightsOf(join(starter, 'starter_umt5.safetensors'));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, tensors.find(({ name }) => name === 'spiece_model')!.data);
}

/** A folder as `Wan-AI/Wan2.1-T2V-14B`, with `pusa_v1.pt` of RaphaelLiu/PusaV1 in it. */
export async function writeOfficial(folder: string): Promise<void> {
  await writeShards(folder, await weightsOf(join(starter, 'starter_base.safetensors')));
  await writeTorch(join(folder, 'Wan2.1_VAE.pth'), join(starter, 'starter_vae.safetensors'), 'F32');
  const text = join(folder, 'models_t5_umt5-xxl-enc-bf16.pth');
  await writeTorch(text, join(starter, 'starter_umt5.safetensors'), 'BF16');
  await writeSpiece(join(folder, 'google', 'umt5-xxl', 'spiece.model'));
  await writeFile(join(folder, 'config.json'), '{"model_type": "t2v"}');
  await writeFile(join(folder, 'README.md'), '# Wan2.1');
  const lora = await writeAs(join(folder, '..', 'peft.safetensors'), await namedAsPeft());
  await writeTorch(join(folder, 'pusa_v1.pt'), lora, 'BF16');
  await rm(lora);
}

async function namedAsPeft(): Promise<Weights> {
  const { tensors } = await weightsOf(join(starter, 'starter_pusa_lora.safetensors'));
  return {
    tensors: tensors.map((one) => ({ ...one, name: one.name.replace(/\.weight$/, '.default.weight') })),
    metadata: {},
  };
}

/** Names of UMT5's tensors in Hugging Face's and ComfyUI's files (spec §5). */
function huggingFaceName(name: string): string {
  return name
    .replace(/^token_embedding\./, 'shared.')
    .replace(/^norm\./, 'encoder.final_layer_norm.')
    .replace(/^blocks\.(\d+)\.norm1\./, 'encoder.block.$1.layer.0.layer_norm.')
    .replace(/^blocks\.(\d+)\.attn\.(.)\./, 'encoder.block.$1.layer.0.SelfAttention.$2.')
    .replace(
      /^blocks\.(\d+)\.pos_embedding\.embedding\./,
      'encoder.block.$1.layer.0.SelfAttention.relative_attention_bias.',
    )
    .replace(/^blocks\.(\d+)\.norm2\./, 'encoder.block.$1.layer.1.layer_norm.')
    .replace(/^blocks\.(\d+)\.ffn\.gate\.0\./, 'encoder.block.$1.layer.1.DenseReluDense.wi_0.')
    .replace(/^blocks\.(\d+)\.ffn\.fc1\./, 'encoder.block.$1.layer.1.DenseReluDense.wi_1.')
    .replace(/^blocks\.(\d+)\.ffn\.fc2\./, 'encoder.block.$1.layer.1.DenseReluDense.wo.');
}

/** Files where ComfyUI keeps them, each with the names of its publisher. */
export interface ComfyFiles {
  readonly dit: string;
  readonly vae: string;
  /** 8-bit floats with their scales, and the tokenizer inside. */
  readonly text: string;
  readonly pusa: string;
  readonly fourSteps: string;
}

export async function writeComfy(folder: string): Promise<ComfyFiles> {
  const models = join(folder, 'ComfyUI', 'models');
  const dit = await weightsOf(join(starter, 'starter_base.safetensors'));
  const text = await weightsOf(join(starter, 'starter_umt5.safetensors'));
  const lora = await weightsOf(join(starter, 'starter_pusa_lora.safetensors'));
  const upAndDown = lora.tensors.map((one) => ({
    ...one,
    name: `diffusion_model.${one.name.replace('lora_A', 'lora_down').replace('lora_B', 'lora_up')}`,
  }));
  return {
    dit: await writeAs(join(models, 'diffusion_models', 'wan2.1_t2v_tiny_fp16.safetensors'), {
      ...dit,
      tensors: dit.tensors.map((one) => ({ ...one, name: `model.diffusion_model.${one.name}` })),
    }),
    vae: await writeAs(
      join(models, 'vae', 'wan_2.1_vae.safetensors'),
      await weightsOf(join(starter, 'starter_vae.safetensors')),
    ),
    text: await writeAs(join(models, 'text_encoders', 'umt5_xxl_fp8_e4m3fn_scaled.safetensors'), {
      metadata: {},
      tensors: text.tensors.flatMap((one) => scaledToEightBits({ ...one, name: huggingFaceName(one.name) })),
    }),
    pusa: await writeAs(join(models, 'loras', 'Wan21_PusaV1_LoRA_tiny_rank32_bf16.safetensors'), {
      ...lora,
      metadata: {},
    }),
    fourSteps: await writeAs(join(models, 'loras', 'lightx2v_T2V_tiny_cfg_step_distill_rank32.safetensors'), {
      tensors: upAndDown,
      metadata: {},
    }),
  };
}

/** Matrices as float8 (E4M3) that stand for numbers below 1 in steps of an eighth; the test asks for a clip, not for which. */
function scaledToEightBits(one: TensorToWrite): TensorToWrite[] {
  if (one.dtype !== 'F16') return [one];
  const count = one.shape.reduce((product, side) => product * side, 1);
  // 0x20 … 0x37: 1/8 to 1.875, both signs.
  const data = Uint8Array.from({ length: count }, (_, i) => 0x20 + (i % 24) + (i % 7 === 0 ? 0x80 : 0));
  const scale = { name: one.name.replace(/\.weight$/, '.scale_weight'), dtype: 'F32', shape: [] } as const;
  return [
    { ...one, dtype: 'F8_E4M3', data },
    { ...scale, data: Float32Array.of(0.02) },
  ];
}

/** A folder as `Wan-AI/Wan2.1-T2V-14B-Diffusers`. */
export async function writeDiffusers(folder: string): Promise<void> {
  const keys = join(root, 'test/fixtures/goldens');
  const mapOf = async (path: string): Promise<Record<string, string>> =>
    JSON.parse(await readFile(join(keys, path), 'utf8')) as Record<string, string>;
  const vaeNames = await mapOf('vae_tiny/key_map_official_to_diffusers.json');
  const renamed = ({ tensors, metadata }: Weights, nameOf: (name: string) => string): Weights => ({
    metadata,
    tensors: tensors.map((one) => ({ ...one, name: nameOf(one.name) })),
  });
  const dit = await weightsOf(join(pattern, 'dit.safetensors'));
  await writeShards(join(folder, 'transformer'), renamed(dit, diffusersName));
  const vae = await weightsOf(join(pattern, 'vae.safetensors'));
  await writeAs(
    join(folder, 'vae', 'diffusion_pytorch_model.safetensors'),
    renamed(vae, (name) => vaeNames[name] ?? name),
  );
  const text = await weightsOf(join(pattern, 'umt5.safetensors'));
  await writeAs(join(folder, 'text_encoder', 'model.safetensors'), renamed(text, huggingFaceName));
  await mkdir(join(folder, 'tokenizer'));
  await copyFile(join(pattern, 'spiece.model'), join(folder, 'tokenizer', 'spiece.model'));
  await writeFile(join(folder, 'model_index.json'), '{"_class_name": "WanPipeline"}');
}

/** Names of the diffusion model's tensors in Diffusers (spec §1.2). */
function diffusersName(name: string): string {
  return name
    .replace(/^text_embedding\.0\./, 'condition_embedder.text_embedder.linear_1.')
    .replace(/^text_embedding\.2\./, 'condition_embedder.text_embedder.linear_2.')
    .replace(/^time_embedding\.0\./, 'condition_embedder.time_embedder.linear_1.')
    .replace(/^time_embedding\.2\./, 'condition_embedder.time_embedder.linear_2.')
    .replace(/^time_projection\.1\./, 'condition_embedder.time_proj.')
    .replace(/^head\.modulation$/, 'scale_shift_table')
    .replace(/^head\.head\./, 'proj_out.')
    .replace(/^(blocks\.\d+)\.modulation$/, '$1.scale_shift_table')
    .replace(/^(blocks\.\d+)\.norm3\./, '$1.norm2.')
    .replace(/^(blocks\.\d+)\.self_attn\./, '$1.attn1.')
    .replace(/^(blocks\.\d+)\.cross_attn\./, '$1.attn2.')
    .replace(/\.(attn[12])\.([qkv])\./, '.$1.to_$2.')
    .replace(/\.(attn[12])\.o\./, '.$1.to_out.0.')
    .replace(/^(blocks\.\d+)\.ffn\.0\./, '$1.ffn.net.0.proj.')
    .replace(/^(blocks\.\d+)\.ffn\.2\./, '$1.ffn.net.2.');
}
