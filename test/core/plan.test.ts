import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planSchema, type Plan } from '../../src-main/core/contract/job.ts';
import type { Mark, Sampler } from '../../src-main/core/contract/project.ts';
import { buildPlan, type PlanInput } from '../../src-main/core/plan/plan.ts';
import { planRange } from '../../src-main/core/plan/range.ts';
import { flowMatchGrid, samplerGrid } from '../../src-main/core/plan/sigmas.ts';
import { planTable } from '../../src-main/core/plan/table.ts';
import type { PusaError } from '../../src-main/core/errors.ts';
import { defaultSampler } from '../../src-main/core/presets/defaults.ts';
import { cellCount } from '../../src-main/core/timeline/cells.ts';
import { cellMarks } from '../../src-main/core/timeline/marks.ts';
import { readTensors, type GoldenTensors } from '../goldens/tensors.ts';
import { arbitraryInterpolation, arbitraryMarks, arbitrarySampler } from '../support/project.ts';
import { arbitraryClips, arbitraryLength, clip, codeOf, picture, project, range, video } from './fixtures.ts';

const folder = process.env['GOLDENS_DIR'] ?? join(import.meta.dirname, '../fixtures/goldens');
const tensorsOf = (name: string): GoldenTensors => readTensors(join(folder, name, 'tensors.safetensors'));

interface RolloutConfig {
  readonly steps: number;
  readonly shift: number;
  readonly cond?: Readonly<Record<string, number>>;
}
const configOf = (name: string): RolloutConfig =>
  (JSON.parse(readFileSync(join(folder, name, 'case.json'), 'utf8')) as { config: RolloutConfig }).config;

/** Plans a golden's loop the way a person would: marks on frames, a picture under each of them. */
function planOfGolden(name: string, cells: number): Plan {
  const { steps, shift, cond = {} } = configOf(name);
  const marks = Object.entries(cond).map(([cell, m]): Mark => {
    const frame = 4 * Number(cell);
    return m === 0 ? { frame, kind: 'fixed' } : { frame, kind: 'interpolated', m };
  });
  const clips = marks.map(({ frame }) => clip(`c${frame}`, picture, frame, 1));
  const one = range(4 * cells - 3, marks, { sampler: { ...defaultSampler, steps, shift } });
  return planRange(project(...clips), one).plan;
}

const mark = (m: number): PlanInput['cells'][number] => ({
  kind: m === 0 ? 'fixed' : m === 1 ? 'noisy' : 'interpolated',
  m,
});
const input = (ms: readonly number[], sampler: Partial<Sampler> = {}): PlanInput => ({
  frames: 4 * ms.length - 3,
  cells: ms.map(mark),
  sourced: ms.map((m) => m < 1),
  sampler: { ...defaultSampler, ...sampler },
});
const column = (table: readonly (readonly number[])[], cell: number): number[] =>
  table.map((row) => row[cell]!);

