import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Plan } from '../../src-main/core/contract/job.ts';
import type { Sampler } from '../../src-main/core/contract/project.ts';
import { buildPlan } from '../../src-main/core/plan/plan.ts';
import type { Tensor } from '../../src-main/engine/networks.ts';
import { NormalGenerator, seededNoise } from '../../src-main/engine/noise/randn.ts';
import { createPusaEuler } from '../../src-main/engine/scheduler/pusa-euler.ts';
import { createScheduler } from '../../src-main/engine/scheduler/scheduler.ts';

const solvers = ['euler', 'unipc', 'dpm++'] as const;

function planOf(ms: readonly number[], settings: Partial<Sampler> = {}): Plan {
  return buildPlan({
    frames: 4 * (ms.length - 1) + 1,
    cells: ms.map((m) => ({ kind: m === 0 ? 'fixed' : m === 1 ? 'noisy' : 'interpolated', m })),
    sourced: ms.map((m) => m < 1),
    sampler: { solver: 'euler', steps: 6, shift: 5, cfg: 1, seed: 0, loraStrength: 1, ...settings },
  });
}

const shapeOf = (cells: number): number[] => [3, cells, 2, 3];
const random = (seed: number, shape: readonly number[]): Tensor => ({
  data: seededNoise(seed, shape),
  shape,
});

/** The numbers of one cell of latents [C, F, H, W]. */
function cellOf({ data, shape }: Tensor, cell: number): number[] {
  const [, cells, height, width] = shape as [number, number, number, number];
  const area = height * width;
  return [...data].filter((_, i) => Math.floor(i / area) % cells === cell);
}

/** A velocity that depends on the latents and the timesteps, as a network's does. */
function velocityAt(latents: Tensor, timesteps: Float32Array): Tensor {
  const area = latents.shape[2]! * latents.shape[3]!;
  const data = latents.data.map(
    (x, i) => Math.sin(3 * x + i) + timesteps[Math.floor(i / area) % timesteps.length]! / 700 - x,
  );
  return { data, shape: latents.shape };
}

