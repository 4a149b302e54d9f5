import { parseArgs } from 'node:util';
import { PusaError, toPusaError } from './core/errors.ts';
import { defaultDataFolder } from './studio/data-folder.ts';
import { findPlaces } from './studio/places.ts';
import { openStudio } from './studio/studio.ts';
import { createApplication } from './web/application.ts';
import { listen } from './web/node-server.ts';

/**
 * The application without Electron: the same window on loopback. `--port N`, `--data FOLDER`; with `--no-paths` a
 * window cannot name files of this machine and sends and receives their bytes instead.
 */
async function main(): Promise<void> {
  const { port, data, allowPaths } = readOptions();
  const places = findPlaces();
  const studio = await openStudio({ dataFolder: data, places });
  const handler = await createApplication(studio, places.renderer);
  const server = await listen(handler, port, {
    connect: (transport) => studio.connect(transport, { allowPaths }),
  });
  process.stdout.write(`Pusa Studio is at ${server.url}\n`);

  let askedAt: number | null = null;
  const stop = (): void => {
    if (askedAt !== null) {
      // Asked again: at once; what was acknowledged is saved. A terminal and a parent ask at the same time.
      if (performance.now() - askedAt > 1000) process.exit(1);
      return;
    }
    askedAt = performance.now();
    void server
      .close()
      .then(() => studio.close())
      .then(() => process.exit(0), fail);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

function readOptions(): { port: number; data: string; allowPaths: boolean } {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '0' },
        data: { type: 'string' },
        'no-paths': { type: 'boolean', default: false },
      },
    });
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error('A port is 0 to 65535.');
    return { port, data: values.data ?? defaultDataFolder(), allowPaths: !values['no-paths'] };
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PusaError('USAGE', message, 'Options are --port N, --data FOLDER and --no-paths.', { cause });
  }
}

function fail(thrown: unknown): void {
  const error = toPusaError(thrown);
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exit(1);
}

main().catch(fail);