describe('sigmas', () => {
  it('agree with the reference tables bit for bit, also where truncation is fragile', () => {
    const tensors = tensorsOf('sched_flow_match');
    let tables = 0;
    for (const name of tensors.names) {
      const part = /^n(\d+)_s([\d.]+)\.(sigmas|timesteps|timesteps_trunc|trunc_x[\d.]+)$/.exec(name);
      if (part === null) continue;
      const [, steps, shift, kind] = part;
      const expected = [...tensors.f32(name)];
      const grid = flowMatchGrid(Number(steps), Number(shift));
      if (kind === 'sigmas') expect([...grid.sigmas]).toEqual([...expected, 0]);
      else if (kind === 'timesteps') expect([...grid.timesteps]).toEqual(expected);
      else {
        const m = kind === 'timesteps_trunc' ? 1 : Number(kind!.slice('trunc_x'.length));
        const plan = buildPlan(input([m, 0], { steps: Number(steps), shift: Number(shift) }));
        expect(column(plan.timesteps, 0)).toEqual(expected);
      }
      tables++;
    }
    expect(tables).toBe(70);
    expect([...flowMatchGrid(1000, 5).sigmas.subarray(0, 1000)]).toEqual([
      ...tensors.f32('train1000_s5.sigmas'),
    ]);
    for (const shift of [3, 5]) {
      const expected = tensors.f32(`lightx2v_4step_s${shift}.sigmas`);
      flowMatchGrid(4, shift)
        .sigmas.subarray(0, 4)
        .forEach((s, k) => expect(s).toBeCloseTo(expected[k]!, 6));
    }
    expect([...flowMatchGrid(10, 5, 0.6).sigmas.subarray(0, 10)]).toEqual([
      ...tensors.f32('n10_s5_strength0.6.sigmas'),
    ]);
  });

  it('of Wan’s own solvers agree with the reference', () => {
    const tensors = tensorsOf('sched_unipc_dpmpp');
    let tables = 0;
    for (const name of tensors.names.filter((each) => each.endsWith('.sigmas'))) {
      const [, solver, steps = '10', shift = '5'] = /^(unipc|dpmpp)_(?:n(\d+)_s(\d+)|rollout)/.exec(name)!;
      const grid = samplerGrid({
        solver: solver === 'unipc' ? 'unipc' : 'dpm++',
        steps: Number(steps),
        shift: Number(shift),
      });
      const expected = tensors.f32(name);
      expect(grid.sigmas).toHaveLength(expected.length);
      grid.sigmas.forEach((sigma, k) => expect(sigma).toBeCloseTo(expected[k]!, 6));
      expect([...grid.timesteps]).toEqual([...tensors.f32(name.replace('.sigmas', '.timesteps'))]);
      tables++;
    }
    expect(tables).toBe(6);
  });

  it('fall from 1 to 0 for all settings', () => {
    fc.assert(
      fc.property(arbitrarySampler, (sampler) => {
        const { sigmas, timesteps } = samplerGrid(sampler);
        expect(sigmas).toHaveLength(sampler.steps + 1);
        expect(sigmas[0]).toBeGreaterThan(0.98);
        expect(sigmas[0]).toBeLessThanOrEqual(1);
        expect(sigmas[sampler.steps]).toBe(0);
        for (let k = 0; k < sampler.steps; k++) {
          expect(sigmas[k + 1]!).toBeLessThan(sigmas[k]!);
          expect(timesteps[k]!).toBeLessThanOrEqual(1000);
        }
      }),
    );
  });
});

