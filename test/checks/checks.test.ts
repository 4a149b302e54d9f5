import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const checks = fileURLToPath(new URL('../../build/checks', import.meta.url));
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pusa-checks-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Writes a small tree and runs a check on it. */
function run(
  check: string,
  files: Readonly<Record<string, string>>,
): { status: number | null; said: string } {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const done = spawnSync(process.execPath, [join(checks, `${check}.mjs`), root], { encoding: 'utf8' });
  return { status: done.status, said: done.stdout + done.stderr };
}

/** A house that keeps the rules. */
const house = {
  'src-main/core/errors.ts': `import { z } from 'zod';\nexport const text = z.string();\n`,
  'src-main/engine/runtime.ts': `import * as ort from 'onnxruntime-node';\nexport const run = ort;\n`,
  'src-main/engine/types.ts': `import type { run } from './runtime.ts';\nexport type Run = typeof run;\n`,
  'src-main/engine/door.ts': `import { text } from '../core/errors.ts';\nimport type { Run } from './types.ts';\nexport const open = (run: Run) => [run, text];\n`,
  'src-main/engine/deep.ts': `import { type Run } from './deeper.ts';\nexport type { Run };\n`,
  'src-main/engine/deeper.ts': `import { run } from './runtime.ts';\nexport type Run = typeof run;\n`,
  'src-main/studio/studio.ts': `import { open } from '../engine/door.ts';\nimport manifest from '../../package.json' with { type: 'json' };\nimport { join } from 'node:path';\nexport default [open, manifest, join];\n`,
  'src-main/main.ts': `import { app } from 'electron';\nimport studio from './studio/studio.ts';\nvoid app.whenReady().then(() => studio);\n`,
  'src-renderer/App.svelte': `<script lang="ts">\n  import { onMount } from 'svelte';\n  import type { text } from '../src-main/core/errors.ts';\n  let x: typeof text;\n  onMount(() => x);\n</script>\n{#await import('./late.ts') then late}{late.value}{/await}\n`,
  'src-renderer/late.ts': `export const value = 1;\n`,
};

/** Runs a check on a tree with one fault a file, and expects each to be named, in its own line. */
function expectEach(
  check: string,
  sound: Readonly<Record<string, string>>,
  faults: readonly [string, string, string][],
): void {
  const { status, said } = run(check, {
    ...sound,
    ...Object.fromEntries(faults.map(([path, text]) => [path, text])),
  });
  const lines = said.trim().split('\n');
  for (const [path, , expected] of faults) {
    const named = lines.filter((line) => line.startsWith(path));
    expect(named).toHaveLength(1);
    expect(named[0]).toContain(expected);
  }
  expect(lines.at(-1)).toContain(`${faults.length} violations`);
  expect(status).toBe(1);
}

describe('layers', () => {
  it('accepts a house that keeps the rules', () => {
    expect(run('layers', house)).toEqual({
      status: 0,
      said: 'layers: 10 files and their 15 imports keep the rules of the house\n',
    });
  });

  it('finds every kind of violation', () => {
    expectEach('layers', house, [
      ['src-main/core/node.ts', `import { join } from 'node:path';`, ':1: core may not import "node:path"'],
      ['src-main/core/package.ts', `import _ from 'lodash';`, 'core may not import "lodash"'],
      [
        'src-main/core/types.ts',
        `import type { Run } from '../engine/types.ts';`,
        'core may not import engine',
      ],
      [
        'src-main/core/inline.ts',
        `\nexport type A = import('../engine/types.ts').Run;`,
        ':2: core may not import engine',
      ],
      ['src-main/core/again.ts', `export * from '../engine/types.ts';`, 'core may not import engine'],
      ['src-main/core/manifest.ts', `import p from '../../package.json';`, 'leads out of the house'],
      [
        'src-main/engine/late.ts',
        `export const a = () => import('../studio/studio.ts');`,
        'engine may not import studio',
      ],
      ['src-main/engine/electron.ts', `import { app } from 'electron';`, 'engine may not import "electron"'],
      ['src-main/library/require.ts', `const e = require('electron');`, 'library may not import "electron"'],
      ['src-main/library/engine.ts', `import '../engine/door.ts';`, 'library may not import engine'],
      [
        'src-main/media/window.ts',
        `import { value } from '../../src-renderer/late.ts';`,
        'media may not import renderer',
      ],
      [
        'src-main/studio/electron.ts',
        `import type { App } from 'electron';`,
        'studio may not import "electron"',
      ],
      [
        'src-main/studio/runtime.ts',
        `import * as ort from 'onnxruntime-node';`,
        'only the engine may import',
      ],
      [
        'src-main/studio/deep.ts',
        `import { type Run } from '../engine/deep.ts';`,
        'brings onnxruntime-node into studio, by src-main/engine/deep.ts → src-main/engine/deeper.ts → src-main/engine/runtime.ts',
      ],
      ['src-main/web/shell.ts', `import '../shell/window.ts';`, 'web may not import shell'],
      ['src-main/web/absolute.ts', `import '/etc/a.ts';`, 'is not a relative path'],
      ['src-main/web/outside.ts', `import '../../../a.ts';`, 'leads out of the house'],
      ['src-main/web/long.ts', `export {};\n`.repeat(501), '501 lines, more than 500'],
      ['src-main/extra/a.ts', `export {};`, 'belongs to no room'],
      ['src-renderer/node.ts', `import fs from 'fs';`, 'renderer may not import "fs"'],
      ['src-renderer/computed.ts', `export const a = (x: string) => import(x);`, 'cannot be known'],
      [
        'src-renderer/Main.svelte',
        `<script>\n  import s from '../src-main/studio/studio.ts';\n</script>`,
        ':2: renderer may not import studio',
      ],
      [
        'src-renderer/Markup.svelte',
        `{#await import('../src-main/studio/studio.ts')}{/await}`,
        'renderer may not import studio',
      ],
      ['src-renderer/Long.svelte', `<p></p>\n`.repeat(301), '301 lines, more than 300'],
    ]);
  });
});

