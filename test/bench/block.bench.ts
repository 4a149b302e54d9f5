// One Wan2.1-1.3B block at 1,560 + 512 tokens on the CPU provider against PyTorch eager float32 of the same run.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { WeightEntry, WeightSource } from '../../src-main/engine/onnx/weights.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { openSafetensors } from '../../src-main/engine/weights/safetensors.ts';
import { writeSafetensors, type TensorToWrite } from '../../src-main/engine/weights/write-safetensors.ts';
import { blockChunks, buildBlocks } from '../../src-main/engine/wan/dit-graphs.ts';
import type { DitConfig } from '../../src-main/engine/wan/dit-config.ts';
import type { Tensor } from '../../src-main/engine/networks.ts';
import {
  printTable,
  randomValues,
  relativeError,
  startPython,
  takeTurns,
  threads,
  timed,
} from './support.ts';

const config: DitConfig = {
  dim: 1536,
  ffnDim: 8960,
  heads: 12,
  layers: 1,
  inDim: 16,
  outDim: 16,
  freqDim: 256,
  textDim: 4096,
  textLength: 512,
  eps: 1e-6,
};
const tokens = 1560;
const cells = 1;
const rounds = 10;
const blockSize = 128;
const { dim, ffnDim } = config;

/** Names and shapes of one block's tensors (spec §1.2). */
function blockShapes(): [string, number[]][] {
  const shapes: [string, number[]][] = [['modulation', [1, 6, dim]]];
  for (const part of ['self_attn', 'cross_attn']) {
    for (const layer of ['q', 'k', 'v', 'o']) {
      shapes.push([`${part}.${layer}.weight`, [dim, dim]], [`${part}.${layer}.bias`, [dim]]);
    }
    shapes.push([`${part}.norm_q.weight`, [dim]], [`${part}.norm_k.weight`, [dim]]);
  }
  shapes.push(['norm3.weight', [dim]], ['norm3.bias', [dim]]);
  shapes.push(['ffn.0.weight', [ffnDim, dim]], ['ffn.0.bias', [ffnDim]]);
  shapes.push(['ffn.2.weight', [dim, ffnDim]], ['ffn.2.bias', [dim]]);
  return shapes.map(([name, shape]) => [`blocks.0.${name}`, shape]);
}

function floatTensors(): (TensorToWrite & { values: Float32Array })[] {
  return blockShapes().map(([name, shape], i) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const isNorm = /norm.*weight$/.test(name);
    const scale = shape.length === 2 ? shape[1]! ** -0.5 : 0.1;
    const values = isNorm ? new Float32Array(count).fill(1) : randomValues(count, scale, i + 1);
    return { name, dtype: 'F32', shape, values, data: new Uint8Array(values.buffer) };
  });
}

/** Round to nearest, 8 bits, one scale per block of a row, zero point 128. */
function quantise(
  values: Float32Array,
  rows: number,
  columns: number,
): { packed: Uint8Array; scales: Float32Array } {
  const blocks = columns / blockSize;
  const packed = new Uint8Array(rows * columns);
  const scales = new Float32Array(rows * blocks);
  for (let block = 0; block < rows * blocks; block++) {
    const part = values.subarray(block * blockSize, (block + 1) * blockSize);
    const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127 || 1;
    scales[block] = scale;
    for (const [i, value] of part.entries()) packed[block * blockSize + i] = Math.round(value / scale) + 128;
  }
  return { packed, scales };
}

function quantisedTensors(tensors: readonly (TensorToWrite & { values: Float32Array })[]): TensorToWrite[] {
  return tensors.flatMap((tensor): TensorToWrite[] => {
    if (tensor.shape.length !== 2) return [tensor];
    const [rows = 0, columns = 0] = tensor.shape;
    const { packed, scales } = quantise(tensor.values, rows, columns);
    const blocks = columns / blockSize;
    return [
      { name: `${tensor.name}#packed`, dtype: 'U8', shape: [rows, blocks, blockSize], data: packed },
      {
        name: `${tensor.name}#scales`,
        dtype: 'F32',
        shape: [rows, blocks],
        data: new Uint8Array(scales.buffer),
      },
    ];
  });
}