describe('plan', () => {
  it.each([
    ['sched_pusa_rollout', 5],
    ['sched_pusa_rollout2', 6],
    ['e2e_tiny', 5],
    ['e2e_tiny_full', 5],
    ['e2e_tiny_start_end', 5],
    ['e2e_tiny_t2v', 5],
    ['e2e_tiny_v2v', 6],
  ])('feeds the timesteps of %s', (name, cells) => {
    const tensors = tensorsOf(name);
    const plan = planOfGolden(name, cells);
    expect(plan.timesteps.flat()).toEqual([...tensors.f32('timesteps')]);
    if (tensors.has('sigmas')) expect(plan.sigmas).toEqual([...tensors.f32('sigmas'), 0]);
  });

  it.each([
    ['sched_pusa_rollout', 5],
    ['sched_pusa_rollout2', 6],
    ['sched_pusa_rollout_t2v', 4],
  ])('moves latents as %s does', (name, cells) => {
    const tensors = tensorsOf(name);
    const plan = planOfGolden(name, cells);
    const outputs = tensors.f32('model_outputs');
    const after = tensors.f32('latents_after_step');
    const noise = tensors.get('noise');
    const [, , , height, width] = noise.shape as [number, number, number, number, number];
    const size = noise.data.length;
    const cellAt = (i: number): number => Math.floor(i / (height * width)) % cells;
    const latents = Float32Array.from(noise.data);
    if (tensors.has('clean_cond')) {
      const clean = tensors.f32('clean_cond');
      latents.forEach((n, i) => {
        const level = plan.sigmas[0]! * plan.cells[cellAt(i)]!.m;
        latents[i] = (1 - level) * clean[i]! + level * n;
      });
      const started = tensors.f32('after_cond_noise');
      latents.forEach((x, i) => expect(Math.abs(x - started[i]!)).toBeLessThan(1e-6));
    }
    let largest = 0;
    for (let k = 0; k < plan.steps; k++) {
      for (let i = 0; i < size; i++) {
        latents[i]! += outputs[k * size + i]! * plan.sigmaSteps[k]![cellAt(i)]!;
        largest = Math.max(largest, Math.abs(latents[i]! - after[k * size + i]!));
      }
    }
    expect(largest).toBeLessThan(1e-5);
  });

  // The loop of spec §3.2 over scalars in place of latents, written from its text with typed arrays for float32.
  function reference(
    ms: ReadonlyMap<number, number>,
    cells: number,
    steps: number,
    sigmas: Float32Array,
    velocity: (k: number, f: number) => number,
  ): { fed: number[][]; x: Float32Array[] } {
    const x = new Float32Array(cells).map((_, f) => Math.sin(f + 1));
    const n = Float32Array.from(x);
    const clean = new Float32Array(cells).map((_, f) => Math.cos(3 * f));
    for (const i of ms.keys()) x[i] = clean[i]!;
    const fed: number[][] = [];
    const states: Float32Array[] = [];
    for (let k = 0; k < steps; k++) {
      const t = new Float32Array(cells).fill(new Float32Array([1000 * sigmas[k]!])[0]!);
      for (const [i, m] of ms) {
        t[i] = t[i]! * new Float32Array([m])[0]!;
        if (k === 0 && m > 0) x[i] = (1 - sigmas[0]! * m) * clean[i]! + sigmas[0]! * m * n[i]!;
      }
      if (ms.size > 0) t.forEach((value, f) => (t[f] = Math.trunc(value)));
      fed.push([...t]);
      for (let f = 0; f < cells; f++) {
        const step = t[f] === 0 ? 0 : (sigmas[k + 1]! - sigmas[k]!) * (ms.get(f) ?? 1);
        x[f] = x[f]! + velocity(k, f) * step;
      }
      states.push(Float32Array.from(x));
    }
    return { fed, x: states };
  }

  const arbitraryM = fc.oneof(
    fc.constantFrom(0, 1, 0.2, 0.4, 0.001, 1e-9),
    fc.double({ min: 1e-6, max: 0.999, noNaN: true }),
  );
  const settings = fc.record({
    ms: fc.array(arbitraryM, { minLength: 1, maxLength: 21 }),
    steps: fc.integer({ min: 1, max: 120 }),
    shift: fc.double({ min: 0.1, max: 50, noNaN: true }),
  });

  it('equals the reference algorithm wherever that covers it', () => {
    fc.assert(
      fc.property(settings, ({ ms, steps, shift }) => {
        const plan = buildPlan(input(ms, { steps, shift }));
        const conditioned = new Map([...ms.entries()].filter(([, m]) => m < 1));
        const velocity = (k: number, f: number): number => Math.sin(7 * k + f);
        const sigmas = Float32Array.from(plan.sigmas);
        const expected = reference(conditioned, ms.length, steps, sigmas, velocity);
        expect(plan.timesteps).toEqual(expected.fed);

        const x = Float32Array.from(ms, (m, f) => {
          const level = plan.sigmas[0]! * m;
          return (1 - level) * Math.cos(3 * f) + level * Math.sin(f + 1);
        });
        for (let k = 0; k < steps; k++) {
          for (let f = 0; f < ms.length; f++) {
            x[f] = x[f]! + velocity(k, f) * plan.sigmaSteps[k]![f]!;
            expect(Math.abs(x[f]! - expected.x[k]![f]!)).toBeLessThan(1e-5);
          }
        }
      }),
    );
  });

  it('brings every cell from its start to 0, but for steps frozen by truncation, and never moves a fixed one', () => {
    let frozenSteps = 0;
    fc.assert(
      fc.property(settings, ({ ms, steps, shift }) => {
        const plan = buildPlan(input(ms, { steps, shift }));
        expect(planSchema.safeParse(plan).success).toBe(true);
        for (const [f, m] of ms.entries()) {
          const fed = column(plan.timesteps, f);
          const moves = column(plan.sigmaSteps, f);
          let frozen = 0;
          for (const [k, move] of moves.entries()) {
            expect(move).toBeLessThanOrEqual(0);
            if (fed[k] === 0) {
              expect(Object.is(move, 0)).toBe(true);
              frozen += (plan.sigmas[k + 1]! - plan.sigmas[k]!) * m;
              if (m > 0) frozenSteps++;
            }
          }
          const sum = moves.reduce((a, b) => a + b, 0);
          expect(Math.abs(sum + frozen + plan.sigmas[0]! * m)).toBeLessThan(1e-5);
          if (m === 0) {
            expect(fed.every((t) => t === 0)).toBe(true);
            expect(sum).toBe(0);
          }
        }
      }),
    );
    expect(frozenSteps).toBeGreaterThan(0);
  });

  it('blends an interpolated cell without a source from the nearest ones that have one, by distance', () => {
    const ms = [0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.2, 1, 0.5];
    const sourced = ms.map((_, cell) => cell === 2 || cell === 6 || cell === 7);
    const { cells } = buildPlan({ ...input(ms), sourced });
    const one = (cell: number): unknown => ({ from: 'blend', of: [{ cell, weight: 1 }] });
    const two = (weight: number): unknown => ({
      from: 'blend',
      of: [
        { cell: 2, weight },
        { cell: 6, weight: 1 - weight },
      ],
    });
    expect(cells.map(({ source }) => source)).toEqual([
      one(2),
      one(2),
      { from: 'clip' },
      two(0.75),
      two(0.5),
      two(0.25),
      { from: 'clip' },
      { from: 'none' },
      one(6),
    ]);
  });

  it('plans an interpolated cell with m = 1 as noisy, without truncating text → video', () => {
    const cells: PlanInput['cells'] = [{ kind: 'interpolated', m: 1 }, mark(1)];
    const plan = buildPlan({ ...input([1, 1]), cells });
    expect(plan).toEqual(buildPlan(input([1, 1])));
    expect(plan.timesteps[1]![0]).toBeCloseTo(978.2609, 3);
    expect(buildPlan(input([0, 1])).timesteps[1]).toEqual([0, 978]);
  });

  it('refuses what cannot be planned with its code, naming the frame', () => {
    const bare = { ...input([1, 0, 1]), sourced: [false, false, false] };
    expect(codeOf(() => buildPlan(bare))).toBe('FIXED_WITHOUT_SOURCE');
    try {
      buildPlan(bare);
    } catch (thrown) {
      expect((thrown as PusaError).message).toContain('Frame 1 is marked fixed');
    }
    expect(codeOf(() => buildPlan({ ...bare, cells: [1, 0.5, 1].map(mark) }))).toBe('NO_SOURCE_AT_ALL');
    expect(codeOf(() => buildPlan(input([0, 1], { solver: 'unipc' })))).toBe('SAMPLER_INVALID');
    expect(codeOf(() => buildPlan(input([0, 1], { solver: 'dpm++' })))).toBe('SAMPLER_INVALID');
    expect(buildPlan(input([1, 1], { solver: 'unipc' })).timesteps[0]).toEqual([999, 999]);
    for (const frames of [NaN, -3, 0, 4, 6, 1e300, Infinity]) {
      expect(codeOf(() => buildPlan({ ...input([0, 1]), frames }))).toBe('RANGE_LENGTH');
    }
    expect(codeOf(() => buildPlan({ ...input([0, 1]), frames: 9 }))).toBe('MARK_INVALID');
    expect(codeOf(() => buildPlan({ ...input([0, 1]), sourced: [true] }))).toBe('MARK_INVALID');
    for (const m of [NaN, -0.1, 1.1, Infinity]) {
      const cells: PlanInput['cells'] = [{ kind: 'interpolated', m }, mark(1)];
      expect(codeOf(() => buildPlan({ ...input([0.5, 1]), cells }))).toBe('MARK_INVALID');
    }
    for (const field of ['steps', 'cfg', 'shift', 'seed', 'loraStrength'] as const) {
      for (const value of [NaN, Infinity, -1, 1e300]) {
        expect(codeOf(() => buildPlan(input([0, 1], { [field]: value })))).toBe('SAMPLER_INVALID');
      }
    }
    const unknown = { solver: 'heun' } as unknown as Partial<Sampler>;
    expect(codeOf(() => buildPlan(input([1, 1], unknown)))).toBe('SAMPLER_INVALID');
  });

  it('of any range is valid or refused with a code; what it draws from clips is encoded', () => {
    const codes = new Set<string | null>();
    fc.assert(
      fc.property(
        arbitraryClips,
        arbitraryLength.chain((frames) =>
          fc.tuple(fc.constant(frames), arbitraryMarks(frames), arbitraryInterpolation),
        ),
        arbitrarySampler,
        (clips, [frames, marks, interpolation], sampler) => {
          const of = project(...clips);
          const one = range(frames, marks, { start: 20, interpolation, sampler });
          const code = codeOf(() => planRange(of, one));
          codes.add(code);
          if (code !== null) return;
          const { plan, sources, cells } = planRange(of, one);
          expect(planSchema.safeParse(plan).success).toBe(true);
          expect(cells).toEqual(cellMarks(frames, marks, interpolation));
          for (const [cell, { source, m }] of plan.cells.entries()) {
            expect(source.from === 'clip').toBe(sources.sourced[cell]);
            expect(source.from === 'none').toBe(m === 1);
            if (source.from !== 'blend') continue;
            expect(source.of.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 12);
            for (const donor of source.of) expect(sources.sourced[donor.cell]).toBe(true);
          }
        },
      ),
      { numRuns: 300 },
    );
    for (const code of codes) {
      expect([null, 'FIXED_WITHOUT_SOURCE', 'NO_SOURCE_AT_ALL', 'SAMPLER_INVALID']).toContain(code);
    }
    expect(codes).toContain(null);
  });

  it('of the longest range with the most steps is made', () => {
    const one = range(4001, [{ frame: 0, kind: 'fixed' }], { sampler: { ...defaultSampler, steps: 200 } });
    const { plan } = planRange(project(clip('v', video, 0, 4001)), one);
    expect(plan.timesteps).toHaveLength(200);
    expect(plan.timesteps[199]).toHaveLength(1001);
  });
});