describe('licences', () => {
  const lock = (packages: Record<string, unknown>): Record<string, string> => ({
    'package-lock.json': JSON.stringify({ packages: { '': { license: 'X' }, ...packages } }),
  });

  it('accepts the list, expressions over it, libvips by name, and leaves development out', () => {
    const { status, said } = run(
      'licences',
      lock({
        'node_modules/a': { license: 'MIT' },
        'node_modules/a/node_modules/b': { license: '(GPL-3.0-only OR (MIT AND CC0-1.0))' },
        'node_modules/@img/sharp-libvips-linux-x64': { license: 'LGPL-3.0-or-later', optional: true },
        'node_modules/tool': { license: 'GPL-3.0-only', dev: true },
        'node_modules/svelte': { license: 'MIT', dev: true },
      }),
    );
    expect(said).toBe('licences: 4 packages that are shipped are under licences on the list\n');
    expect(status).toBe(0);
  });

  it('refuses everything else', () => {
    const licences: Readonly<Record<string, string>> = {
      a: 'GPL-3.0-only',
      b: 'MIT AND AGPL-3.0-only',
      c: 'MIT OR',
      d: '(MIT',
      e: 'MIT)',
      f: 'SEE LICENSE IN x',
      g: '',
      '@scope/other': 'LGPL-3.0-or-later',
    };
    const entries = Object.entries(licences).map(([name, license]) => [`node_modules/${name}`, { license }]);
    const { status, said } = run('licences', {
      ...lock({
        ...(Object.fromEntries(entries) as Record<string, unknown>),
        'node_modules/none': {},
        'node_modules/electron': { license: 'UNLICENSED', dev: true },
        'node_modules/installed': { license: 'MIT' },
      }),
      'node_modules/installed/package.json': JSON.stringify({ license: 'GPL-2.0-only' }),
    });
    expect(said.trim().split('\n')).toEqual([
      ...Object.entries(licences).map(([name, license]) => `${name}: ${license} is not on the list`),
      'none: it declares no licence',
      'electron: UNLICENSED is not on the list',
      'installed: GPL-2.0-only is not on the list',
      'licences: 11 violations in 11 packages',
    ]);
    expect(status).toBe(1);
    expect(run('licences', lock({})).said).toContain('names no package');
  });
});

describe('texts', () => {
  it('accepts finished files', () => {
    const text = `throw new PusaError('INTERNAL', \`"\${name}" is gone.\`, 'Look for it.');\nthrow new PusaError('X', reason(), \`Look. \${remedy}\`);\n`;
    expect(run('texts', { 'src-main/a.ts': text, 'test/a.test.ts': `it.skipIf(true)('x', f);` })).toEqual({
      status: 0,
      said: 'texts: 2 files are finished, and 2 errors speak in sentences\n',
    });
  });

  it('finds what must not stand in the tree', () => {
    // In pieces, so that the check does not find them here.
    const join = (...parts: string[]): string => parts.join('');
    expectEach('texts', {}, [
      ['src-main/mark.ts', join('// TO', 'DO: later'), ':1: an unfinished mark'],
      ['src-renderer/A.svelte', join('<p>Not ', 'implemented</p>'), ':1: an unfinished mark'],
      ['test/a.test.ts', join('\nit.', "skip('x', f)"), ':2: a test switched off'],
      ['test/b.test.ts', join('describe.', "only('x', f)"), ':1: a test switched off'],
      ['build/a.mjs', join('const folder = "/wo', 'rk/main";'), ':1: a path of one machine'],
      ['README.md', join('https://registry.', 'npmjs.org'), ':1: the address of a registry'],
      [
        'src-main/end.ts',
        `throw new PusaError('X', 'It broke', 'Mend it.');`,
        ':1: a sentence without an end',
      ],
      [
        'src-main/filled.ts',
        'throw new PusaError("X", `It broke: ${why}`, "Mend it.");',
        ':1: a sentence without an end',
      ],
      [
        'src-main/remedy.ts',
        `throw new PusaError('X', 'It broke.', 'mend it.');`,
        ':1: a sentence without a capital',
      ],
    ]);
  });
});
