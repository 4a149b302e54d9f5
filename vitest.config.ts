import { defineConfig } from 'vitest/config';
import { runes } from './test/support/runes.ts';

export default defineConfig({
  plugins: [runes],
  test: {
    // ONNX Runtime aborts when a worker thread ends during a run: processes, not threads.
    pool: 'forks',
    // The command line and the page are tested as they are built.
    globalSetup: 'test/support/build.ts',
    include: ['test/**/*.test.ts'],
    exclude: ['test/soak/**'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