describe('table', () => {
  const plan = planRange(
    project(clip('s', picture, 0, 1)),
    range(9, [
      { frame: 0, kind: 'interpolated', m: 0.001 },
      { frame: 8, kind: 'interpolated', m: 0.5 },
    ]),
  ).plan;

  it('shows cells across and steps down, and what does not move', () => {
    const lines = planTable(plan).split('\n');
    const row = (label: string): string[] => {
      const line = lines.find((each) => each.startsWith(label))!;
      return line.slice(label.length).trim().split(/\s+/);
    };
    expect(lines[0]).toBe('9 frames, 3 cells, 10 steps');
    expect(row('cell')).toEqual(['0', '1', '2']);
    expect(row('frames')).toEqual(['0', '1–4', '5–8']);
    expect(row('mark')).toEqual(['interp', 'noisy', 'interp']);
    expect(row('source')).toEqual(['clip', '–', '0']);
    expect(row('step 1  σ 1.0000')).toEqual(['1', '1000', '500']);
    expect(row('step 2  σ 0.9783')).toEqual(['0·', '978', '489']);
  });

  it('cuts wide plans into blocks that fit and show every cell once', () => {
    const wide = buildPlan(input(Array.from({ length: 101 }, (_, i) => (i === 0 ? 0 : 1))));
    const table = planTable(wide, 80);
    const lines = table.split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    const cells = lines
      .filter((line) => line.startsWith('cell'))
      .flatMap((line) => line.trim().split(/\s+/).slice(1));
    expect(cells).toEqual(Array.from({ length: cellCount(wide.frames) }, (_, i) => String(i)));
    expect(
      planTable(wide, 1)
        .split('\n')
        .filter((line) => line.startsWith('cell')),
    ).toHaveLength(101);
  });
});