/** The tensors of a file as the graph builder wants them; `#packed` and `#scales` pairs are 8-bit matrices. */
async function sourceOf(folder: string, file: string): Promise<WeightSource> {
  const checkpoint = await openSafetensors(join(folder, file));
  const at = (name: string): { file: string; offset: number; length: number } => {
    const entry = checkpoint.entries.get(name)!;
    return { file, offset: entry.offset, length: entry.bytes };
  };
  const entries = new Map<string, WeightEntry>();
  for (const [name, entry] of checkpoint.entries) {
    if (name.endsWith('#scales')) continue;
    if (name.endsWith('#packed')) {
      const plain = name.slice(0, -'#packed'.length);
      const [rows = 0, blocks = 0, size = 0] = entry.shape;
      entries.set(plain, {
        dtype: 'Q8',
        shape: [rows, blocks * size],
        blockSize: size,
        packed: at(name),
        scales: at(`${plain}#scales`),
      });
    } else entries.set(name, { dtype: 'F32', shape: entry.shape, ...at(name) });
  }
  await checkpoint.close();
  return { folder, entry: (name) => entries.get(name) };
}

function inputs(): Record<string, Tensor> {
  const tensor = (shape: number[], seed: number, scale = 1): Tensor => ({
    data: randomValues(
      shape.reduce((a, b) => a * b, 1),
      scale,
      seed,
    ),
    shape,
  });
  const half = dim / config.heads / 2;
  const angles = randomValues(tokens * half, 1, 103);
  return {
    hidden: tensor([cells, tokens, dim], 100),
    e0: tensor([cells, 6, dim], 101, 0.1),
    context: tensor([1, config.textLength, dim], 102),
    cos: { data: angles.map(Math.cos), shape: [tokens, half] },
    sin: { data: angles.map(Math.sin), shape: [tokens, half] },
  };
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'pusa-bench-'));
  try {
    const tensors = floatTensors();
    await writeSafetensors(join(folder, 'float.safetensors'), tensors);
    await writeSafetensors(join(folder, 'int8.safetensors'), quantisedTensors(tensors));
    const runtime = createRuntime('cpu');
    const feeds = inputs();
    const torch = await startPython(new URL('torch_block.py', import.meta.url), [String(threads)]);
    const contenders = [
      { name: 'ONNX Runtime float32', file: 'float.safetensors', arena: true, allowed: 0.85 },
      { name: 'ONNX Runtime int8', file: 'int8.safetensors', arena: true, allowed: 0.6 },
      // What the memory plan chooses where an arena for every block does not fit.
      { name: 'float32, no arena', file: 'float.safetensors', arena: false, allowed: null },
      { name: 'int8, no arena', file: 'int8.safetensors', arena: false, allowed: null },
    ];
    const segments = await Promise.all(
      contenders.map(async ({ file, arena }) => {
        const weights = await sourceOf(folder, file);
        const chunks = blockChunks(config, runtime.forms, tokens);
        const { model } = buildBlocks({ config, weights, loras: [] }, 0, 1, runtime.forms, chunks);
        return runtime.load({ ...model, arena });
      }),
    );
    const outputs: Float32Array[] = [];
    for (const segment of segments) outputs.push((await segment.run(feeds))['hidden_out']!.data.slice());
    const runs = segments.map((segment) => () => timed(() => segment.run(feeds)));
    const times = await takeTurns(torch === null ? runs : [...runs, () => torch.run()], rounds);
    torch?.close();
    for (const segment of segments) await segment.release();

    const rows = [['block', 'median ms', 'of PyTorch float32', 'allowed', 'quickest runs', 'relative error']];
    const torchMs = torch === null ? null : times.at(-1)!;
    if (torch !== null && torchMs !== null) {
      const { torch: version } = z.object({ torch: z.string() }).parse(torch.description);
      rows.push([`PyTorch ${version} eager float32`, torchMs.median.toFixed(0), '1.000', '', '1.000', '']);
    }
    let failed = false;
    for (const [i, { name, allowed }] of contenders.entries()) {
      const ratio = torchMs === null ? null : times[i]!.median / torchMs.median;
      failed ||= ratio !== null && allowed !== null && ratio > allowed;
      rows.push([
        name,
        times[i]!.median.toFixed(0),
        ratio?.toFixed(3) ?? 'no PyTorch here',
        allowed === null ? '' : `≤ ${allowed}`,
        torchMs === null ? '' : (times[i]!.quickest / torchMs.quickest).toFixed(3),
        relativeError(outputs[i]!, outputs[0]!).toExponential(1),
      ]);
    }
    printTable(rows);
    process.exitCode = failed ? 1 : 0;
  } finally {
    await rm(folder, { recursive: true });
  }
}

await main();
