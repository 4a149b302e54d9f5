// Kills the engine with SIGKILL at random points of a render, 20 times (or as many as the first argument says), and
// checks that every run ends with the bytes of an undisturbed one. The second argument is the seed of the points.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createSupervisor } from '../../src-main/engine/supervisor.ts';
import { nodeFork, type ForkEngine } from '../../src-main/engine/transport.ts';
import { openPackage } from '../../src-main/engine/weights/package.ts';
import { outcomeOf, smallJob, smallUnits } from '../engine/jobs.ts';
import { killing, killPhases, pointIn, seeded } from '../engine/kill.ts';

const entry = join(import.meta.dirname, '../../src-main/engine/process.ts');
const packageFolder = join(import.meta.dirname, '../fixtures/models/test-pattern');
const wanted = Number(process.argv[2] ?? 20);
const seed = Number(process.argv[3] ?? 20);
const steps = 12;

const root = mkdtempSync(join(tmpdir(), 'pusa-soak-kill-'));
const { manifest } = await openPackage(packageFolder);

/** Renders a new copy of the same job. */
async function render(name: string, fork: ForkEngine) {
  const folder = join(root, name);
  await smallJob(folder, { model: { id: manifest.id, hash: manifest.hash }, sampler: { steps } });
  const supervisor = createSupervisor({ entry, fork, backoffMs: [10, 10] });
  const started = performance.now();
  try {
    await supervisor.render(folder, packageFolder, { provider: 'cpu' });
  } finally {
    await supervisor.close();
  }
  const outcome = outcomeOf(folder, steps);
  rmSync(folder, { recursive: true });
  return { outcome, seconds: (performance.now() - started) / 1000 };
}

let failed = 0;
try {
  const reference = await render('reference', nodeFork());
  process.stdout.write(`undisturbed: ${reference.seconds.toFixed(1)} s\n`);

  const random = seeded(seed);
  let kills = 0;
  let longest = 0;
  for (let run = 1; kills < wanted; run++) {
    // One run in three is killed twice.
    const points = Array.from({ length: Math.min(run % 3 === 0 ? 2 : 1, wanted - kills) }, () =>
      random(killPhases.length),
    )
      .sort()
      .map((phase) => pointIn(killPhases[phase]!, smallUnits(steps), random));
    const { fork, killed } = killing(nodeFork(), points);
    const { outcome, seconds } = await render(`run-${run}`, fork);
    kills += killed();
    longest = Math.max(longest, seconds);
    const same = isDeepStrictEqual(outcome, reference.outcome);
    if (!same) failed++;
    const at = points.map((point) => `${point.phase} ${point.done} + ${point.delayMs} ms`).join(', ');
    process.stdout.write(
      `run ${run}: ${killed()} killed at ${at}: ${same ? 'same bytes' : 'DIFFERENT BYTES'}, ${seconds.toFixed(1)} s\n`,
    );
  }
  process.stdout.write(`${kills} kills; ${failed} runs differ; longest run ${longest.toFixed(1)} s\n`);
} finally {
  rmSync(root, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;
