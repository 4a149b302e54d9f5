// Kills a studio at work 200 times (or as many as the first argument says) with SIGKILL and looks after each time for
// lost work, files without records, records without files, and damage. The second argument is the seed, the third the number of
// the first run, to go on where a flaw was found.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killStudios } from '../studio/kill.ts';

const count = Number(process.argv[2] ?? 200);
const seed = Number(process.argv[3] ?? 2611);
const first = Number(process.argv[4] ?? 0);
const folder = mkdtempSync(join(tmpdir(), 'pusa-soak-studio-'));
try {
  const began = Date.now();
  const { kills, counts, takes, flaws } = await killStudios(folder, {
    count,
    seed,
    first,
    onKill: (text) => process.stdout.write(`${text}\n`),
  });
  process.stdout.write(
    `seed ${seed}: ${kills} kills in ${Math.round((Date.now() - began) / 60_000)} minutes. ` +
      `Acknowledged: ${Object.entries(counts)
        .map(([kind, count]) => `${count} ${kind}`)
        .join(', ')}; ${takes} takes at the end; ${flaws.length} flaws.\n`,
  );
  process.exitCode = flaws.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
