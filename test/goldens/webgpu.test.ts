import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { findCases, goldensFolder, usesProvider } from './runner.ts';

// Debian's chromium brings a Vulkan device in software. A driver named by the environment is used as it is.
const softwareDriver = '/usr/lib/chromium/vk_swiftshader_icd.json';
const driver = process.env['VK_ICD_FILENAMES'] ?? (existsSync(softwareDriver) ? softwareDriver : null);
const title = 'the DiT, VAE and e2e goldens on WebGPU, within 1e-3';

if (driver === null) {
  process.stdout.write(`\nSKIPPED: ${title}: there is no ${softwareDriver} (install Debian's chromium).\n`);
}

test.skipIf(driver === null)(title, { timeout: 1_500_000 }, async () => {
  const names = findCases(goldensFolder()).filter(usesProvider);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(import.meta.dirname, 'run-cases.ts'), '--provider', 'webgpu', ...names],
    { env: { ...process.env, VK_ICD_FILENAMES: driver!, VK_DRIVER_FILES: driver! }, maxBuffer: 16 << 20 },
  ).catch((error: unknown) => {
    // The child's own lines say which tensor is off; an exit code alone would not.
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${stdout ?? ''}${stderr ?? String(error)}`);
  });
  process.stdout.write(`\n${stdout}`);
  for (const name of names) expect(stdout).toMatch(new RegExp(`${name} +ok`));
});
