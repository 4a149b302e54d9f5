import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Where a person's library lies unless they say otherwise: the same for Electron and `serve`. */
export function defaultDataFolder(env: NodeJS.ProcessEnv = process.env): string {
  const { APPDATA, XDG_DATA_HOME } = env as { APPDATA?: string; XDG_DATA_HOME?: string };
  if (process.platform === 'win32') {
    return join(APPDATA ?? join(homedir(), 'AppData', 'Roaming'), 'Pusa Studio', 'Library');
  }
  if (process.platform === 'darwin') {
    return join(homedir(), 'Library', 'Application Support', 'Pusa Studio', 'Library');
  }
  // One that is empty or relative does not count, as the XDG specification has it.
  const isSet = XDG_DATA_HOME !== undefined && isAbsolute(XDG_DATA_HOME);
  return join(isSet ? XDG_DATA_HOME : join(homedir(), '.local', 'share'), 'pusa-studio');
}