describe.each(solvers)('%s', (solver) => {
  const plan = planOf([1, 1, 1], { solver, steps: 7 });
  const noise = random(1, shapeOf(3));

  function rollOut(resumeBefore: number): Float32Array[] {
    let scheduler = createScheduler(plan, solver);
    let latents = scheduler.start(noise, null);
    const trail: Float32Array[] = [];
    for (let k = 0; k < plan.steps; k++) {
      if (k === resumeBefore) {
        const state = scheduler.save();
        // Going on with the old one must not disturb what was saved.
        scheduler.step(k, latents, noise);
        scheduler = createScheduler(plan, solver);
        scheduler.restore(k, state);
      }
      latents = scheduler.step(k, latents, velocityAt(latents, scheduler.timesteps(k)));
      trail.push(latents.data);
    }
    return trail;
  }

  test('a run resumed before any step is the same byte by byte', () => {
    const undisturbed = rollOut(-1);
    for (let k = 0; k < plan.steps; k++) expect(rollOut(k)).toEqual(undisturbed);
  });

  test('ends on the clean latents when the velocity points away from them', () => {
    const clean = random(9, shapeOf(3));
    for (const steps of [1, 2, 3, 12]) {
      const short = planOf([1, 1, 1], { solver, steps, shift: 3 });
      const scheduler = createScheduler(short, solver);
      // On the straight way from clean to noise the velocity is noise − clean everywhere, so any order is exact.
      let latents = scheduler.start(noise, null);
      const first = short.sigmas[0]!;
      latents = { ...latents, data: latents.data.map((n, i) => first * n + (1 - first) * clean.data[i]!) };
      for (let k = 0; k < steps; k++) {
        const velocity = { ...noise, data: noise.data.map((n, i) => n - clean.data[i]!) };
        latents = scheduler.step(k, latents, velocity);
      }
      for (const [i, x] of latents.data.entries()) expect(x).toBeCloseTo(clean.data[i]!, 4);
    }
  });

  test.each([
    [200, 50],
    [200, 0.1],
    [1, 50],
    [2, 0.1],
  ])('%i steps at shift %d stay finite', (steps, shift) => {
    const extreme = planOf([1, 1], { solver, steps, shift });
    const scheduler = createScheduler(extreme, solver);
    let latents = scheduler.start(random(1, shapeOf(2)), null);
    for (let k = 0; k < steps; k++) {
      latents = scheduler.step(k, latents, velocityAt(latents, scheduler.timesteps(k)));
    }
    expect(latents.data.every(Number.isFinite)).toBe(true);
  });

  test('leaves its inputs alone and refuses other shapes and steps', () => {
    const scheduler = createScheduler(plan, solver);
    const latents = scheduler.start(noise, null);
    const before = Float32Array.from(latents.data);
    const velocity = random(2, shapeOf(3));
    scheduler.step(0, latents, velocity);
    expect(latents.data).toEqual(before);
    expect(noise.data).toEqual(seededNoise(1, shapeOf(3)));
    expect(() => scheduler.step(1, latents, random(2, shapeOf(2)))).toThrow(RangeError);
    expect(() => scheduler.start(random(2, shapeOf(4)), null)).toThrow(RangeError);
    expect(() => scheduler.step(7, latents, velocity)).toThrow(RangeError);
    expect(() => scheduler.timesteps(7)).toThrow(RangeError);
    expect(() =>
      scheduler.restore(
        3,
        Array.from({ length: 5 }, () => latents.data),
      ),
    ).toThrow(RangeError);
  });

  test('feeds every cell the same timestep', () => {
    const scheduler = createScheduler(plan, solver);
    for (let k = 0; k < plan.steps; k++) {
      const timesteps = scheduler.timesteps(k);
      expect(timesteps).toHaveLength(3);
      expect(new Set(timesteps).size).toBe(1);
    }
  });
});

describe('multistep solvers', () => {
  test.each(['unipc', 'dpm++'] as const)('%s comes closer to the exact solution than Euler', (solver) => {
    // A Gaussian data distribution of standard deviation s has the exact velocity below and keeps x / std(x).
    const s = 0.5;
    const std = (sigma: number): number => Math.hypot((1 - sigma) * s, sigma);
    const errorOf = (name: (typeof solvers)[number]): number => {
      const plan = planOf([1], { solver: name, steps: 12, shift: 1 });
      const scheduler = createScheduler(plan, name);
      const noise = random(5, shapeOf(1));
      let latents = scheduler.start(noise, null);
      const scale = s / std(plan.sigmas[0]!);
      for (let k = 0; k < plan.steps; k++) {
        const sigma = plan.sigmas[k]!;
        const slope = (sigma - (1 - sigma) * s * s) / std(sigma) ** 2;
        latents = scheduler.step(k, latents, { ...latents, data: latents.data.map((x) => x * slope) });
      }
      return Math.max(...latents.data.map((x, i) => Math.abs(x - scale * noise.data[i]!)));
    };
    expect(errorOf(solver)).toBeLessThan(errorOf('euler') / 2);
  });

  test('steps out of order and states that do not fit are refused', () => {
    for (const solver of ['unipc', 'dpm++'] as const) {
      const scheduler = createScheduler(planOf([1, 1], { solver }), solver);
      const latents = scheduler.start(random(1, shapeOf(2)), null);
      expect(() => scheduler.step(1, latents, latents)).toThrow(RangeError);
      scheduler.step(0, latents, latents);
      expect(() => scheduler.step(0, latents, latents)).toThrow(RangeError);
      expect(() => scheduler.restore(1, [])).toThrow(RangeError);
      const short = scheduler.save().map((array) => array.subarray(1));
      scheduler.restore(1, short);
      expect(() => scheduler.step(1, latents, latents)).toThrow(RangeError);
    }
  });

  test.each(['unipc', 'dpm++'] as const)('%s refuses plans with conditioned cells', (solver) => {
    expect(() => createScheduler(planOf([0, 1]), solver)).toThrow(
      expect.objectContaining({ code: 'SAMPLER_INVALID' }),
    );
  });
});

