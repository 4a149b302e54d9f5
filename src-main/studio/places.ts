import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Where the application's own files lie. They are looked for upwards from this module, so that the same code runs
 * from the sources, from the build and, unpacked beside the archive, from the installed application.
 */
export interface Places {
  /** Bundled models and samples. */
  readonly resources: string;
  /** The engine process's entry: the build's, or the source itself when running from the sources. */
  readonly engineEntry: string;
  /** The built window. */
  readonly renderer: string;
}

/** @throws Error when the installation is incomplete */
export function findPlaces(from: string = import.meta.dirname): Places {
  const runsFromSources = import.meta.filename.endsWith('.ts');
  const root = findUp(from, join('resources', 'models')) ?? packagedRoot();
  if (root === null) throw new Error('The application is incomplete: its resources folder is missing.');
  return {
    resources: join(root, 'resources'),
    engineEntry: runsFromSources
      ? join(root, 'src-main', 'engine', 'process.ts')
      : join(requireUp(from, 'engine.js'), 'engine.js'),
    renderer: runsFromSources
      ? join(root, 'out', 'renderer')
      : join(requireUp(from, join('renderer', 'index.html')), 'renderer'),
  };
}

/** The folder at or above `from` that holds `name`. */
function findUp(from: string, name: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, name))) return folder;
    if (dirname(folder) === folder) return null;
  }
}

function requireUp(from: string, name: string): string {
  const folder = findUp(from, name);
  if (folder === null) throw new Error(`The application is incomplete: ${name} is missing.`);
  return folder;
}

/** Installed, `resources` is a sibling of the archive; Electron tells where. */
function packagedRoot(): string | null {
  const electronResources = (process as { resourcesPath?: string }).resourcesPath;
  if (electronResources === undefined) return null;
  return findUp(electronResources, join('resources', 'models'));
}
