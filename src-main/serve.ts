import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { toPusaError } from './core/errors.ts';
import { createApplication } from './web/application.ts';
import { listen } from './web/node-server.ts';

/** The application without Electron: the same window on loopback. `--port N`, `--data FOLDER`. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { port: { type: 'string' }, data: { type: 'string' } } });
  const port = Number(values.port ?? 0);
  const application = await createApplication(values.data ?? defaultDataFolder());
  const server = await listen(application.handle, port);
  process.stdout.write(`Pusa Studio is at ${server.url}\n`);
  const stop = (): void => {
    void Promise.allSettled([server.close(), application.close()]).then(() => process.exit(0));
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

function defaultDataFolder(): string {
  if (process.platform === 'win32' && process.env['APPDATA'] !== undefined) {
    return join(process.env['APPDATA'], 'Pusa Studio');
  }
  return join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'pusa-studio');
}

main().catch((thrown: unknown) => {
  const error = toPusaError(thrown);
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exit(1);
});