describe('Pusa vector step', () => {
  const multipliers = fc.array(
    fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0.05, max: 0.95, noNaN: true })),
    { minLength: 2, maxLength: 6 },
  );

  test('a cell goes exactly its own way: noised once, then by the sum of its σ-steps', () => {
    fc.assert(
      fc.property(
        multipliers,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 999 }),
        (ms, steps, seed) => {
          const plan = planOf(ms, { steps });
          const scheduler = createScheduler(plan, 'euler');
          const shape = shapeOf(ms.length);
          const generator = new NormalGenerator(seed);
          const size = shape.reduce((a, b) => a * b, 1);
          const noise = { data: generator.randn(size), shape };
          const clean = { data: generator.randn(size), shape };
          const velocity = { data: generator.randn(size), shape };
          let latents = scheduler.start(noise, clean);
          for (const [cell, m] of ms.entries()) {
            const z = cellOf(clean, cell);
            const started = cellOf(noise, cell).map((n, i) => (m === 1 ? n : (1 - m) * z[i]! + m * n));
            cellOf(latents, cell).forEach((x, i) => expect(x).toBeCloseTo(started[i]!, 5));
          }
          const start = latents;
          for (let k = 0; k < steps; k++) latents = scheduler.step(k, latents, velocity);
          for (const [cell, m] of ms.entries()) {
            const way = plan.sigmaSteps.reduce((sum, row) => sum + row[cell]!, 0);
            const from = cellOf(start, cell);
            const v = cellOf(velocity, cell);
            cellOf(latents, cell).forEach((x, i) => expect(x).toBeCloseTo(from[i]! + way * v[i]!, 4));
            if (m === 0) expect(cellOf(latents, cell)).toEqual(cellOf(clean, cell));
          }
        },
      ),
      { seed: 3, numRuns: 60 },
    );
  });

  test('a fixed cell keeps its bits whatever the model says there, even NaN', () => {
    const plan = planOf([0, 1, 0.4]);
    const scheduler = createScheduler(plan, 'euler');
    const clean = random(2, shapeOf(3));
    let latents = scheduler.start(random(1, shapeOf(3)), clean);
    const velocity = random(3, shapeOf(3));
    const area = 6;
    velocity.data.forEach((_, i) => {
      if (Math.floor(i / area) % 3 === 0) velocity.data[i] = Number.NaN;
    });
    for (let k = 0; k < plan.steps; k++) latents = scheduler.step(k, latents, velocity);
    expect(cellOf(latents, 0)).toEqual(cellOf(clean, 0));
    expect(latents.data.every(Number.isFinite)).toBe(true);
  });

  test('without conditioned cells it is the scalar step', () => {
    const plan = planOf([1, 1, 1, 1], { steps: 4 });
    const vector = createPusaEuler(plan);
    const scalar = createScheduler(plan, 'euler');
    const noise = random(7, shapeOf(4));
    let a = vector.start(noise, null);
    let b = scalar.start(noise, null);
    for (let k = 0; k < plan.steps; k++) {
      expect(vector.timesteps(k)).toEqual(scalar.timesteps(k));
      a = vector.step(k, a, velocityAt(a, vector.timesteps(k)));
      b = scalar.step(k, b, velocityAt(b, scalar.timesteps(k)));
      a.data.forEach((x, i) => expect(x).toBeCloseTo(b.data[i]!, 5));
    }
  });

  test('a conditioned cell without clean latents is refused', () => {
    const scheduler = createScheduler(planOf([0.2, 1]), 'euler');
    expect(() => scheduler.start(random(1, shapeOf(2)), null)).toThrow(RangeError);
    expect(() => scheduler.start(random(1, shapeOf(2)), random(1, shapeOf(3)))).toThrow(RangeError);
  });
});
