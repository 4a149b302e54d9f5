import type { Checkpoint, TensorEntry } from './checkpoint.ts';

/** Prefixes that tools put before the official names (spec §1.2, §2.1). */
const prefixes = ['model.diffusion_model.', 'diffusion_model.', 'base_model.model.'] as const;

/** A name without a tool's prefix. */
export function stripPrefix(name: string): string {
  const prefix = prefixes.find((p) => name.startsWith(p));
  return prefix === undefined ? name : name.slice(prefix.length);
}

const ditRules: readonly (readonly [RegExp, string])[] = [
  [/^condition_embedder\.time_embedder\.linear_1\./, 'time_embedding.0.'],
  [/^condition_embedder\.time_embedder\.linear_2\./, 'time_embedding.2.'],
  [/^condition_embedder\.text_embedder\.linear_1\./, 'text_embedding.0.'],
  [/^condition_embedder\.text_embedder\.linear_2\./, 'text_embedding.2.'],
  [/^condition_embedder\.time_proj\./, 'time_projection.1.'],
  [/^scale_shift_table$/, 'head.modulation'],
  [/^proj_out\./, 'head.head.'],
  [/^(blocks\.\d+)\.scale_shift_table$/, '$1.modulation'],
  [/^(blocks\.\d+)\.attn1\.to_([qkv])\./, '$1.self_attn.$2.'],
  [/^(blocks\.\d+)\.attn1\.to_out\.0\./, '$1.self_attn.o.'],
  [/^(blocks\.\d+)\.attn1\.norm_([qk])\./, '$1.self_attn.norm_$2.'],
  [/^(blocks\.\d+)\.attn2\.to_([qkv])\./, '$1.cross_attn.$2.'],
  [/^(blocks\.\d+)\.attn2\.to_out\.0\./, '$1.cross_attn.o.'],
  [/^(blocks\.\d+)\.attn2\.norm_([qk])\./, '$1.cross_attn.norm_$2.'],
  [/^(blocks\.\d+)\.ffn\.net\.0\.proj\./, '$1.ffn.0.'],
  [/^(blocks\.\d+)\.ffn\.net\.2\./, '$1.ffn.2.'],
  [/^(blocks\.\d+)\.norm2\./, '$1.norm3.'],
];

const umt5Rules: readonly (readonly [RegExp, string])[] = [
  [/^(shared|encoder\.embed_tokens)\.weight$/, 'token_embedding.weight'],
  [/^encoder\.final_layer_norm\./, 'norm.'],
  [/^encoder\.block\.(\d+)\.layer\.0\.layer_norm\./, 'blocks.$1.norm1.'],
  [/^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.([qkvo])\./, 'blocks.$1.attn.$2.'],
  [
    /^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.relative_attention_bias\./,
    'blocks.$1.pos_embedding.embedding.',
  ],
  [/^encoder\.block\.(\d+)\.layer\.1\.layer_norm\./, 'blocks.$1.norm2.'],
  [/^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_0\./, 'blocks.$1.ffn.gate.0.'],
  [/^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_1\./, 'blocks.$1.ffn.fc1.'],
  [/^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wo\./, 'blocks.$1.ffn.fc2.'],
];

/** Names that GGUF files of T5 encoders have. */
const ggufT5Rules: readonly (readonly [RegExp, string])[] = [
  [/^token_embd\./, 'token_embedding.'],
  [/^enc\.output_norm\./, 'norm.'],
  [/^enc\.blk\.(\d+)\.attn_norm\./, 'blocks.$1.norm1.'],
  [/^enc\.blk\.(\d+)\.attn_([qkvo])\./, 'blocks.$1.attn.$2.'],
  [/^enc\.blk\.(\d+)\.attn_rel_b\./, 'blocks.$1.pos_embedding.embedding.'],
  [/^enc\.blk\.(\d+)\.ffn_norm\./, 'blocks.$1.norm2.'],
  [/^enc\.blk\.(\d+)\.ffn_gate\./, 'blocks.$1.ffn.gate.0.'],
  [/^enc\.blk\.(\d+)\.ffn_up\./, 'blocks.$1.ffn.fc1.'],
  [/^enc\.blk\.(\d+)\.ffn_down\./, 'blocks.$1.ffn.fc2.'],
];

