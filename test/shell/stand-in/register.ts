/** Loaded before the built main process: puts the stand-in in Electron's place and lets a test reach into it. */
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const standIn = pathToFileURL(join(import.meta.dirname, 'electron.ts')).href;
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'electron' ? { url: standIn, shortCircuit: true } : next(specifier, context),
});

const electron = await import('./electron.ts');
const { openPage } = await import('./page.ts');

interface Question {
  readonly id: number;
  readonly code: string;
  readonly argument: unknown;
}

/** What functions of a test are given; state of a test's own lives in `kept`. */
const tools = { electron, openPage, kept: {} };
export type Tools = typeof tools & { kept: Record<string, unknown> };

process.on('message', ({ id, code, argument }: Question) => {
  // A test's own function, sent as its text.
  // eslint-disable-next-line @typescript-eslint/no-implied-eval
  const run = new Function('tools', 'argument', `return (${code})(tools, argument)`) as (
    given: typeof tools,
    argument: unknown,
  ) => unknown;
  new Promise((resolve) => resolve(run(tools, argument))).then(
    (value) => process.send!({ id, value }),
    (thrown: unknown) =>
      process.send!({ id, error: thrown instanceof Error ? thrown.stack : String(thrown) }),
  );
});
process.on('disconnect', () => process.exit(9));
