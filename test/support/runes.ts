import { fileURLToPath } from 'node:url';
import { compileModule } from 'svelte/compiler';
import type { Plugin } from 'vite';

const svelte = (path: string): string =>
  fileURLToPath(new URL(`../../node_modules/svelte/src/${path}`, import.meta.url));

/**
 * Rune modules (`*.svelte.ts`) of the window as a browser has them, also in tests that run in Node: there, state that
 * changes would else be plain values that nothing follows.
 */
export const runes: Plugin = {
  name: 'pusa:runes',
  enforce: 'post',
  config: () => ({
    resolve: {
      alias: [
        { find: /^svelte$/, replacement: svelte('index-client.js') },
        { find: /^svelte\/reactivity$/, replacement: svelte('reactivity/index-client.js') },
      ],
    },
  }),
  transform(code, id) {
    const [file = ''] = id.split('?');
    if (!file.endsWith('.svelte.ts') && !file.endsWith('.svelte.js')) return null;
    const { js } = compileModule(code, { filename: file, generate: 'client', dev: false });
    return { code: js.code, map: js.map };
  },
};
