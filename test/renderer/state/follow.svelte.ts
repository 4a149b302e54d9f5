import { flushSync } from 'svelte';

/** Runs a function now and whenever the state it reads changes. @returns ends it */
export function follow(read: () => void): () => void {
  const stop = $effect.root(() => {
    $effect(() => read());
  });
  flushSync();
  return stop;
}
