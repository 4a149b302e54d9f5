// Kills a studio at work 200 times (or as many as the first argument says) with SIGKILL and looks after each time for
// lost work, files without records, records without files, and damage. The second argument is the seed.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killStudios } from '../studio/kill.ts';

const count = Number(process.argv[2] ?? 200);
const seed = Number(process.argv[3] ?? 1);
const folder = mkdtempSync(join(tmpdir(), 'pusa-soak-studio-'));
try {
  const { kills, acknowledged, takes, flaws } = await killStudios(folder, {
    count,
    seed,
    onKill: (text) => process.stdout.write(`${text}\n`),
  });
  process.stdout.write(
    `seed ${seed}: ${kills} kills, ${acknowledged} things acknowledged, ${takes} takes; ${flaws.length} flaws\n`,
  );
  process.exitCode = flaws.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
