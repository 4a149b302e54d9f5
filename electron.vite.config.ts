import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'electron-vite';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Entries of the main side: each is a process or a command of its own. */
const entries = {
  main: at('src-main/main.ts'),
  serve: at('src-main/serve.ts'),
  cli: at('src-main/cli.ts'),
  engine: at('src-main/engine/process.ts'),
  'integrity-worker': at('src-main/library/integrity-worker.ts'),
  'bake-worker': at('src-main/engine/weights/bake-worker.ts'),
};

export default defineConfig({
  main: {
    build: {
      outDir: 'out/main',
      sourcemap: true,
      rolldownOptions: { input: entries, output: { format: 'es' } },
    },
  },
  preload: {
    build: {
      outDir: 'out/preload',
      // A sandboxed preload is one CommonJS file; only Electron itself is there to be required.
      externalizeDeps: { exclude: ['zod'] },
      rolldownOptions: {
        input: { preload: at('src-main/preload.ts') },
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  },
  renderer: {
    root: 'src-renderer',
    plugins: [svelte()],
    build: {
      outDir: 'out/renderer',
      minify: true,
      rolldownOptions: { input: at('src-renderer/index.html') },
    },
  },
});
