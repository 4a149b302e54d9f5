import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { root } from '../support/places.ts';

const cli = join(root, 'out/main/cli.js');

let data: string;

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'pusa-cli-bake-'));
});

afterAll(() => rm(data, { recursive: true }));

function models(...args: string[]): { status: number | null; out: string; err: string } {
  const done = spawnSync(process.execPath, [cli, 'models', ...args, '--data', data], { encoding: 'utf8' });
  return { status: done.status, out: done.stdout, err: done.stderr };
}

const listed = z.array(z.looseObject({ id: z.string(), bytes: z.number() }));

describe('models bake', () => {
  it('explains itself, makes a model that can be used, and finds it there the second time', () => {
    const first = models(
      'bake',
      'starter',
      '--to',
      'small',
      '--merge-loras',
      '--strength',
      'starter_pusa_lora=0.8',
    );
    expect(first.err).toMatch(/^Writes the large matrices of "Pusa Studio Starter" \(8\.01 MB\) to 8 bits/);
    expect(first.err).toContain('Merges starter_pusa_lora: its strength is fixed from then on.');
    expect(first.out).toMatch(/Done in .+: 4\.92 MB of diffusion model\./);
    expect(first.out).toMatch(/Its weights differ from the original's by 0\.\d\d %/);
    expect(first.out).toContain('"small" is ready.');
    expect(first.status).toBe(0);
    const found = listed.parse(JSON.parse(models('list', '--json').out));
    expect(found.map(({ id }) => id)).toEqual(['small', 'starter']);
    expect(found[0]!.bytes).toBeLessThan(found[1]!.bytes);
    expect(models('verify', 'small').out).toBe('Every file of "small" is as it was imported.\n');

    const again = models('bake', 'small', '--to', 'smaller', '--precision', 'int4');
    expect(again.err).toContain('already has LoRAs merged into it');
    expect(again.err).toContain('Bake "Pusa Studio Starter", the model it was made from.  [MODEL_CANNOT]');
    expect(again.status).toBe(3);
  });

  it('reports as JSON, also elsewhere than in the data folder', () => {
    const folder = join(data, 'other disk', 'four');
    const { out, status } = models(
      'bake',
      'starter',
      '--to',
      'four',
      '--precision',
      'int4',
      '--search',
      '--into',
      folder,
      '--json',
    );
    expect(status).toBe(0);
    const report = z
      .looseObject({ id: z.string(), folder: z.string(), bytes: z.number(), layers: z.array(z.unknown()) })
      .parse(JSON.parse(out));
    expect(report).toMatchObject({ id: 'four', folder });
    expect(report.layers.length).toBe(60);
    expect(models('list').out).toContain('four ');
    // What the application made goes with the model, wherever it lies.
    expect(models('remove', 'four').status).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  it.each([
    [['starter', '--to', 'x', '--precision', 'int3'], 'It is int8, int4, fp16 or fp32.', 2],
    [['starter', '--to', '../x'], 'It must be letters, digits', 2],
    [['starter', '--to', 'x', '--strength', 'a=1'], 'Add --merge-loras.', 2],
    [['starter', '--to', 'starter'], 'There is a model "starter" already.', 2],
    [['nothing', '--to', 'x'], 'There is no model "nothing".', 3],
    [['starter', '--to', 'x', '--merge-loras', '--strength', 'other=1'], 'It has: starter_pusa_lora.', 3],
  ])('%j is refused', (args, sentence, code) => {
    const { err, status } = models('bake', ...args);
    expect(err).toContain(sentence);
    expect(status).toBe(code);
  });

  it.skipIf(process.platform === 'win32')(
    'stops when asked to, and goes on by the same command',
    async () => {
      const args = [
        'models',
        'bake',
        'starter',
        '--to',
        'stopped',
        '--precision',
        'int4',
        '--search',
        '--data',
        data,
      ];
      const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
      let err = '';
      child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
      const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
      const part = join(data, 'models', 'stopped.part', 'diffusion-model.int4.safetensors.part');
      while (!existsSync(part)) await new Promise((resolve) => setTimeout(resolve, 2));
      child.kill('SIGINT');
      expect(await ended).toBe(130);
      expect(err).toContain('Baking the model was cancelled.');
      expect((await readdir(join(data, 'models'))).includes('stopped')).toBe(false);
      expect(models('list').out).not.toContain('stopped');
      expect(spawnSync(process.execPath, [cli, ...args]).status).toBe(0);
      expect(models('list').out).toContain('stopped');
    },
  );
});
