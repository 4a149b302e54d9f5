import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { killStudios } from './kill.ts';

it('a studio that is killed at work loses nothing it acknowledged, and leaves no loose ends', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pusa-studio-kill-'));
  try {
    const { kills, counts, takes, flaws } = await killStudios(folder, { count: 20, seed: 20_264 });
    expect(flaws).toEqual([]);
    expect(kills).toBe(20);
    // It was at work on everything, and renders came to their end.
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(0);
    expect(counts.edits + counts.imports).toBeGreaterThan(20 * 5);
    expect(takes).toBeGreaterThanOrEqual(counts.takes);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 600_000);
