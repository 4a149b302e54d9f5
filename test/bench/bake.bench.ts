// Baking against copying: a 1.3B-shaped model of random numbers whole, a 14B-shaped sparse one as far as its first
// block, each in a process of its own whose peak of memory is told. `bake.bench.ts [14b] [1.3b] [starter]` runs parts.
import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { openCheckpoint } from '../../src-main/engine/weights/open-checkpoint.ts';
import { openPackage } from '../../src-main/engine/weights/package.ts';
import { planBake } from '../../src-main/engine/weights/bake-plan.ts';
import { recognise } from '../../src-main/engine/weights/recognise.ts';
import { writeOtherParts, writeRandomDit, writeSparseDit, writeSparseLora } from './bake-models.ts';
import { median, printTable, timed } from './support.ts';
import { wan14B, wan1B } from '../support/real-configs.ts';

const resultSchema = z.looseObject({ ms: z.number(), peakBytes: z.number() });
type Result = z.infer<typeof resultSchema>;

const mostMemory = 2e9;
const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Runs one act of bake-child.ts. */
async function act(...args: string[]): Promise<Result> {
  const script = fileURLToPath(new URL('bake-child.ts', import.meta.url));
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const code = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const out = await text(child.stdout);
  if ((await code) !== 0) throw new Error(`bake-child.ts ${args[0] ?? ''} failed`);
  return resultSchema.parse(JSON.parse(out));
}

const missed = 'MISSED';
const rows: string[][] = [['what', 'measured', 'allowed', 'peak memory', '']];
function report(
  what: string,
  measured: string,
  allowed: string,
  peakBytes: number | null,
  fine: boolean,
): void {
  const withinMemory = peakBytes === null || peakBytes < mostMemory;
  const verdict = fine && withinMemory ? '' : missed;
  rows.push([what, measured, allowed, peakBytes === null ? '' : gigabytes(peakBytes), verdict]);
}

/** 57 GB of float32 that take no disk: recognised, packaged where they lie, a bake of them begun. */
async function sparse14B(folder: string): Promise<void> {
  const model = join(folder, 'wan14b');
  const { bytes, index } = await writeSparseDit(model, wan14B);
  await writeOtherParts(model);
  const onDisk = (await stat(join(model, 'vae.safetensors'))).blocks * 512;
  process.stdout.write(
    `14B-shaped: ${gigabytes(bytes)} apparent in shards, ${onDisk} bytes on disk for the VAE\n`,
  );

  const found = await act('recognise', index);
  report('14B recognised', seconds(found.ms), '≤ 2 s', found.peakBytes, found.ms < 2000);

  const lora = join(model, 'pusa_v1.safetensors');
  await writeSparseLora(lora, wan14B, 512);
  const packaged = await act('import', model);
  report('14B packaged in place, every byte hashed', seconds(packaged.ms), '', packaged.peakBytes, true);

  // Where the last tensor of block 0 ends in the new file.
  const recognised = recognise(await openCheckpoint(index));
  const plan = planBake(recognised.checkpoint, {
    precision: 'int8',
    search: false,
    loras: [],
    metadata: {},
    source: '',
  });
  await recognised.checkpoint.close();
  const last = plan.tensors.findLastIndex(({ name }) => name.startsWith('blocks.0.'));
  const wanted = plan.tensors
    .slice(0, last + 1)
    .reduce((sum, tensor) => sum + tensor.bytes, plan.header.length);
  for (const flags of [[], ['merge']]) {
    const begun = await act('begin', model, join(folder, `begun-${flags.length}`), String(wanted), ...flags);
    const what = `14B int8${flags.length > 0 ? ' with a LoRA of rank 512 merged' : ''}: first block written`;
    report(what, seconds(begun.ms), '', begun.peakBytes, Number(begun['tensors']) >= last);
  }
  await rm(model, { recursive: true });
}

