// Peak memory of VAE decoding at real channel widths (random weights): bounded, and the same for longer clips.
// Arguments of `npm run bench vae` cannot choose cases; set PUSA_BENCH_VAE=small for the two quick ones.
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { baseBytes } from '../../src-main/core/plan/memory.ts';
import { decodeBytes } from '../../src-main/core/plan/tiles.ts';
import { decoderNeeds } from '../../src-main/engine/wan/vae.ts';
import { vaeInventory } from '../../src-main/engine/weights/inventory.ts';
import { writeSafetensors, type TensorToWrite } from '../../src-main/engine/weights/write-safetensors.ts';
import { printTable, randomValues } from './support.ts';
import { wanVae } from '../support/real-configs.ts';

const gigabyte = 1e9;
const pairs = [
  { height: 120, width: 208, frames: [41, 81], limit: null },
  { height: 480, width: 832, frames: [9, 17], limit: 6 * gigabyte },
];
const outputSchema = z.object({ decoded: z.int(), seconds: z.number(), peakBytes: z.number() });

function* weights(): Generator<TensorToWrite> {
  let seed = 1;
  for (const [name, shape] of vaeInventory(wanVae)) {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = name.endsWith('gamma')
      ? new Float32Array(count).fill(1)
      : randomValues(count, name.endsWith('bias') ? 0 : (count / shape[0]!) ** -0.5, seed++);
    yield { name, dtype: 'F32', shape, data };
  }
}

const folder = await mkdtemp(join(tmpdir(), 'pusa-bench-vae-'));
try {
  await writeSafetensors(join(folder, 'weights.safetensors'), weights());
  const rows = [['decode', 'seconds', 'peak GB', 'forecast', 'of the shorter', 'allowed']];
  let failed = false;
  for (const { height, width, frames, limit } of process.env['PUSA_BENCH_VAE'] === 'small'
    ? pairs.slice(0, 1)
    : pairs) {
    let shorter: number | null = null;
    for (const count of frames) {
      const done = spawnSync(
        process.execPath,
        [join(import.meta.dirname, 'vae-decode.ts'), folder, String(height), String(width), String(count)],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const { decoded, seconds, peakBytes } = outputSchema.parse(JSON.parse(done.stdout));
      const forecast = baseBytes + decodeBytes(decoderNeeds(wanVae), { width, height, frames: count }, null);
      const ratio = shorter === null ? 1 : peakBytes / shorter;
      failed ||= decoded !== count || Math.abs(ratio - 1) > 0.05 || (limit !== null && peakBytes > limit);
      rows.push([
        `${width} × ${height}, ${count} frames`,
        seconds.toFixed(0),
        (peakBytes / gigabyte).toFixed(2),
        (forecast / gigabyte).toFixed(2),
        ratio.toFixed(3),
        `${limit === null ? '' : `< ${limit / gigabyte} GB, `}0.95–1.05`,
      ]);
      shorter ??= peakBytes;
    }
  }
  printTable(rows);
  process.exitCode = failed ? 1 : 0;
} finally {
  await rm(folder, { recursive: true });
}