/** Layers of one stage of the decoder, its resampling included: Diffusers numbers stages, Wan all layers through. */
const layersOfStage = 4;
const vaeRules: readonly (readonly [RegExp, string])[] = [
  [/^quant_conv\./, 'conv1.'],
  [/^post_quant_conv\./, 'conv2.'],
  [/^(encoder|decoder)\.conv_in\./, '$1.conv1.'],
  [/^(encoder|decoder)\.norm_out\./, '$1.head.0.'],
  [/^(encoder|decoder)\.conv_out\./, '$1.head.2.'],
  [/^(encoder|decoder)\.mid_block\.resnets\.0\./, '$1.middle.0.'],
  [/^(encoder|decoder)\.mid_block\.attentions\.0\./, '$1.middle.1.'],
  [/^(encoder|decoder)\.mid_block\.resnets\.1\./, '$1.middle.2.'],
  [/^encoder\.down_blocks\.(\d+)\./, 'encoder.downsamples.$1.'],
];
/** Inside a residual block. */
const residualRules: readonly (readonly [RegExp, string])[] = [
  [/^(.+\.\d+\.)norm1\./, '$1residual.0.'],
  [/^(.+\.\d+\.)conv1\./, '$1residual.2.'],
  [/^(.+\.\d+\.)norm2\./, '$1residual.3.'],
  [/^(.+\.\d+\.)conv2\./, '$1residual.6.'],
  [/^(.+\.\d+\.)conv_shortcut\./, '$1shortcut.'],
];

function rename(name: string, rules: readonly (readonly [RegExp, string])[]): string {
  const rule = rules.find(([pattern]) => pattern.test(name));
  return rule === undefined ? name : name.replace(rule[0], rule[1]);
}

/** The official DiT name of a tensor under official, Comfy or Diffusers naming (spec §1.2). */
export function ditName(name: string): string {
  return rename(stripPrefix(name), ditRules);
}

/** The official UMT5 name of a tensor under Wan's, Hugging Face's or GGUF's naming (spec §5). */
export function umt5Name(name: string): string {
  return rename(name, [...umt5Rules, ...ggufT5Rules]);
}

/** The official VAE name of a tensor under official, Comfy or Diffusers naming (spec §4.3); Wan2.2's has official ones only. */
export function vaeName(name: string): string {
  const bare = stripPrefix(name);
  const up = /^decoder\.up_blocks\.(\d{1,2})\.(?:resnets\.(\d{1,2})|upsamplers\.0)\.(.+)$/.exec(bare);
  if (up !== null) {
    const [, stage, block, rest] = up;
    const layer = layersOfStage * Number(stage) + Number(block ?? layersOfStage - 1);
    return rename(`decoder.upsamples.${layer}.${rest!}`, residualRules);
  }
  const official = rename(bare, vaeRules);
  // Official names have residual blocks already: only what was renamed has others.
  return official === bare ? bare : rename(official, residualRules);
}

/**
 * A view of a checkpoint under other names; where two tensors would get one name, the one that has it already wins.
 * The view shares the checkpoint's files: close either of the two.
 */
export function renamed(checkpoint: Checkpoint, nameOf: (name: string) => string): Checkpoint {
  const entries = new Map<string, TensorEntry>();
  const originals = new Map<string, string>();
  for (const [name, entry] of checkpoint.entries) {
    const official = nameOf(name);
    if (official !== name && entries.has(official)) continue;
    entries.set(official, entry);
    originals.set(official, name);
  }
  const original = (name: string): string => originals.get(name) ?? name;
  return {
    path: checkpoint.path,
    files: checkpoint.files,
    metadata: checkpoint.metadata,
    entries,
    read: (name, span) => checkpoint.read(original(name), span),
    readBytes: (name) => checkpoint.readBytes(original(name)),
    close: () => checkpoint.close(),
  };
}