/** A whole model of random numbers: times in turns with copying its bytes. */
async function whole1B(folder: string): Promise<void> {
  const model = join(folder, 'wan1b');
  await mkdir(model);
  const dit = join(model, 'dit.safetensors');
  const bytes = await writeRandomDit(dit, wan1B);
  await writeOtherParts(model);
  await act('import', model);
  process.stdout.write(`1.3B-shaped: ${gigabytes(bytes)} of random bfloat16\n`);
  const copy = async (): Promise<number> => {
    const target = join(folder, 'copy');
    const ms = await timed(async () => {
      await copyFile(dit, target);
      const file = await open(target, 'r+');
      await file.sync();
      await file.close();
    });
    await rm(target);
    return ms;
  };
  const kinds = [
    { name: 'int8 to nearest', args: ['int8'], allowed: 2 },
    { name: 'int8 searched', args: ['int8', 'search'], allowed: 12 },
    { name: 'int4 searched', args: ['int4', 'search'], allowed: 12 },
  ];
  const copies: number[] = [];
  const bakes: Result[][] = kinds.map(() => []);
  const baked = join(folder, 'baked');
  for (let round = 0; round < 3; round++) {
    for (const [i, { args }] of kinds.entries()) {
      copies.push(await copy());
      bakes[i]!.push(await act('bake', model, baked, ...args));
      if (round < 2 || i > 0) await rm(baked, { recursive: true });
      else {
        const step = await act('step', baked);
        const what = '1.3B int8: one step at 480×832, one latent frame';
        report(what, seconds(step.ms), '', null, step['finite'] === true);
        process.stdout.write(`the step's process took ${gigabytes(step.peakBytes)} at its peak\n`);
        await rm(baked, { recursive: true });
      }
    }
  }
  const base = median(copies);
  report('1.3B copied with fsync', seconds(base), '', null, true);
  for (const [i, { name, allowed }] of kinds.entries()) {
    const ratio = median(bakes[i]!.map(({ ms }) => ms)) / base;
    const peak = Math.max(...bakes[i]!.map(({ peakBytes }) => peakBytes));
    const measured = `${seconds(median(bakes[i]!.map(({ ms }) => ms)))} = ${ratio.toFixed(2)} × copying`;
    report(`1.3B ${name}`, measured, `≤ ${allowed} ×`, peak, ratio <= allowed);
  }
}

/** What each precision costs the starter model's weights. */
async function starter(folder: string): Promise<void> {
  const source = fileURLToPath(new URL('../../resources/models/starter', import.meta.url));
  for (const precision of ['int8', 'int4'] as const) {
    for (const flags of [[], ['search']]) {
      const target = join(folder, `${precision}${flags.join()}`);
      const { ms } = await act('bake', source, target, precision, ...flags);
      const { manifest } = await openPackage(target);
      const layers = manifest.baked?.layers ?? [];
      const mean = Math.sqrt(layers.reduce((sum, { error }) => sum + error ** 2, 0) / layers.length);
      const compared = await act('compare', source, target);
      const text = `weights ${(100 * mean).toFixed(2)} %, forward ${(100 * Number(compared['forward'])).toFixed(2)} %, clip ${Number(compared['psnr']).toFixed(1)} dB, ${seconds(ms)}`;
      const fine =
        precision === 'int4' || (Number(compared['forward']) < 0.01 && Number(compared['psnr']) >= 35);
      const allowed = precision === 'int8' ? 'forward ≤ 1 %, clip ≥ 35 dB' : '';
      report(`starter ${precision}${flags.length > 0 ? ' searched' : ''}`, text, allowed, null, fine);
    }
  }
}

const parts: Record<string, (folder: string) => Promise<void>> = {
  '14b': sparse14B,
  '1.3b': whole1B,
  starter,
};
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => parts[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(
    `There is no part ${unknown.join(', ')}; there are ${Object.keys(parts).join(', ')}.\n`,
  );
  process.exit(2);
}
const folder = await mkdtemp(join(process.env['PUSA_BENCH_FOLDER'] ?? tmpdir(), 'pusa-bake-'));
try {
  for (const [name, part] of Object.entries(parts)) {
    if (chosen.length === 0 || chosen.includes(name)) await part(folder);
  }
} finally {
  await rm(folder, { recursive: true });
}
const [load = ''] = (await readFile('/proc/loadavg', 'utf8').catch(() => '')).split(' ');
if (load !== '') process.stdout.write(`load of the machine: ${load}\n`);
printTable(rows);
process.exitCode = rows.some((row) => row.at(-1) === missed) ? 1 : 0;
